"""What scopes of a stored API keep of the values that they have inherited (FL-27, `value_inheritance: snapshot`).

A step's options may be changed where it is placed. The scopes right below, which were there before, then get a copy of
the options of before (`inherited`), which comes down to what is below them; scopes that are made later get new ones.
Keeping what is kept already changes nothing, so what is applied twice differs in nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from hookgate.document import HOST_KEY, written
from hookgate_apis.placing import CannotPlace, tree_of
from hookgate_apis.tree import DIRECTIONS, Scope

INHERITED = "inherited"


def kept(old: Any, new: Any) -> Any:
    """Return the new body of an API with what its scopes keep of the old one.

    ``null`` in the place of a step's options lets go of them: the scope follows its parent again.
    """
    if not isinstance(new, Mapping):
        return new
    body = deepcopy(dict(new))
    try:
        scopes = list(tree_of(body).scopes())
        before = {} if old is None else {scope.name.partition(" ")[2]: scope for scope in tree_of(old).scopes()}
    except CannotPlace:
        return new  # it has mistakes, which are told where it is checked
    if new.get("version") != (old or {}).get("version") or new.get("name") != (old or {}).get("name"):
        before = {}
    live = new.get("value_inheritance") == "live"
    for scope in scopes:
        raw = _raw(body, scope)
        said = dict(raw.get(INHERITED) or {})
        if not live and scope.parent is not None and (there := before.get(scope.name.partition(" ")[2])) is not None:
            for key, options in _changed(scope, there, old):
                said.setdefault(key, options)
        found = {} if live else {key: options for key, options in said.items() if options is not None}
        if found:
            raw[INHERITED] = found
        else:
            raw.pop(INHERITED, None)
    return body


def _changed(scope: Scope, before: Scope, old: Any) -> Iterator[tuple[str, Any]]:
    """Give the steps that the parent of a scope has placed, and what the scope keeps of each."""
    keeps = _raw(old, before).get(INHERITED) or {}
    parent, above = scope.parent, before.parent
    if parent is None or above is None:
        return
    for direction in DIRECTIONS:
        was = {item.key: written(item.entry) for item in above.lists[direction] if item.scope == above.name}
        for item in parent.lists[direction]:
            if item.scope != parent.name or item.key not in was:
                continue
            now, then = written(item.entry), was[item.key]
            if now.name != then.name:
                continue
            if item.key in keeps:
                yield item.key, keeps[item.key]
            elif now.options != then.options:
                yield item.key, {name: value for name, value in then.options.items() if name != HOST_KEY}


def _raw(body: Any, scope: Scope) -> Any:
    for part in scope.path:
        if body[part] is None:
            body[part] = {}
        body = body[part]
    return body
