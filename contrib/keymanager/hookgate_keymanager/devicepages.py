"""The page on which people type the code that a device shows, log in, and agree (RFC 8628, 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from hookgate import Exchange, Response
from hookgate_keymanager import pages
from hookgate_keymanager.asked import Malformed, fields_of
from hookgate_keymanager.binding import Stays, check_own, cookie_of, new_cookie, opened, seal, set_cookie
from hookgate_keymanager.extending import Desk
from hookgate_people import By, CodeNeeded, Denied, Person, TooMany
from hookgate_storage import StoreError

PLACE = "device agreement"
LONGEST_FORM = 20_000
LONGEST_TYPED = 20


class Asked(NamedTuple):
    """What a code that somebody types asks for."""

    mark: bytes
    client_id: str
    scope: str


class _Find(Protocol):
    async def __call__(self, typed: str) -> Asked | None: ...


class _Answer(Protocol):
    async def __call__(self, mark: bytes, user: str, at: float, *, agreed: bool) -> bool: ...


class DevicePages:
    """Answers at ``/device``."""

    def __init__(self, desk_of: Callable[[], Desk], find: _Find, answer: _Answer) -> None:
        self._desk_of, self._find, self._answer = desk_of, find, answer

    @property
    def _desk(self) -> Desk:
        return self._desk_of()

    async def page(self, exchange: Exchange, granting: Any, titles: Mapping[str, str]) -> Response:
        """Answer a call."""
        request = exchange.request
        try:
            if request.method == "GET":
                return self._form(exchange, fields_of(request.query).get("user_code", "")[:LONGEST_TYPED])
            form = fields_of(bytes(await request.body.read()).decode("ascii", errors="replace"), LONGEST_FORM)
            check_own(exchange)
            said = opened(self._desk.store(), exchange, PLACE, form.get("sealed", ""))
            if not said["user"]:
                return await self._typed(exchange, form, granting, titles)
            return await self._said(exchange, said, agreed=form.get("answer") == "yes")
        except (Stays, Malformed) as error:
            text = str(error)
            return pages.trouble(f"{text[:1].upper()}{text[1:]}.", 400)
        except TooMany as error:
            response = pages.trouble("Too many attempts have failed. Try again later.", 429)
            response.headers.add("Retry-After", str(int(error.seconds) + 1))
            return response
        except StoreError:
            return pages.trouble("The store of users is away. Try again later.", 503)

    def _form(self, exchange: Exchange, typed: str, message: str = "", name: str = "") -> Response:
        cookie = new_cookie(exchange)
        sealed = seal(self._desk.store(), cookie, PLACE, {"user": ""})
        response = pages.device(exchange.request.path, typed, {"sealed": sealed}, message, name)
        set_cookie(exchange, response, cookie)
        return response

    async def _typed(
        self, exchange: Exchange, form: Mapping[str, str], granting: Any, titles: Mapping[str, str]
    ) -> Response:
        typed, name = form.get("user_code", "")[:LONGEST_TYPED], form.get("name", "")
        people, address = self._desk.people(), exchange.request.client
        try:
            person: Person = await people.login(name, form.get("password", ""), address, form.get("code", ""))
        except CodeNeeded:
            message = "Write the code of your second factor, too, or a recovery code."
            return self._form(exchange, typed, message, name)
        except Denied:
            return self._form(exchange, typed, "Name, password or code are wrong.", name)
        guesses = (address, f"codes of devices that {person.name} types")
        for each in guesses:
            people.attempts.count(each)
        found = await self._find(typed)
        client = None if found is None else await self._desk.client(found.client_id)
        if found is None or client is None:
            return self._form(exchange, typed, "No device waits with this code; look at it once more.", name)
        for each in guesses:
            people.attempts.take_back(each)
        granted = granting.granted(found.scope.split(" ") if found.scope else [], person.roles, login=True)
        shown = [(each, titles.get(each, "")) for each in granted.split(" ")]
        kept: dict[str, Any] = {"user": person.name, "mark": found.mark.hex(), "client": found.client_id}
        kept["at"] = self._desk.store().clock()
        hidden = {"sealed": seal(self._desk.store(), cookie_of(exchange), PLACE, kept)}
        return pages.consent(exchange.request.path, client.application, person.name, shown, hidden)

    async def _said(self, exchange: Exchange, said: Mapping[str, Any], *, agreed: bool) -> Response:
        user = said["user"]
        people = self._desk.people()
        if await people.person(user) is None:
            raise Stays("the user is gone")
        if not await self._answer(bytes.fromhex(said["mark"]), user, said["at"], agreed=agreed):
            raise Stays("the code is over, or somebody has answered for it; begin again at the device")
        outcome = "done" if agreed else "refused: by the user"
        by = By(user, exchange.request.client)
        await people.audit.noted(by, "agree", f"clients/{said['client']}", outcome)
        text = "You can go on at your device." if agreed else "The device gets nothing."
        return pages.page("Thank you" if agreed else "Refused", f"<p>{text}</p>")
