"""Whatever is asked and answered, nothing is given that RFC 9111 forbids: a small model of it looks on."""

import asyncio
from dataclasses import dataclass
from email.utils import formatdate

from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import BadGateway, Faulted, Interceptor, Options, Response, hookimpl
from hookgate.testing import TestHost, build, through
from hookgate_authoring.conformance import conformance
from hookgate_interceptor_cache import Cache, CacheApp

PATHS = ("/a", "/b?x=1")
LANGUAGES = (None, "de", "en")


@dataclass(frozen=True)
class Reply:
    """What the backend says of its answer; the model knows what that means, and reads no header."""

    lifetime: int | None
    by: str
    flags: frozenset[str]
    vary: bool
    cookie: bool
    age: int
    late: int
    """Seconds by which its date is behind."""
    tag: bool
    status: int

    def headers(self, wall):
        said = sorted(self.flags)
        headers = {"date": formatdate(wall - self.late, usegmt=True), "content-type": "text/plain"}
        if self.lifetime is not None and self.by == "expires":
            headers["expires"] = formatdate(wall - self.late + self.lifetime, usegmt=True)
        elif self.lifetime is not None:
            said.append(f"{self.by}={self.lifetime}")
            if self.by == "s-maxage":
                said.append("max-age=1000")
        if said:
            headers["cache-control"] = ", ".join(said)
        if self.vary:
            headers["vary"] = "Accept-Language"
        if self.cookie:
            headers["set-cookie"] = "a=b"
        if self.age:
            headers["age"] = str(self.age)
        if self.tag:
            headers["etag"] = '"v"'
        return headers

    @property
    def for_everyone(self):
        return "public" in self.flags or (self.by == "s-maxage" and self.lifetime is not None)


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    language: str | None
    credentials: bool
    said: str
    wait: int
    reply: Reply

    @property
    def headers(self):
        found = {}
        if self.language:
            found["accept-language"] = self.language
        if self.credentials:
            found["authorization"] = "Bearer x"
        if self.said:
            found["cache-control"] = self.said
        return found


FLAGS = ("no-store", "private", "no-cache", "public", "must-revalidate", "proxy-revalidate")
replies = st.builds(
    Reply,
    st.sampled_from([None, 0, 5, 20, 20]),
    st.sampled_from(["max-age", "max-age", "s-maxage", "expires"]),
    st.frozensets(st.sampled_from(FLAGS), max_size=2),
    st.booleans(),
    st.integers(0, 9).map(lambda number: number == 0),
    st.sampled_from([0, 0, 4, 30]),
    st.sampled_from([0, 0, 3, 40]),
    st.booleans(),
    st.sampled_from([200, 200, 200, 404, 206, 503]),
)
asks = st.builds(
    Ask,
    st.sampled_from(["GET"] * 8 + ["HEAD", "POST"]),
    st.sampled_from(PATHS),
    st.sampled_from(LANGUAGES),
    st.booleans(),
    st.sampled_from(["", "", "", "no-cache", "no-store", "max-age=3", "min-fresh=4", "max-stale=6", "max-stale"]),
    st.sampled_from([0, 0, 1, 4, 10]),
    replies,
)


@dataclass(frozen=True)
class Made:
    """An answer that the backend has made, or found to be right still."""

    ask: Ask
    reply: Reply
    at: float

    def age(self, now):
        return max(self.reply.age, self.reply.late) + now - self.at


def may_be_given(made, ask, now, changed):
    """Whether RFC 9111 lets a shared cache answer so, without a word of the backend."""
    reply, age = made.reply, made.age(now)
    rules = [
        made.ask.method == "GET",
        made.ask.path == ask.path,
        made.ask.said != "no-store",
        not reply.flags & {"no-store", "private", "no-cache"},
        not reply.cookie,
        reply.status != 206,
        reply.lifetime is not None or "public" in reply.flags,
        not made.ask.credentials or reply.for_everyone,
        not ask.credentials or reply.for_everyone,
        not reply.vary or made.ask.language == ask.language,
        ask.said not in ("no-cache", "no-store"),
        ask.said != "max-age=3" or age <= 3,
        changed.get(ask.path, -1.0) < made.at,
    ]
    if not all(rules):
        return False
    left = (reply.lifetime or 0) - age
    if ask.said == "min-fresh=4":
        return left >= 4
    if left > 0:
        return True
    strict = reply.flags & {"must-revalidate", "proxy-revalidate"} or reply.by == "s-maxage"
    return not strict and (ask.said == "max-stale" or (ask.said == "max-stale=6" and -left <= 6))


