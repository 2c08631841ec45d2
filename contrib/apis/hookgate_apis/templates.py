"""Templates: the flow that APIs are made with, in versions (KC-66, KC-9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from hookgate import Exchange, Interceptor, Item, Options, Problem, Section, Site, Ways, hookimpl
from hookgate.document import Interceptors
from hookgate.exchange import near
from hookgate.flow import Name

NONE = "none"
"""What an API says that has no template, where others have one without saying so."""
Front = tuple[tuple[str, Interceptor[Any]], ...]
"""Steps that the state of an API puts in front of its own."""


class TemplateSection(Options):
    """A version of a flow that APIs are made with: their own steps stand right of it."""

    name: Name
    """What it is called; together with the version it is unique."""
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")] = "1"
    """Its version, a number. An API that names none follows the highest one."""
    default: bool = False
    """Whether APIs that name no template are made with it; of several such versions with the highest one."""
    description: str = ""
    """What it is for."""
    flow: Interceptors = ()
    """Steps, the client on the left. `lifecycle` stands for what the state of the API puts there."""
    request: Interceptors = ()
    """Steps on the way in only, right of those in `flow`."""
    response: Interceptors = ()
    """Steps on the way out only, right of those in `flow`."""


class Lifecycle(Interceptor[Options]):
    """Stands for what the state of an API puts into its flow: who calls a blocked one is refused here, and steps right
    of it find `vars.lifecycle` of a prototype.

    Where it does not stand in a template or at the top of an API, that comes left of all steps of the API. It does
    nothing where calls belong to no API, and for an API that is simply served.
    """

    category = "traffic"
    sides = {"request"}
    scopes = {"api"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Let the call pass."""


class Templates(Section[TemplateSection]):
    """Templates of APIs. The steps are built for each API anew, so that a limit counts the calls of one API."""

    shape, kind, key = "list", "API template", ("name", "version")

    def __init__(self, items: Sequence[Item[TemplateSection]]) -> None:
        super().__init__(items)
        self._newest: dict[str, Item[TemplateSection]] = {}
        by_version = sorted(items, key=lambda item: int(item.record.version))
        for item in by_version:
            self._newest[item.record.name] = item
        self._by_name = {item.name: item for item in items}
        default = [item for item in by_version if item.record.default]
        self._default = default[-1] if default else None

    def of(self, said: str | None) -> Item[TemplateSection] | None:
        """Return the template of an API by what it says of it; ``None`` for none.

        Raises:
            LookupError: it says one that is not there; the text says what is.
        """
        if said is None:
            return self._default
        if said == NONE:
            return None
        found = self._by_name.get(said) or self._newest.get(said)
        if found is None:
            known = [*self._newest, *self._by_name]
            there = ", ".join(known) or "none"
            raise LookupError(f"there is no template {said!r}{near(said, known)}; there is {there}")
        return found

    @staticmethod
    def ways(item: Item[TemplateSection], api: str, site: Site) -> Ways:
        """Build the steps of a template for an API."""
        record = item.record
        lists = {"flow": record.flow, "request": record.request, "response": record.response}
        owner = f"api_templates.{item.name}"
        made = site.flow(lists, item.path, f"{owner}@{api}", owner, scope="api").ways()
        return Ways(*(tuple((f"template/{key}", step) for key, step in way) for way in made))

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell what is wrong with templates that no API is made with, and with what their names say."""
        used = {entry_id.partition("@")[0] for entry_id in site.placed if entry_id.startswith("api_templates.")}
        defaults = {item.record.name for item in self.items if item.record.default}
        for item in self.items:
            record = item.record
            if f"api_templates.{item.name}" not in used:
                lists = {"flow": record.flow, "request": record.request, "response": record.response}
                site.flow(lists, item.path, f"api_templates.{item.name}", scope="api", keep=False)
            if record.name == NONE:
                yield Problem((*item.path, "name"), f"{NONE!r} is what APIs without a template say; call it otherwise")
            if record.default and len(defaults) > 1:
                message = f"only one template is the default, and there are {', '.join(sorted(defaults))}"
                yield Problem((*item.path, "default"), message)


def with_lifecycle(ways: Ways, front: Front) -> Ways:
    """Put what the state of an API brings where a flow says `lifecycle`, or else left of everything."""
    at = next((index for index, (_, step) in enumerate(ways.way_in) if isinstance(step, Lifecycle)), None)
    plain = Ways(*(tuple(each for each in way if not isinstance(each[1], Lifecycle)) for way in ways))
    if at is None:
        return Ways((*front, *plain.way_in), plain.way_out)
    return Ways((*plain.way_in[:at], *front, *plain.way_in[at:]), plain.way_out)
