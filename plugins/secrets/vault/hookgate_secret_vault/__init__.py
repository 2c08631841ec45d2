"""Resolve ${vault:path#field} from HashiCorp Vault or OpenBao."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hookgate import Clock, Host, Secret, SecretProvider, hookimpl

from .api import RENEW_AT, Api, Found, VaultError
from .options import AppRole, VaultOptions

__all__ = ["AppRole", "Vault", "VaultOptions"]

LONGEST = 1000
"""Characters of a reference at most."""
RETRY = 60.0
"""Seconds between two tries to read what could not be read, where nothing else is read again."""
EXAMPLE = "write ${vault:secret/data/crm#password}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read at a path."""

    digest: bytes = b""
    """Of all fields; empty where it could not be read."""
    lease: Found | None = None
    """What was made for us, and is ours until it has to be replaced."""
    replace: float = 0.0
    """When that is, on the monotonic clock."""


class Vault(SecretProvider[VaultOptions]):
    """Reads secrets from HashiCorp Vault, or from OpenBao, which speaks the same.

    A reference is the path of the API and the field: `${vault:secret/data/crm#password}` for version 2 of the key-value
    engine, whose paths have `data` behind the mount; `${vault:kv/crm#password}` for version 1; and
    `${vault:database/creds/crm#username}` for other engines that are read. `#field` may be left out where a secret has
    only one. References to one path are one request, so that user name and password belong together.

    Every `refresh` seconds all paths are read again; another value loads the document again, without a restart. What
    was made for us (a lease) is kept, and replaced after two thirds of its time.
    """

    def __init__(self, options: VaultOptions) -> None:
        super().__init__(options)
        self._api: Api | None = None
        self._clock: Clock
        self._host: Host
        self._known: dict[str, _Known] = {}
        """By path."""
        self._reading: dict[str, asyncio.Task[Found]] = {}
        self._complained: set[str] = set()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the client and the clock of the house. The server is not asked before the first reference."""
        self._host, self._clock = host, host.clock
        self._api = Api(self.options, host)

    @hookimpl
    async def shutdown(self) -> None:
        """Break off what is being read, and revoke the token if a login gave it."""
        api, self._api = self._api, None
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        self._known.clear()
        if api is not None:
            await api.leave()

    # --- reading ----------------------------------------------------------------------------------------------------

    @hookimpl
    async def resolve(self, reference: str) -> Secret:
        """Return the value of a field.

        Raises:
            LookupError: that is no reference, it may not be read, there is no such secret or field, or the server
                cannot be asked.
        """
        path, field = _taken_apart(reference)
        if self.options.allow is not None and not any(fnmatchcase(path, pattern) for pattern in self.options.allow):
            raise VaultError(f"{path} may not be read; secrets.vault.allow does not name it")
        if self._api is None:
            raise VaultError("vault can be asked only after startup")
        task = self._reading.get(path)
        if task is None:
            task = self._reading[path] = asyncio.create_task(self._read(self._api, path))
            task.add_done_callback(lambda done: self._over(path, done))
        return _value((await asyncio.shield(task)).fields, path, field)

    def _over(self, path: str, task: asyncio.Task[Found]) -> None:
        self._reading.pop(path, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody does any more, nobody misses it

    async def _read(self, api: Api, path: str) -> Found:
        known = self._known.get(path)
        if known is not None and known.lease is not None and self._clock.now() < known.replace:
            return known.lease
        self._known[path] = _Known()
        found = await api.read(path)
        if found.lease:
            self._known[path] = _Known(lease=found, replace=self._clock.now() + found.lease * RENEW_AT)
        else:
            self._known[path] = _Known(_digest(found))
        return found

    # --- rotation ---------------------------------------------------------------------------------------------------

    @hookimpl
    async def changed(self) -> None:
        """Return when a secret has another value, or a lease has to be replaced. Keeps the token alive meanwhile.

        What is told is forgotten until it is resolved again, so that one change is told once.
        """
        api = self._api
        if api is None:
            raise VaultError("vault can be asked only after startup")
        look = self._clock.now() + (self.options.refresh or RETRY)
        while True:
            await api.keep()
            await self._clock.sleep(self._rest(api, look))
            different = {path for path, known in self._known.items() if known.lease and self._ends(known)}
            if self._clock.now() >= look:
                stored = [path for path, known in self._known.items() if self._is_due(known)]
                found = await asyncio.gather(*(self._differs(api, path) for path in stored))
                different |= {path for path, differs in zip(stored, found, strict=True) if differs}
                look = self._clock.now() + (self.options.refresh or RETRY)
            for path in different:
                self._known.pop(path, None)
            if different:
                return

    def _ends(self, known: _Known) -> bool:
        return self._clock.now() >= known.replace

    def _is_due(self, known: _Known) -> bool:
        return known.lease is None and (self.options.refresh > 0 or not known.digest)

    def _rest(self, api: Api, look: float) -> float:
        """Seconds until there is something to do."""
        moments = [look, *(known.replace for known in self._known.values() if known.lease)]
        if api.renew_at is not None:
            moments.append(api.renew_at)
        return max(0.0, min(moments) - self._clock.now())

    async def _differs(self, api: Api, path: str) -> bool:
        try:
            digest = _digest(await api.read(path))
        except VaultError as error:
            if path not in self._complained:  # once, not every minute
                self._complained.add(path)
                self._host.log.warning("vault: what is in use stays, as it cannot be read again: %s", error)
            return False
        self._complained.discard(path)
        known = self._known.get(path)  # it may have been resolved meanwhile
        return known is not None and known.digest != digest


def _taken_apart(reference: str) -> tuple[str, str]:
    path, _, field = reference.partition("#")
    if len(reference) > LONGEST or not reference.isprintable():
        raise VaultError(f"a reference has at most {LONGEST} characters, all of them printable; {EXAMPLE}")
    path = path.removeprefix("/")
    if "/" not in path or any(part in ("", ".", "..") for part in path.split("/")) or "?" in path:
        raise VaultError(f"{reference!r} is no path in vault; {EXAMPLE}")
    return path, field


def _value(fields: Mapping[str, Any], path: str, field: str) -> Secret:
    """Choose a field. Messages name fields, never what is in them."""
    if not field:
        if len(fields) != 1:
            example = f"{path}#{next(iter(fields), 'field')}"
            raise VaultError(f"{path} in vault has {len(fields)} fields; name one, such as {example}")
        (field,) = fields
    if field not in fields:
        raise VaultError(f"{path} in vault has no field {field!r}")
    value = fields[field]
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, bool | int | float):
        return Secret(json.dumps(value))
    raise VaultError(f"the field {field!r} of {path} in vault is neither a text nor a number")


def _digest(found: Found) -> bytes:
    return hashlib.sha256(json.dumps(found.fields, sort_keys=True).encode()).digest()
