"""JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from typing import Any


def patched(old: Any, patch: Any) -> Any:
    """Return what a patch makes of a value: members of objects are set, null takes one away, all else is replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result
