"""The source `remote-store`: a node that has no way to the database follows another one by HTTP."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from pydantic import Field, model_validator

from hookgate import ConfigError, Duration, Options, Problem, Secret, Source, hookimpl
from hookgate_management.following import FORMAT, LONGEST_WAIT
from hookgate_storage import (
    Generation,
    Keys,
    Object,
    Reach,
    StoreError,
    StoreOptions,
    StoreSource,
    Whole,
    digest,
    serving,
    snapshot,
)

log = logging.getLogger("hookgate.storage")

PATIENCE = 120.0
"""Seconds that one answer may take, beside what it waits for something new."""
CONNECT, READ = 5.0, 30.0
"""Seconds to connect, and between two pieces of an answer: all that is stored is not told in a moment."""
MOST = 256 * 1024 * 1024
"""Bytes that an answer may have."""
MOST_ANSWER_TO_BEAT = 64 * 1024
LONGEST_PAUSE = 10
"""Time between two tries at most, while nobody answers, in pauses after the first one that failed."""
API = "/-/api"


class RemoteStoreOptions(Options):
    """Options of `remote-store`."""

    path: Path | None = None
    """The file with the rest of the document. What stands in it wins."""
    url: str
    """The management API of a gateway that has the store: `https://gate.example`, with the path where it does not stand
    under `/-/api`. `http` for this machine only, since secrets travel."""
    token: Secret | None = None
    """The token of a caller with the permission `follow`, or of a user who has it."""
    token_file: Path | None = None
    """The file with the token in its place, read for each call."""
    ca_file: Path | None = None
    """Authorities that the certificate of the gateway is from; those of this machine if left out."""
    certificate: Path | None = None
    """Certificate that this node shows, with its key, in PEM (mutual TLS)."""
    key: Path | None = None
    """The file with the key that the snapshot is sealed with; left out, `hookgate-store.key` beside the document. It is
    made where there is none, and need not be that of the store."""
    node: str = Field(default="", max_length=60, pattern=r"^[A-Za-z0-9._-]*$")
    """What this node is called in `/-/api/nodes`; host and process if left out."""
    wait: Duration = Field(default=20.0, ge=0, le=LONGEST_WAIT)
    """Seconds that the gateway keeps a question that has no answer yet."""
    pause: Duration = Field(default=1.0, ge=0.05, le=30)
    """Seconds until the next try after one that failed; it doubles up to ten times as many."""
    references: tuple[str, ...] = ()
    """What stored objects may refer to here, as for [store](source-store.md)."""
    allow: tuple[Reach, ...] = ()
    """What stored objects may do here beside, as for [store](source-store.md)."""

    @model_validator(mode="after")
    def _as_it_can_be(self) -> RemoteStoreOptions:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError("url: write https://host, without user, password and query")
        if parts.scheme == "http" and not _is_here(parts.hostname):
            raise ValueError("url: secrets travel here, so write https; http is for this machine only")
        if (self.token is None) == (self.token_file is None):
            raise ValueError("write one of token and token_file")
        return self


class RemoteStore(Source[RemoteStoreOptions]):
    """Serves what another gateway has stored, without a way to its database.

    It waits for new generations at the management API of that gateway, applies them, compares the digest, and says back
    what it serves, so that `?wait=live` waits for this node, too. While nobody answers, what it has serves on; it lies
    sealed beside the key, and a gateway starts from it. Nothing is written here: change it there.
    """

    def __init__(self, options: RemoteStoreOptions) -> None:
        super().__init__(options)
        near = {"path": options.path, "key": options.key, "references": options.references, "allow": options.allow}
        self._near = _Followed(options, StoreOptions.model_validate(near))

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document.

        Raises:
            ConfigError: the file cannot be read or has a mistake; or nobody answers, and there is no snapshot.
        """
        return self._with_teller(await self._near.read())

    @hookimpl
    async def instead(self, error: ConfigError) -> Mapping[str, Any] | None:
        """Leave out what is bad here, such as an object with a plugin that this node does not have."""
        document = await self._near.instead(error)
        return None if document is None else self._with_teller(document)

    def _with_teller(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        served = serving.get(document["storage"]["served"])
        if served is not None:
            served.teller = self._near.far
        return document

    @hookimpl
    async def changed(self) -> None:
        """Return when there is another generation, or the file holds something else."""
        await self._near.changed()


class Far:
    """The gateway that has the store, as a node asks it."""

    def __init__(self, options: RemoteStoreOptions) -> None:
        self._options = options
        url = options.url.rstrip("/")
        self.shown = url if urlsplit(url).path else url + API
        self._newest: Generation | None = None

    @staticmethod
    def clock() -> float:
        """Return the Unix time."""
        return time.time()

    async def news(self, held: Whole | None, wait: float) -> Any:
        """Ask for what is newer than what is held, and wait for it so many seconds.

        Raises:
            StoreError: nobody answers, or what is answered is none; the text says what.
        """
        known = {"after": held.generation.number, "digest": held.generation.digest} if held is not None else {}
        query = {"format": FORMAT, "wait": round(wait) if held is not None else 0, **known}
        told = await self._called("GET", "/follow", MOST, params=query)
        if told.get("format") != FORMAT:
            raise StoreError(f"{self.shown} is of another version of hookgate: update the older of the two")
        self._newest = _generation(told)
        return told

    async def acknowledge(self, node: str, generation: Generation, rejected: Any = ()) -> None:
        """Say what this node serves.

        Raises:
            StoreError: nobody hears it.
        """
        said = {"generation": generation.number, "digest": generation.digest, "rejected": list(rejected)[:1000]}
        told = await self._called("POST", f"/follow/{quote(node)}", MOST_ANSWER_TO_BEAT, json=said)
        self._newest = _generation(told)

    async def head(self) -> Generation:
        """Return the newest generation that was told of.

        Raises:
            StoreError: none was.
        """
        if self._newest is None:
            raise StoreError(f"{self.shown} has told of no generation yet")
        return self._newest

    async def _called(self, method: str, page: str, most: int, **more: Any) -> Any:
        import httpx  # a quarter of a second

        options, body = self._options, bytearray()
        limits = httpx.Timeout(READ + options.wait, connect=CONNECT)
        try:
            async with asyncio.timeout(PATIENCE + options.wait):
                headers = {"Authorization": f"Bearer {await asyncio.to_thread(self._token)}"}
                trusted = await asyncio.to_thread(self._trusted)
                async with (  # a connection for each call: certificates and tokens are what they are now
                    httpx.AsyncClient(verify=trusted, timeout=limits, trust_env=False, headers=headers) as client,
                    client.stream(method, self.shown + page, **more) as answer,
                ):
                    async for piece in answer.aiter_bytes():
                        body += piece
                        if len(body) > most:
                            raise StoreError(f"{self.shown} answers more than {most:,} bytes")
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, ssl.SSLError) as error:
            # what refuses a certificate of ours hangs up, often without a word: in TLS 1.3 after the handshake
            hint = ""
            if self.shown.startswith("https:"):
                hint = "; where it asks for certificates, look at the authority and the end of `certificate`"
            raise StoreError(f"{self.shown} hangs up: {_why(error)}{hint}") from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError) as error:
            raise StoreError(f"{self.shown} does not answer: {_why(error)}") from None
        try:
            told = orjson.loads(body)
        except ValueError:
            told = None
        if answer.status_code != 200 or not isinstance(told, dict):
            detail = told.get("detail") if isinstance(told, dict) else None
            why = f": {detail}" if isinstance(detail, str) and detail.isprintable() else ""
            raise StoreError(f"{self.shown} answers {answer.status_code}{why[:500]}")
        return told

    def _token(self) -> str:
        if self._options.token is not None:
            return self._options.token.reveal()
        assert self._options.token_file is not None
        return self._options.token_file.read_text("ascii").strip()

    def _trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._options.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._options.certificate is not None:
            try:
                context.load_cert_chain(self._options.certificate)
            except (OSError, ValueError) as error:
                what = f"{self._options.certificate} is no certificate with its key"
                raise StoreError(f"{what}: {_why(error)}") from None
        return context


