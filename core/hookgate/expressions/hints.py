"""What to write instead, for mistakes that people who know OGNL or Python will make."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FOREIGN = {
    "@": "static members of classes cannot be reached",
    "new": "objects cannot be made",
    ":[": "there are no lambdas",
    "lambda": "there are no lambdas",
    "=": "nothing can be assigned; compare with ==",
    ":=": "nothing can be assigned; compare with ==",
    "**": "there are no powers",
    ";": "write one expression",
    "&": "write &&",
    "|": "write ||",
    "^": "there are no operators on bits",
    "~": "there are no operators on bits",
    "<<": "there are no operators on bits",
    ">>": "there are no operators on bits",
    "if": "write condition ? a : b",
    "else": "write condition ? a : b",
    "is": "compare with == null",
    "None": "write null",
    "True": "write true",
    "False": "write false",
    "eq": "write ==",
    "neq": "write !=",
    "lt": "write <",
    "lte": "write <=",
    "gt": "write >",
    "gte": "write >=",
    "instanceof": "types cannot be asked for",
    "for": "write list.{ … #this … }",
}
"""Signs and words of OGNL, Python or both that this language has not, with the reason or what to do about it."""

YAML = " (YAML takes ` #` for a comment: quote the expression)"

METHOD_HINTS = {
    "toLowerCase": "lower()",
    "toUpperCase": "upper()",
    "trim": "strip()",
    "startsWith": "startswith(…)",
    "endsWith": "endswith(…)",
    "contains": "a in b",
    "containsKey": "a in b",
    "length": "len(…)",
    "size": "len(…)",
    "isEmpty": "len(…) == 0",
    "equals": "==",
    "toString": "str(…)",
    "get": "['name']",
    "matches": "a in b",
}


def meant(name: str, known: Iterable[str]) -> str:
    """List the names there are, and the one that looks like what was written."""
    near = difflib.get_close_matches(name, known, 1)
    return f" (there are {', '.join(known)})" + (f"; did you mean {near[0]!r}?" if near else "")
