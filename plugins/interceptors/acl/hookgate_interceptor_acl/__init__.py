"""Let through whom rules allow, and refuse whom they deny."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hookgate import Exchange, Expression, Forbidden, Identity, Interceptor, Options, hookimpl
from hookgate.workshop import words_of

Named = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[Named, ...], Field(max_length=1000)]
_OF_WHO = ("roles", "groups", "scopes", "applications", "subjects")


class RuleOptions(Options):
    """A rule. It holds where everything holds that it says."""

    name: Annotated[str, Field(max_length=100)] = ""
    """What the trace calls it."""
    roles: Names = ()
    """Roles, of which the caller has one."""
    groups: Names = ()
    """Groups, of which the caller is in one."""
    scopes: Names = ()
    """Scopes, which the caller has all of."""
    applications: Names = ()
    """Applications, of which one calls."""
    subjects: Names = ()
    """Callers, by the subject of their identity."""
    methods: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z-]+$")], ...], Field(max_length=50)] = ()
    """Methods of requests, of which this is one: what the rule is about. `GET` is `HEAD`, too."""
    when: Expression | None = None
    """A condition, such as `identity.claims.level >= 3`. Anything but null, false, 0 and what is empty holds."""

    @model_validator(mode="after")
    def _say_something(self) -> Self:
        if not self.model_fields_set - {"name"}:
            raise ValueError("the rule says nothing, and would hold for everybody; write roles, when or another field")
        for name in (*_OF_WHO, "methods"):
            if name in self.model_fields_set and not getattr(self, name):
                raise ValueError(f"{name}: the list is empty, so that the rule would never hold; leave it out")
        return self

    @property
    def asks_who(self) -> bool:
        """Whether it cannot be judged without an identity."""
        return any(getattr(self, name) for name in _OF_WHO)


class AclOptions(Options):
    """Options of `acl`."""

    deny: Annotated[tuple[RuleOptions, ...], Field(max_length=1000)] = ()
    """Rules of whom is refused. They are looked at first."""
    allow: Annotated[tuple[RuleOptions, ...] | None, Field(max_length=1000)] = None
    """Rules of whom is let through; everybody else is refused. An empty list refuses everybody. Left out, all pass who
    are not denied."""
    groups_claim: Named = "groups"
    """Claim of the identity with the groups: a list, or a text with blanks between."""

    @model_validator(mode="after")
    def _decide_something(self) -> Self:
        if not self.deny and self.allow is None:
            raise ValueError("nothing to do; write allow or deny, a list of rules each")
        return self


class Acl(Interceptor[AclOptions]):
    """Answers 403 to callers that no rule allows, or one denies: by role, group, scope, application, subject, or by an
    expression.

    It looks at what steps left of it have found out (`auth`, `oauth`, `client-id`), and finds out nothing itself. A
    rule of `deny` goes before all of `allow`. What cannot be judged is refused: a call without an identity where a rule
    asks who calls (`acl-no-identity`), and a claim that is not what it should be (`acl-unreadable`). A condition that
    cannot be evaluated is answered with 500. The other reasons are `acl-denied` and `acl-not-allowed`; the trace says
    which rule it was, and the caller is not told.

    `restrict-access` is for what an environment is not to have, whoever calls, `ip-filter` for addresses, and
    `scopes` of `oauth` for what a token must have to call an operation.
    """

    category = "security"
    sides = {"request"}

    def __init__(self, options: AclOptions) -> None:
        super().__init__(options)
        rules = [*options.deny, *(options.allow or ())]
        conditions = [rule.when for rule in rules if rule.when is not None]
        self.reads = {"identity"} if any(rule.asks_who for rule in rules) else set()
        for condition in conditions:
            self.reads |= condition.roots & {"identity"} | ({"request.body"} if condition.reads_body else set())
        claim = options.groups_claim
        self._deny = [(_told("deny", *each), _Rule(each[1], claim)) for each in enumerate(options.deny)]
        self._allow = [(_told("allow", *each), _Rule(each[1], claim)) for each in enumerate(options.allow or ())]
        self._asks_who = any(rule.asks_who for rule in options.deny)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Judge the call.

        Raises:
            Forbidden: a rule denies it (`acl-denied`), none allows it (`acl-not-allowed`), nobody knows who calls
                (`acl-no-identity`), or a claim cannot be read (`acl-unreadable`).
            ExpressionError: a condition cannot be evaluated over this call.
        """
        who = exchange.identity
        if who is None and self._asks_who:
            raise self._refused(exchange, "acl-no-identity", "nobody has found out who calls")
        try:
            for told, rule in self._deny:
                if rule.holds(exchange, who):
                    raise self._refused(exchange, "acl-denied", told)
            if self.options.allow is None:
                return
            for told, rule in self._allow:
                if rule.holds(exchange, who):
                    exchange.note(f"{self.entry.id}: let through: {told}")
                    return
        except _UnreadableError as error:
            raise self._refused(exchange, "acl-unreadable", f"the claim {error} is no list of texts") from None
        if who is None and any(rule.asks_who for rule in self.options.allow):
            raise self._refused(exchange, "acl-no-identity", "nobody has found out who calls")
        raise self._refused(exchange, "acl-not-allowed", "no rule holds")

    def _refused(self, exchange: Exchange, reason: str, why: str) -> Forbidden:
        exchange.note(f"{self.entry.id}: refused: {why}")
        return Forbidden("The caller may not do this.", reason=reason)


class _UnreadableError(Exception):
    """A claim that is not what it should be; the text is its name."""


class _Rule:
    """A rule, ready to be asked."""

    def __init__(self, options: RuleOptions, groups_claim: str) -> None:
        self._asks_who = options.asks_who
        self._methods = frozenset(options.methods) | ({"HEAD"} if "GET" in options.methods else set())
        self._when = options.when
        asked: Mapping[str, Callable[[Exchange, Identity, frozenset[str]], bool]] = {
            "subjects": lambda _, who, wanted: who.subject in wanted,
            "roles": lambda _, who, wanted: not wanted.isdisjoint(who.roles),
            "groups": lambda _, who, wanted: not wanted.isdisjoint(_words(who, groups_claim)),
            "scopes": lambda _, who, wanted: wanted <= {*_words(who, "scope"), *_words(who, "scp")},
            "applications": lambda exchange, who, wanted: not wanted.isdisjoint(_applications(exchange, who)),
        }
        self._asked = [(ask, wanted) for name, ask in asked.items() if (wanted := frozenset(getattr(options, name)))]

    def holds(self, exchange: Exchange, who: Identity | None) -> bool:
        """Whether it holds for a call.

        Raises:
            _UnreadableError: a claim that it asks for cannot be read.
            ExpressionError: its condition cannot be evaluated.
        """
        if self._methods and exchange.request.method not in self._methods:
            return False
        if self._asks_who and (who is None or not all(ask(exchange, who, wanted) for ask, wanted in self._asked)):
            return False
        return self._when is None or bool(self._when(exchange))


def _words(who: Identity, claim: str) -> tuple[str, ...]:
    value: Any = who.claims.get(claim)
    if value is None:
        return ()
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise _UnreadableError(claim)
    return words_of(value)


def _applications(exchange: Exchange, who: Identity) -> set[str]:
    found = {who.application} if who.application is not None else set()
    return found | ({exchange.application.name} if exchange.application is not None else set())


def _told(kind: str, index: int, rule: RuleOptions) -> str:
    return f"{kind}[{index}] {rule.name}".rstrip()