class _Followed(StoreSource):
    """The source `store`, with a ledger that comes by HTTP in the place of a database."""

    def __init__(self, options: RemoteStoreOptions, near: StoreOptions) -> None:
        super().__init__(near)
        self.allowed = replace(self.allowed, followed=True)
        self._options = options
        self.far = Far(options)
        self.node = options.node or self.node
        self._failed = 0
        """How often in a row nothing was to be had."""
        self._held: Whole | None = None
        """What was taken last, and is what its digest says."""
        self._told: Any = None
        """What was answered to who waited for news, and is to be read yet."""

    async def _whole(self) -> tuple[None, Whole]:
        try:
            told, self._told = self._told or await self.far.news(self._held, 0), None
            whole, secret = await asyncio.to_thread(self._taken_from, told)
            if whole is None:
                whole, secret = await asyncio.to_thread(self._taken_from, await self.far.news(None, 0))
            if whole is None:
                raise StoreError(f"what {self.far.shown} sends is not what its generation says")
        except StoreError as error:
            self._away, self._failed = True, self._failed + 1
            log.error("%s; what was served last serves on", error)  # noqa: TRY400 - the text says it all
            return None, self._held or await self._from_snapshot(error)
        self._away, self._seen, self._held, self._failed = False, whole.generation, whole, 0
        if secret:
            try:
                keys = await asyncio.to_thread(Keys.in_file, self.key, make=True)
                await asyncio.to_thread(snapshot.keep, self.snapshot, whole, keys, secret)
            except (StoreError, OSError) as error:
                log.warning("no snapshot is kept in %s: %s", self.snapshot, error)
        return None, whole

    async def _from_snapshot(self, error: StoreError) -> Whole:
        try:
            keys = await asyncio.to_thread(Keys.in_file, self.key)
            self._held = await asyncio.to_thread(snapshot.kept, self.snapshot, keys)
        except StoreError as missing:
            why = f"{missing}" if self.snapshot.exists() else f"and there is no snapshot of it in {self.snapshot}"
            raise ConfigError([Problem((), f"{error}, {why}")]) from None
        return self._held

    def _taken_from(self, told: Any) -> tuple[Whole | None, bytes]:
        """Apply what was told; nothing where it does not come to what the digest says."""
        try:
            head = _generation(told)
            if "secret" not in told:  # nothing is new
                held = self._held.generation if self._held is not None else None
                same = held is not None and (held.number, held.digest) == (head.number, head.digest)
                return (self._held if same else None), b""
            secret = bytes.fromhex(told["secret"])
            if "objects" in told:
                there = {(each["kind"], each["name"]): Object(**each) for each in told["objects"]}
            else:
                there = {(each.kind, each.name): each for each in self._held.objects} if self._held is not None else {}
                for each in told["changes"]:
                    key = each["kind"], each["name"]
                    there.pop(key, None)
                    if each["body"] is not None:
                        there[key] = Object(*key, each["body"], each["version"], each["generation"], each["shape"])
            total = sum(
                digest.share(secret, each.kind, each.name, each.version, digest.canonical(each.body))
                for each in there.values()
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            why = type(error).__name__
            raise StoreError(f"what {self.far.shown} sends is nothing that a node reads: {why}") from None
        if (digest.shown(total), len(there)) != (head.digest, head.count):
            return None, b""
        return Whole(head, tuple(there[key] for key in sorted(there))), secret

    async def _newer(self) -> None:
        while True:
            if self._failed:
                pause = self._options.pause * min(2 ** min(self._failed - 1, 10), LONGEST_PAUSE)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that nodes do not ask together
            try:
                told = await self.far.news(self._held, 0 if self._away else self._options.wait)
            except StoreError as error:
                self._failed += 1
                log.log(logging.WARNING if self._failed == 1 else logging.INFO, "%s", error)
                continue
            if "secret" in told or self._away:
                self._told = told
                return
            self._failed = 0


def _generation(told: Any) -> Generation:
    try:
        found = Generation(**told["generation"])
        if type(found.number) is int and type(found.count) is int and isinstance(found.digest, str):
            return found
    except (TypeError, KeyError):
        pass
    raise StoreError("what is answered there names no generation: it is no management API of hookgate")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(error).strip().splitlines()
    return said[0][:300] if said else type(error).__name__