class Played:
    """A cache, a backend, and what the model knows."""

    def __init__(self, **options):
        self.house = TestHost()
        self.cache = build(Cache, **options)
        self.made = {}
        """Answers by their body; a 304 puts others in their place."""
        self.changed = {}
        self.hits = 0

    def start(self):
        self.cache.startup(self.house.hosting.host_of(self.cache))
        return self

    def ask(self, ask):
        clock = self.house.clock
        asyncio.run(clock.advance(ask.wait))
        path, _, query = ask.path.partition("?")
        reached = []

        def backend(exchange):
            reached.append(exchange)
            wall, now = clock.wall(), clock.now()
            if ask.method == "POST":
                self.changed[ask.path] = now
                return Response(201, {}, b"")
            if exchange.request.headers.get("if-none-match") == '"v"' and ask.reply.tag:
                for body, made in list(self.made.items()):
                    if made.ask.path == ask.path and made.reply.tag:
                        self.made[body, "renewed"] = Made(ask, ask.reply, now)
                return Response(304, ask.reply.headers(wall))
            body = f"{len(self.made)}".encode()
            self.made[body] = Made(ask, ask.reply, now)
            return Response(ask.reply.status, ask.reply.headers(wall), body)

        asyncio.run(clock.advance(0.001))  # so that nothing happens at the same time
        exchange = through(
            self.cache,
            upstream=backend,
            method=ask.method,
            path=path,
            query=query,
            headers=ask.headers,
            house=self.house,
            start=False,
        )
        return exchange, bool(reached)


@settings(max_examples=40, derandomize=True)
@given(st.lists(asks, min_size=2, max_size=12))
def test_nothing_is_given_that_is_forbidden(asked):
    played = Played().start()
    for ask in asked:
        exchange, reached = played.ask(ask)
        response = exchange.response
        if reached or ask.method == "POST":
            assert "age" not in response.headers or int(response.headers["age"]) >= 0
            continue
        now = played.house.clock.now()
        body = response.body.data
        versions = [played.made[body], *(m for key, m in played.made.items() if key == (body, "renewed"))]
        assert any(may_be_given(made, ask, now, played.changed) for made in versions), (ask, versions)
        ages = {int(made.age(now)) + more for made in versions for more in (0, 1)}
        assert int(response.headers["age"]) in ages
        played.hits += 1
        assert "set-cookie" not in response.headers
    assert len(played.cache.store) <= len(played.made)


@settings(max_examples=15, derandomize=True)
@given(st.lists(asks, min_size=1, max_size=10))
def test_what_may_be_given_is_given(asked):
    """Where the model allows it, and nothing has come between, the backend is left alone."""
    played = Played().start()
    for ask in asked:
        played.ask(ask)
    plain = Reply(20, "max-age", frozenset({"public"}), vary=False, cookie=False, age=0, late=0, tag=False, status=200)
    again = Ask("GET", "/c", None, credentials=True, said="", wait=0, reply=plain)

    assert played.ask(again)[1]
    exchange, reached = played.ask(again)
    assert not reached
    assert exchange.response.headers["cache-status"].startswith("hookgate; hit")


class Stands(Interceptor[Options]):
    """Answers a fault as if all was well."""

    @hookimpl
    def on_fault(self, exchange: Faulted) -> Response:
        return Response(200, {"cache-control": "public, max-age=60"}, b"instead")


def test_what_stands_for_a_fault_is_not_kept():
    cache, reached = build(Cache), []

    def backend(exchange):
        reached.append(exchange)
        raise BadGateway("No.") if len(reached) == 1 else LookupError

    house = TestHost()
    cache.startup(house.hosting.host_of(cache))
    for _ in range(2):
        answer = through(cache, Stands(Options()), upstream=backend, house=house, start=False).response
        assert answer.body.data == b"instead"
    assert len(reached) == 2


def test_an_answer_is_stale_when_its_time_is_over():
    played = Played(ttl=10).start()
    silent = Reply(None, "max-age", frozenset(), vary=False, cookie=False, age=0, late=0, tag=False, status=200)

    reached = [
        played.ask(Ask("GET", "/a", None, credentials=False, said="", wait=wait, reply=silent))[1]
        for wait in (0, 5, 4, 1, 9)
    ]
    assert reached == [True, False, False, True, False]


def test_what_came_of_calls_is_counted():
    played = Played(max_entries=1).start()
    plain = Reply(20, "max-age", frozenset(), vary=False, cookie=False, age=0, late=0, tag=True, status=200)
    for path, said in (("/a", ""), ("/a", ""), ("/a", "no-cache"), ("/b", ""), ("/b", "no-store")):
        played.ask(Ask("GET", path, None, credentials=False, said=said, wait=0, reply=plain))
    step = played.cache.entry.id
    metrics = {metric.name: {s.labels: s.value for s in metric.samples} for metric in played.house.metrics.collect()}

    counted = {labels[1]: value for labels, value in metrics["hookgate_cache_calls_total"].items()}
    assert counted == {"miss": 2, "hit": 1, "revalidated": 1, "bypass": 1}
    assert metrics["hookgate_cache_evictions_total"] == {(step,): 1}
    assert metrics["hookgate_cache_entries"] == {(step,): 1}
    assert metrics["hookgate_cache_octets"][step,] == played.cache.store.octets > 0


def test_conformance():
    conformance(Cache)
    conformance(Cache, options={"share": "caller", "ttl": 5, "tags": "Surrogate-Key", "key": ["identity.subject"]})
    conformance(CacheApp)
