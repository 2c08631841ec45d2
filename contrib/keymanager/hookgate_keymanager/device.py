"""The grant ``device-code``: what has no browser gets tokens of a user who agrees on another machine (RFC 8628).

A code of a device is 256 bits; what people type has 34, so whoever tries codes has to log in, and gets few tries.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field
from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate import Duration, Exchange, Options, hookimpl
from hookgate_keymanager.clients import hash_of
from hookgate_keymanager.devicepages import Asked, DevicePages
from hookgate_keymanager.extending import Grant, Granted, GrantEndpoint, GrantRefused, GrantRequest
from hookgate_keymanager.logins import Login
from hookgate_keymanager.tables import devices

DEVICE = "hgd_"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of what people type: no vowels, which make words, and nothing that looks alike (RFC 8628, 6.1)."""
LENGTH = 8
MORE = 5.0
"""Seconds that a device waits longer after it has asked too soon (RFC 8628, 3.5)."""
LONGEST_PAUSE = 120.0
MOST_WAITING = 1000
"""Devices of one client that may wait at a time."""


class DeviceCodeOptions(Options):
    """Options of `device-code`."""

    lifetime: Duration = Field(default=600.0, ge=30, le=3600)
    """Seconds in which somebody has to agree."""
    interval: Duration = Field(default=5.0, ge=1, le=60)
    """Seconds that a device waits between two questions."""


class DeviceCode(Grant[DeviceCodeOptions]):
    """Gives tokens to devices without a browser (RFC 8628), by `urn:ietf:params:oauth:grant-type:device_code`.

    A device asks `/device_authorization` for two codes. It shows one to its user, who types it on the page `/device`,
    logs in and agrees; meanwhile it asks `/token` with the other one. Who types codes that are none is slowed down.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:device_code"
    public: ClassVar[bool] = True

    def endpoints(self) -> Mapping[str, GrantEndpoint]:
        """Return where devices begin, and the page for people."""
        pages = DevicePages(lambda: self.desk, self.find, self.answer)
        return {
            "authorization": GrantEndpoint("/device_authorization", ("POST",), ask=self.begin),
            "page": GrantEndpoint("/device", ("GET", "POST"), page=pages.page),
        }

    def metadata(self, issuer: str) -> Mapping[str, Any]:
        """Say where devices begin (RFC 8628, 4)."""
        return {"device_authorization_endpoint": f"{issuer}/device_authorization"}

    async def begin(self, asked: GrantRequest, exchange: Exchange) -> Mapping[str, Any]:
        """Give a device its codes (RFC 8628, 3.2)."""
        store, options, client = self.desk.store(), self.options, asked.client
        now = store.clock()
        device = DEVICE + secrets.token_urlsafe(32)
        shown = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        row: dict[str, Any] = {"hash": hash_of(device), "user_code": hash_of(shown), "client": client.client_id}
        row |= {"scope": asked.fields.get("scope", ""), "user": None, "state": "waiting"}
        row |= {
            "family": secrets.token_hex(16),
            "asked": 0.0,
            "pause": options.interval,
            "ends": now + options.lifetime,
        }
        waiting = and_(devices.c.client == client.client_id, devices.c.ends > now)
        async with store.database.transaction(writes=True) as connection:
            count = select(func.count()).select_from(devices).where(waiting)
            if (await connection.execute(count)).scalar_one() >= MOST_WAITING:
                raise GrantRefused("slow_down", "too many devices of this client are waiting", 429)
            await connection.execute(insert(devices).values(row))
        place = f"{self.desk.place(exchange)}/device"
        typed = f"{shown[:4]}-{shown[4:]}"
        return {
            "device_code": device,
            "user_code": typed,
            "verification_uri": place,
            "verification_uri_complete": f"{place}?{urlencode({'user_code': typed})}",
            "expires_in": int(options.lifetime),
            "interval": int(options.interval),
        }

    @hookimpl
    async def grant(self, asked: GrantRequest) -> Granted:
        """Say whether somebody has agreed (RFC 8628, 3.5).

        Raises:
            GrantRefused: nobody has yet, somebody has refused, the code is over, or the device asks too often.
        """
        text = asked.fields.get("device_code", "")
        if not text:
            raise GrantRefused("invalid_request", "there is no device_code")
        store = self.desk.store()
        mark = hash_of(text)
        async with store.database.transaction() as connection:
            row = (await connection.execute(select(devices).where(devices.c.hash == mark))).first()
        if row is None or row.client != asked.client.client_id:
            raise GrantRefused("invalid_grant", "the device_code is none")
        if row.state == "used":
            await self.desk.end_family(row.family)  # somebody else has it, too
            raise GrantRefused("invalid_grant", "the device_code has been used")
        if row.ends <= store.clock():
            raise GrantRefused("expired_token", "nobody has agreed in time; begin again")
        if row.state == "refused":
            raise GrantRefused("access_denied", "the user does not agree")
        if row.state != "agreed":
            raise await self._later(mark)

        async def use(connection: AsyncConnection) -> bool:
            mine = update(devices).where(devices.c.hash == mark, devices.c.state == "agreed").values(state="used")
            return bool((await connection.execute(mine)).rowcount)

        login = None if row.auth_time is None else Login(row.auth_time)
        return Granted(row.user, row.scope, refresh=True, family=row.family, use=use, login=login)

    async def _later(self, mark: bytes) -> GrantRefused:
        store = self.desk.store()
        now = store.clock()
        async with store.database.transaction(writes=True) as connection:
            in_time = update(devices).where(devices.c.hash == mark, devices.c.asked <= now - devices.c.pause)
            if (await connection.execute(in_time.values(asked=now))).rowcount:
                return GrantRefused("authorization_pending", "nobody has agreed yet")
            slower = {"asked": now, "pause": func.min(devices.c.pause + MORE, LONGEST_PAUSE)}
            if not store.database.is_sqlite:
                slower["pause"] = func.least(devices.c.pause + MORE, LONGEST_PAUSE)
            await connection.execute(update(devices).where(devices.c.hash == mark).values(slower))
        return GrantRefused("slow_down", "wait 5 seconds longer between two questions")

    async def find(self, typed: str) -> Asked | None:
        """Return what a user code asks for, if it is one that waits."""
        plain = "".join(each for each in typed.upper() if each.isalnum())
        if len(plain) != LENGTH or not set(plain) <= set(LETTERS):
            return None
        store = self.desk.store()
        wanted = select(devices).where(devices.c.user_code == hash_of(plain), devices.c.state == "waiting")
        async with store.database.transaction() as connection:
            row = (await connection.execute(wanted.where(devices.c.ends > store.clock()))).first()
        return None if row is None else Asked(row.hash, row.client, row.scope)

    async def answer(self, mark: bytes, user: str, at: float, *, agreed: bool) -> bool:
        """Keep what a user has said who has logged in at that time; return whether the code was still waiting."""
        store = self.desk.store()
        here = and_(devices.c.hash == mark, devices.c.state == "waiting", devices.c.ends > store.clock())
        told = {"state": "agreed" if agreed else "refused", "user": user, "auth_time": at}
        async with store.database.transaction(writes=True) as connection:
            return bool((await connection.execute(update(devices).where(here).values(told))).rowcount)
