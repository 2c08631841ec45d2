"""The same target for the same client, by a signed cookie."""

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from hookgate import Balancer, Exchange, Host, Options, Outcome, Response, Secret, Target, WholeSeconds, hookimpl
from hookgate_balancer_sticky.cookie import Seal, found, without


class StickyOptions(Options):
    """Options of `sticky`."""

    secret: Secret
    """What cookies are signed with: at least 16 characters, the same in all gateways that share clients. With another
    one all clients are spread anew."""
    name: str = Field(default="hookgate-target", pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")
    """Name of the cookie; another one for each connection whose routes share a host and a path."""
    path: str = Field(default="/", pattern=r"^/[!-:<-~]{0,255}$")
    """Paths the client sends the cookie for: this one and all below."""
    max_age: Annotated[WholeSeconds, Field(ge=1, le=34_560_000)] | None = None
    """Seconds a client stays with its target after its last call, give or take a half: a cookie is renewed when half of
    them are over. Null is until the client ends its session, which is when its browser is closed."""
    secure: bool = True
    """Whether the client sends the cookie over HTTPS only. Switch it off only where clients come by plain HTTP."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    """Whether the cookie comes along with calls that other sites cause."""
    pass_on: bool = False
    """Whether the backend gets to see the cookie."""
    balancer: Balancer[Any] | None = None
    """Chooses the target of a client that has none yet; if left out, the less busy of two random ones by weight."""

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: Secret) -> Secret:
        if len(secret.reveal()) < 16:
            raise ValueError("is too short to sign with: use at least 16 random characters")
        return secret

    @model_validator(mode="after")
    def _accepted_by_browsers(self) -> "StickyOptions":
        prefix = self.name.lower()
        if self.same_site == "none" and not self.secure:
            raise ValueError("same_site: none goes with secure: true only, or browsers refuse the cookie")
        if prefix.startswith(("__host-", "__secure-")) and not self.secure:
            raise ValueError(f"name: {self.name} goes with secure: true only, or browsers refuse the cookie")
        if prefix.startswith("__host-") and self.path != "/":
            raise ValueError(f"path: {self.name} goes with path / only, or browsers refuse the cookie")
        return self


class _Note(NamedTuple):
    """What the cookie of a call says; kept because the cookie is gone when the call is tried again."""

    word: str
    """The word for the target; empty without a valid cookie."""
    renew: bool


class Sticky(Balancer[StickyOptions]):
    """Gives a client a cookie that names its target, and sends what comes with it to the same target again.

    The cookie is signed (HMAC-SHA256) and names the target by a word that is made with the secret, so that it tells
    nobody an address. One that is forged, changed, expired, or of another connection's name or secret counts as none.
    It is always `HttpOnly`, and backends do not see it unless `pass_on` says so.

    A client without a target gets the one that `balancer` picks. So does one whose target is gone, ill, drained (weight
    0) or was tried by this call already: it gets a new cookie with the answer, and stays with the new target. Where all
    targets are ill and are called all the same, clients stay with theirs. The inner balancer hears of every answer and
    every end of a call, including those it did not pick a target for.
    """

    generator: ClassVar[Random] = Random()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from without an inner balancer; a test puts another one here."""

    def __init__(self, options: StickyOptions) -> None:
        super().__init__(options)
        inner = options.balancer
        self.ranks_health = inner is not None and inner.ranks_health  # type: ignore[misc]
        self._inner_pick = getattr(inner, "pick", self._less_busy)
        self._inner_chosen = getattr(inner, "chosen", None)
        self._inner_release = getattr(inner, "release", None)
        self._seal = Seal(options.secret, options.name, options.max_age)
        age = "" if options.max_age is None else f"; Max-Age={options.max_age}"
        secure = "; Secure" if options.secure else ""
        self._attributes = f"; Path={options.path}{age}{secure}; HttpOnly; SameSite={options.same_site.capitalize()}"

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take over the clock."""
        self._seal.now = host.clock.wall

    @hookimpl
    def pick(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        """Return the target that the client has, or a new one."""
        note: _Note | None = exchange.variables.get(self.entry.id)
        if note is None:
            exchange.variables[self.entry.id] = note = self._read(exchange)
        if note.word:
            for target in targets:
                if self._seal.word(target.url) == note.word:
                    if target.health.healthy or not any(each.health.healthy for each in targets):
                        return target
                    break
        picked: Target | None = self._inner_pick(exchange, targets)
        return picked

    @hookimpl
    def chosen(self, exchange: Exchange, target: Target, response: Response) -> None:
        """Set the cookie, unless the client has the right one."""
        if self._inner_chosen is not None:
            self._inner_chosen(exchange, target, response)
        note: _Note | None = exchange.variables.get(self.entry.id)
        word = self._seal.word(target.url)
        if note is None or note.renew or note.word != word:
            value = self._seal.sealed(word)
            response.headers.add("Set-Cookie", f"{self.options.name}={value}{self._attributes}")

    @hookimpl
    def release(self, target: Target, outcome: Outcome) -> None:
        """Tell the inner balancer."""
        if self._inner_release is not None:
            self._inner_release(target, outcome)

    def _read(self, exchange: Exchange) -> _Note:
        """Look for a valid cookie, and take it out of what the backend gets."""
        headers = exchange.request.headers
        lines = headers.getall("cookie")
        note = _Note("", renew=False)
        for value in found(lines, self.options.name):
            opened = self._seal.opened(value)
            if opened is not None:
                note = _Note(*opened)
                break
        if lines and not self.options.pass_on:
            left = without(lines, self.options.name)
            if left != lines:
                headers.remove("cookie")
                for line in left:
                    headers.add("Cookie", line)
        return note

    def _less_busy(self, exchange: Exchange, targets: Sequence[Target]) -> Target | None:
        if not targets:
            return None
        first, second = self.generator.choices(targets, [target.weight for target in targets], k=2)
        return second if second.in_flight * first.weight < first.in_flight * second.weight else first
