"""Users of an upstream gateway, and their sessions (CR-26 to CR-28)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from hookgate import Host, Identity, Secret
from hookgate_storage import SealBroken
from hookgate_workflows.executors import JournalAway

LONGEST_SESSION = 8192
_UPSTREAM = re.compile(r"(p[1-9][0-9]{0,8}):")


@dataclass(frozen=True)
class UpstreamUser(Identity):
    """Who calls with a session of an upstream gateway, which says that it is good."""

    proxy: str = ""
    """The proxy in front of that gateway."""
    session: Secret = field(default_factory=lambda: Secret(""), repr=False, compare=False)


def sealed(user: Identity | None, host: Host) -> dict[str, str] | None:
    """Return what an instance keeps of who has started it: the session of an upstream user, encrypted with the key of
    the store; nothing of anybody else.

    Raises:
        JournalAway: there is no store.
    """
    if not isinstance(user, UpstreamUser):
        return None
    box = _keys(host).seal(user.session.reveal().encode(), _place(user.proxy, user.subject))
    return {"proxy": user.proxy, "user": user.subject, "sealed": base64.b64encode(box).decode()}


def opened(told: Mapping[str, str], host: Host) -> Secret | None:
    """Return the session that an instance keeps; ``None`` where it keeps it no more, or its key is gone.

    Raises:
        JournalAway: there is no store.
    """
    if not (box := told.get("sealed")):
        return None
    keys = _keys(host)
    try:
        return Secret(keys.open(base64.b64decode(box), _place(told["proxy"], told["user"])).decode())
    except (SealBroken, ValueError):
        return None


def kept_by(session: Mapping[str, str] | None, owner: Any) -> Mapping[str, str] | None:
    """Return what an instance keeps of an upstream user. The name of its owner tells one, too: what was started for
    such a user in another way, such as a row of a bulk, has no session, and is nobody else's."""
    if session is None and isinstance(owner, str) and (found := _UPSTREAM.match(owner)):
        return {"proxy": found[1], "user": owner, "sealed": ""}
    return session


def without_session(told: dict[str, str] | None) -> dict[str, str] | None:
    """Return what is left of it when the instance is over: who it was, so that nobody else's session is taken."""
    return None if told is None else {**told, "sealed": ""}


def session_in(state: str) -> dict[str, str] | None:
    """Return what the state of an instance, as the journal has it, keeps of a session."""
    found: dict[str, str] | None = orjson.loads(state).get("session")
    return found


def _keys(host: Host) -> Any:
    try:
        section: Any = host.section("storage")
        store = section.store
    except LookupError:
        store = None
    if store is None:
        raise JournalAway("there is no store, whose key would seal sessions")
    return store.keys


def _place(proxy: str, user: str) -> str:
    return f"workflow-session/{proxy}/{user}"
