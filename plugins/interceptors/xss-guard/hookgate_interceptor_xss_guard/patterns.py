"""The expressions that are there without being written. They are of RE2, case does not count, and `.` is any byte.

They look for what a browser would run, and not for words of programmers: a text may speak of scripts, as long as it
does not hold one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import re2  # type: ignore[import-untyped]

_GAP = r"[\x00-\x20]*"
_INSIDE = r'(?:[^>]|"[^"]*"|\'[^\']*\')*'
"""What may stand in a tag behind its name; `>` in quotes is none of its end."""
_EVENTS = (
    "on(?:abort|after|animation|auxclick|before|begin|blur|cancel|canplay|change|click|close|content|context|copy|cue|cut"
    "|dblclick|drag|drop|duration|emptied|end|error|finish|focus|form|fullscreen|gotpointer|hashchange|input|invalid|key"
    "|load|lostpointer|message|mouse|offline|online|page|paste|pause|play|pointer|popstate|progress|ratechange"
    "|readystate|repeat|reset|resize|scroll|search|seek|security|select|show|slot|stalled|start|storage|submit|suspend"
    "|time|toggle|touch|transition|unhandled|unload|volume|waiting|webkit|wheel)[a-z]*"
)


def _spread(word: str) -> str:
    """Let browsers' habit of skipping tabs, line ends and zeros inside of a scheme hide nothing."""
    return r"[\x00\t\n\r]*".join(word)


_SCHEME = f"(?:{_spread('javascript')}|{_spread('vbscript')}|{_spread('livescript')})[\\x00-\\x20]*:"
_CALLED = (
    "(?:alert|confirm|prompt|print|eval|execscript|fetch|import|atob|settimeout|setinterval|function|document|window|self"
    "|top|parent|frames|globalthis|location|navigator|localstorage|sessionstorage|new|throw|onerror|with|var|let|const|if)"
)

DEFAULTS: Mapping[str, str] = {
    "script-tag": rf"<{_GAP}/?{_GAP}(?:\w+:)?script(?:[\x00-\x20/>]|$)",
    "frame-tag": rf"<(?:iframe|frameset|embed|applet|portal|fencedframe)(?:[\x00-\x20/>]|$)"
    rf"|<frame[\x00-\x20/]{_INSIDE}src",
    "loading-tag": (
        rf"<(?:object{_INSIDE}[\x00-\x20/\"'](?:data|classid|codebase|type)"
        rf"|base{_INSIDE}[\x00-\x20/\"']href|meta{_INSIDE}[\x00-\x20/\"']http-equiv"
        rf"|link{_INSIDE}[\x00-\x20/\"']rel{_GAP}={_GAP}[\"']?{_GAP}(?:stylesheet|import|preload|modulepreload)"
        rf"|(?:\w+:)?use{_INSIDE}href{_GAP}={_GAP}[\"']?{_GAP}data:){_GAP}"
    ),
    "event-attribute": (
        rf"<[a-z/!?]{_INSIDE}[\x00-\x20/\"']on[a-z]{{3,30}}{_GAP}="
        rf"|[\"'`][\x00-\x20/]*[\x00-\x20/\"'`]{_EVENTS}{_GAP}="
    ),
    "document-attribute": rf"<[a-z]{_INSIDE}[\x00-\x20/\"']srcdoc{_GAP}=",
    "script-address": (
        rf"(?:^|[\"'(=>,]){_GAP}{_SCHEME}(?:[^\x00-\x20]|{_GAP}[^\x00-\x20]{{0,100}}[(`=\[{{])"
        rf"|url{_GAP}\({_GAP}[\"']?{_GAP}{_SCHEME}|<[a-z]{_INSIDE}={_GAP}[\"']?{_GAP}{_SCHEME}"
    ),
    "document-address": (
        rf"data:{_GAP}(?:text/(?:html|xml|xsl|javascript|vbscript)|application/(?:xhtml\+xml|xml|javascript|ecmascript))"
    ),
    "style-script": (
        rf"(?:<style[^<]*|style{_GAP}=[^>]*)(?:expression{_GAP}\(|-moz-binding|behaviou?r{_GAP}:{_GAP}url)"
        rf"|<style[^<]*@import"
    ),
    "document-access": (
        rf"\bdocument{_GAP}(?:\?\.|\.|\[{_GAP}[\"'`]){_GAP}(?:cookie|write|writeln|domain|body|location|defaultview|forms)"
        rf"[\"'`\])]*{_GAP}(?:[=+(;,)\[]|\.{_GAP}\w)"
        rf"|\b(?:window|self|top|parent|frames|globalthis){_GAP}(?:\?\.|\.|\[{_GAP}[\"'`]){_GAP}"
        rf"(?:alert|eval|confirm|prompt|location|name|document|localstorage|sessionstorage)[\"'`\])]*{_GAP}[=(.\[]"
    ),
    "script-call": (
        r"\b(?:alert|confirm|prompt|eval|execscript|settimeout|setinterval|atob|function|fetch|string\.fromcharcode)"
        rf"(?:{_GAP}/\*[^*]{{0,100}}\*/)?[(`]{_GAP}(?:[\"'`/\d]|\)|document\b|window\b|self\b|top\b|location\b|origin\b"
        r"|this\b|name\b|atob\b|string\.fromcharcode)"
    ),
    "script-breakout": (
        rf"[\"'`][\])}}\x00-\x20]*(?:[;+\-*/^|&]{{1,3}}{_GAP}{_CALLED}{_GAP}[(.\[=`]|[,?:]{_GAP}{_CALLED}[(.\[=`])"
    ),
    "constructor-call": r"(?:\{\{|\$\{|#\{)[^}]{0,200}(?:constructor|\$eval|\$on\b|__proto__|document|window|alert)"
    r"|\[[\"'`]?constructor[\"'`]?\]|\.constructor\b[.(\[\x00-\x20]*(?:constructor|\()",
}
"""Expressions by what they look for."""

MEMORY = 16 << 20
"""Bytes that an expression may take, compiled; RE2 falls back to a slower way of linear time where it needs more."""


def compiled(expression: str) -> Any:
    """Compile an expression over bytes.

    Raises:
        ValueError: it is none of RE2, takes too much memory, or fits nothing at all.
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive, options.dot_nl, options.log_errors = False, True, False
    options.max_mem = MEMORY
    try:
        made = re2.compile(expression.encode(), options)
    except re2.error as error:
        said = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{expression!r} is no expression of RE2: {said}") from None
    if made.search(b"") is not None:
        raise ValueError(f"{expression!r} fits nothing at all, too, and so everywhere")
    return made


class Patterns:
    """Expressions that are tried together: one pass for a text in which there is nothing."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self._each = {name: compiled(each) for name, each in expressions.items()}
        self._any = compiled("|".join(f"(?:{each})" for each in expressions.values())) if expressions else None

    def __bool__(self) -> bool:
        return self._any is not None

    def fitting(self, texts: Iterable[bytes]) -> str | None:
        """Return the name of an expression that fits one of the texts."""
        if self._any is None:
            return None
        for text in texts:
            if self._any.search(text) is not None:
                return next((name for name, each in self._each.items() if each.search(text) is not None), "several")
        return None
