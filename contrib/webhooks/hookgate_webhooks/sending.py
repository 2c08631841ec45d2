"""Sending what waits: signed, through a connection, again with longer and longer pauses.

A delivery is made at least once. Whoever takes one first moves its next try on, behind the longest time that this one
may take: what a process leaves when it is killed is tried again then, with the same id.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import random
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import and_, delete, select, update

from hookgate import Fault, Host
from hookgate_storage import Database, StoreError
from hookgate_webhooks.records import WebhookSection
from hookgate_webhooks.tables import DONE, FAILED, WAITING, deliveries
from hookgate_workflows import JournalAway

log = logging.getLogger("hookgate.webhooks")

LOCK = 0x686F6F6B77656268
"""Of the advisory lock on PostgreSQL that writers of deliveries hold."""
POLL = 1.0
AT_ONCE = 20
"""Deliveries that one process makes at once."""
LONGEST_PAUSE = 3600.0
MARGIN = 10.0
"""Seconds behind the time limit of a try, after which somebody else makes it."""
KEEP = 30 * 86_400.0
"""Seconds that deliveries are kept."""
AGAIN = (408, 425, 429)
"""Statuses below 500 that a delivery is tried again for."""


class Sender:
    """Sends what waits."""

    def __init__(self, host: Host, webhooks: Mapping[str, WebhookSection]) -> None:
        self._host, self._webhooks = host, webhooks
        self.wake = asyncio.Event()
        self.trouble = ""

    @property
    def database(self) -> Database:
        """The store.

        Raises:
            JournalAway: there is none.
        """
        section: Any = self._host.section("workflow_engine")
        found: Database = section.engine.journal.database
        return found

    async def run(self) -> None:
        """Send, for ever."""
        forgotten = self._host.clock.now()
        while True:
            self.wake.clear()
            count = 0
            try:
                count = await self._some()
                self.trouble = ""
                if self._host.clock.now() > forgotten:
                    forgotten = self._host.clock.now() + 3600
                    await self._forget()
            except (StoreError, JournalAway) as error:
                self.trouble = str(error)
            if count < AT_ONCE:
                try:
                    async with asyncio.timeout(POLL):
                        await self.wake.wait()
                except TimeoutError:
                    pass

    async def _some(self) -> int:
        now = self._host.clock.wall()
        due = and_(deliveries.c.status == WAITING, deliveries.c.next <= now)
        async with self.database.transaction() as connection:
            asked = select(deliveries).where(due).order_by(deliveries.c.next).limit(AT_ONCE)
            rows = [dict(row) for row in (await connection.execute(asked)).mappings()]
        await asyncio.gather(*(self._one(row) for row in rows))
        return len(rows)

    async def _one(self, row: Mapping[str, Any]) -> None:
        now, webhook = self._host.clock.wall(), self._webhooks.get(row["webhook"])
        mine = and_(deliveries.c.id == row["id"], deliveries.c.status == WAITING, deliveries.c.next == row["next"])
        patience = MARGIN + (0.0 if webhook is None else webhook.timeout)
        values = {"next": now + patience, "attempt": row["attempt"] + 1}
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            if (await connection.execute(update(deliveries).where(mine).values(values))).rowcount != 1:
                return  # somebody else makes it
        if webhook is None or not webhook.enabled:
            told = {"status": None, "error": "the webhook is not there any more, or is switched off", "seconds": 0.0}
        else:
            told = await self.send(webhook, row["guid"], orjson.loads(row["payload"]))
        await self._note(row, webhook, told, now)

    async def _note(
        self, row: Mapping[str, Any], webhook: WebhookSection | None, told: Mapping[str, Any], now: float
    ) -> None:
        attempt, status = row["attempt"] + 1, told["status"]
        tries = [*orjson.loads(row["tries"]), {"at": now, **told}][-100:]
        values: dict[str, Any] = {"tries": orjson.dumps(tries).decode()}
        again = webhook is not None and (status is None or status >= 500 or status in AGAIN)
        if status is not None and 200 <= status < 300:
            values |= {"status": DONE, "next": None}
        elif webhook is None or not webhook.enabled or not again or attempt >= webhook.attempts:
            values |= {"status": FAILED, "next": None}
            log.warning("the webhook %s was not delivered: %s", row["webhook"], told["error"] or f"status {status}")
        else:
            pause = min(webhook.delay * 3 ** (attempt - 1), LONGEST_PAUSE)
            values |= {"next": self._host.clock.wall() + pause * random.uniform(0.9, 1.1)}  # noqa: S311
        mine = and_(deliveries.c.id == row["id"], deliveries.c.attempt == attempt)
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            await connection.execute(update(deliveries).where(mine).values(values))

    async def send(self, webhook: WebhookSection, guid: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send one; say what came of it."""
        said: dict[str, Any] = {"event": webhook.event, **payload}
        if webhook.secret is not None:
            said["secret"] = webhook.secret.reveal()
        body = orjson.dumps(said)
        begun = self._host.clock.now()
        status, error = None, ""
        try:
            async with asyncio.timeout(webhook.timeout + 1):
                connection = self._host.connection(str(webhook.connection))
                answer = await connection.request(
                    "POST",
                    webhook.path,
                    headers=self._headers(webhook, guid, body),
                    body=body,
                    timeout=webhook.timeout,
                )
                status = answer.status
                await answer.body.read()
        except LookupError:
            error = "there is no such connection any more"
        except TimeoutError:
            error = f"there was no answer within {webhook.timeout:g} s"
        except Fault as fault:
            error = f"there was no answer: {fault.reason}"
        return {"status": status, "error": error, "seconds": round(self._host.clock.now() - begun, 6)}

    def _headers(self, webhook: WebhookSection, guid: str, body: bytes) -> dict[str, str]:
        at = str(int(self._host.clock.wall()))
        found = {"content-type": "application/json", "webhook-id": guid, "webhook-timestamp": at}
        if webhook.signing_key is not None:
            signed = hmac.new(webhook.key, f"{guid}.{at}.".encode() + body, hashlib.sha256).digest()
            found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        if webhook.basic is not None:
            pair = f"{webhook.basic.user}:{webhook.basic.password.reveal()}".encode()
            found["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if webhook.header is not None:
            found[webhook.header.name.lower()] = webhook.header.value.reveal()
        return found

    # --- for people -------------------------------------------------------------------------------------------------

    async def page(self, where: Mapping[str, str], before: int | None, most: int) -> list[dict[str, Any]]:
        """Return deliveries, the newest first."""
        asked = select(deliveries).order_by(deliveries.c.id.desc()).limit(most)
        for name, value in where.items():
            asked = asked.where(deliveries.c[name] == value)
        if before is not None:
            asked = asked.where(deliveries.c.id < before)
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(asked)).mappings()]

    async def again(self, number: int) -> bool:
        """Send one anew that is over."""
        over = and_(deliveries.c.id == number, deliveries.c.status.in_((DONE, FAILED)))
        values = {"status": WAITING, "attempt": 0, "next": self._host.clock.wall()}
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            done = (await connection.execute(update(deliveries).where(over).values(values))).rowcount == 1
        self.wake.set()
        return done

    async def _forget(self) -> None:
        old = and_(deliveries.c.status != WAITING, deliveries.c.created < self._host.clock.wall() - KEEP)
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            await connection.execute(delete(deliveries).where(old))
