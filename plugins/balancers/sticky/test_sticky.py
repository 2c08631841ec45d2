import random
import re
from collections import Counter
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import (
    Balancer,
    ConfigError,
    Exchange,
    Headers,
    Health,
    Options,
    Outcome,
    Request,
    Response,
    Target,
    hookimpl,
)
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_balancer_sticky import Sticky

SECRET = "a-secret-of-these-tests"


class Recording(Balancer[Options]):
    """Picks the last target, and keeps what it is told."""

    def __init__(self, options):
        super().__init__(options)
        self.told = []

    @hookimpl
    def pick(self, exchange, targets):
        self.told.append("pick")
        return targets[-1] if targets else None

    @hookimpl
    def chosen(self, exchange, target, response):
        self.told.append(f"chosen {target.host}")

    @hookimpl
    def release(self, target, outcome):
        self.told.append(f"release {target.host} {outcome.kind}")


class House:
    def __init__(self, **options):
        self.clock = MovableClock()
        self.balancer = build(Sticky, **{"secret": SECRET, **options})
        self.balancer.startup(self)
        self.targets = [Target("http", name, 80) for name in "abc"]

    def later(self, seconds):
        self.clock._now += seconds

    def call(self, *cookies, without=""):
        """A call through the balancer: the target, the Set-Cookie lines, and the Cookie lines that go on."""
        exchange = Exchange(Request(headers=Headers([("cookie", line) for line in cookies])))
        target = self.balancer.pick(exchange, [each for each in self.targets if each.host not in without])
        response = Response()
        self.balancer.chosen(exchange, target, response)
        self.balancer.release(target, Outcome("ok", 200))
        self.passed_on = exchange.request.headers.getall("cookie")
        return target, response.headers.getall("set-cookie")

    def newcomer(self):
        """A new client: its target and its cookie."""
        target, (line,) = self.call()
        return target, line.partition(";")[0]


def test_a_client_without_a_cookie_gets_one_and_stays():
    house = House()
    target, cookie = house.newcomer()

    for _ in range(20):
        assert house.call(cookie) == (target, [])
        assert house.call(f"theme=dark; {cookie}; lang=de") == (target, [])
        assert house.call("theme=dark", cookie) == (target, [])


def test_new_clients_are_spread_by_weight_and_calls_in_flight(monkeypatch):
    monkeypatch.setattr(Sticky, "generator", random.Random(7))
    house = House()
    house.targets[0].weight = 2
    seen = Counter(house.newcomer()[0].host for _ in range(2000))
    assert seen["a"] == pytest.approx(1000, abs=100)
    assert seen["b"] == pytest.approx(500, abs=100)
    house.targets[2].in_flight = 5
    seen = Counter(house.newcomer()[0].host for _ in range(2000))
    assert seen["c"] < 200


def test_the_cookie_tells_no_address_and_not_the_secret():
    house = House()
    _, cookie = house.newcomer()

    assert re.fullmatch(r"hookgate-target=[\w-]{22}\.1700000000\.[\w-]{43}", cookie)
    assert SECRET not in repr(house.balancer.options) + repr(house.balancer)
    other = House(secret="another-secret-of-these-tests")
    words = {each.balancer._seal.word("http://a") for each in (house, other)}
    assert len(words) == 2, "who knows addresses cannot tell which one a word stands for"


def test_other_gateways_with_the_same_secret_know_the_cookie():
    target, cookie = House().newcomer()

    assert House().call(cookie)[0].url == target.url


@pytest.mark.parametrize("options", [{"secret": "another-secret-of-these-tests"}, {"name": "other"}])
def test_a_cookie_of_another_secret_or_name_counts_as_none(options):
    house, other = House(), House(**options)
    other.targets = other.targets[:1]
    value = other.newcomer()[1].partition("=")[2]
    _, lines = house.call(f"hookgate-target={value}")

    assert len(lines) == 1


@given(place=st.integers(0, 200), letter=st.characters(codec="ascii", categories=["L", "N", "P"]))
def test_a_cookie_that_was_changed_anywhere_is_ignored(place, letter):
    house = House()
    house.targets = house.targets[:1]
    name, _, value = house.newcomer()[1].partition("=")
    place %= len(value)
    changed = value[:place] + letter + value[place + 1 :]
    _, lines = house.call(f"{name}={changed}")

    assert len(lines) == (0 if changed == value else 1)


@pytest.mark.parametrize("value", ["", ".", "..", "a.1.b", "=", "\xe9", "a" * 5000, "\u0661" * 22 + ".1." + "a" * 43])
def test_nonsense_is_ignored(value):
    assert len(House().call(f"hookgate-target={value.encode().decode('latin-1')}".replace("\x85", ""))[1]) == 1


def test_a_cookie_whose_name_ends_like_ours_is_another_one():
    _, cookie = House().newcomer()

    assert len(House().call(f"my-{cookie}")[1]) == 1


def test_the_right_cookie_counts_among_wrong_ones_of_its_name():
    house = House()
    target, cookie = house.newcomer()

    assert house.call(f"hookgate-target=x; {cookie}") == (target, [])


@pytest.mark.parametrize("away", ["gone", "tried"])
def test_a_client_whose_target_cannot_be_called_gets_another_one_and_stays_there(away):
    house = House()
    target, cookie = house.newcomer()
    if away == "gone":
        house.targets.remove(target)
    other, (line,) = house.call(cookie, without=target.host)

    assert other is not target
    assert house.call(line.partition(";")[0]) == (other, [])


def test_a_call_that_is_tried_again_gives_the_cookie_of_the_target_that_answered():
    house = House()
    target, cookie = house.newcomer()
    exchange = Exchange(Request(headers=Headers({"cookie": cookie})))
    assert house.balancer.pick(exchange, house.targets) is target
    house.balancer.release(target, Outcome("connect-failed"))
    other = house.balancer.pick(exchange, [each for each in house.targets if each is not target])
    response = Response()
    house.balancer.chosen(exchange, other, response)
    line = response.headers.get("set-cookie")

    assert house.call(line.partition(";")[0]) == (other, [])


def test_a_call_whose_every_target_was_tried_stays_with_its_own():
    house = House()
    target, cookie = house.newcomer()
    exchange = Exchange(Request(headers=Headers({"cookie": cookie})))
    response = Response()
    for _ in range(3):
        assert house.balancer.pick(exchange, house.targets) is target
    house.balancer.chosen(exchange, target, response)

    assert "set-cookie" not in response.headers


def test_the_cookie_lasts_as_long_as_it_says_and_is_renewed_on_the_way():
    inner = build(Recording)
    house = House(max_age=100, balancer=inner)
    target, cookie = house.newcomer()
    house.later(49)
    assert house.call(cookie) == (target, [])
    house.later(1)
    again, (line,) = house.call(cookie)
    assert again is target
    house.later(49)
    assert house.call(cookie)[0] is target
    assert inner.told.count("pick") == 1
    house.later(1)
    house.call(cookie)
    assert inner.told.count("pick") == 2, "it has expired, whatever the client makes of that"
    assert house.call(line.partition(";")[0])[0] is target
    assert inner.told.count("pick") == 2, "the new one has not"


def test_a_cookie_from_the_future_counts_as_none_but_clocks_differ_a_little():
    house = House(max_age=100)
    house.targets = house.targets[:1]
    _, cookie = house.newcomer()
    house.later(-60)
    assert house.call(cookie)[1] == []
    house.later(-1)
    assert len(house.call(cookie)[1]) == 1


def test_without_a_max_age_it_lasts_as_long_as_the_session_of_the_client():
    house = House()
    target, cookie = house.newcomer()
    house.later(10**8)

    assert house.call(cookie) == (target, [])


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({}, "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"secure": False}, "; Path=/; HttpOnly; SameSite=Lax"),
        ({"path": "/shop", "max_age": 60}, "; Path=/shop; Max-Age=60; Secure; HttpOnly; SameSite=Lax"),
        ({"same_site": "none"}, "; Path=/; Secure; HttpOnly; SameSite=None"),
        ({"name": "__Host-t", "same_site": "strict"}, "; Path=/; Secure; HttpOnly; SameSite=Strict"),
    ],
)
def test_the_attributes_are_those_of_the_options(options, attributes):
    _, (line,) = House(**options).call()

    assert line.endswith(attributes)
    assert line.count(";") == attributes.count(";")
    assert list(SimpleCookie(line)) == [options.get("name", "hookgate-target")]


@pytest.mark.parametrize(
    ("received", "passed_on"),
    [
        (["{}"], []),
        (["theme=dark; {}; lang=de"], ["theme=dark; lang=de"]),
        (["{}; lang=de"], ["lang=de"]),
        (["theme=dark", "{}", "a=b;c"], ["theme=dark", "a=b;c"]),
        (["theme=dark;x=hookgate-target=1"], ["theme=dark;x=hookgate-target=1"]),
        (["hookgate-target=forged; a=b"], ["a=b"]),
    ],
)
def test_the_backend_gets_all_cookies_but_ours(received, passed_on):
    house = House()
    _, cookie = house.newcomer()
    received = [line.format(cookie) for line in received]
    house.call(*received)
    assert house.passed_on == passed_on
    house = House(pass_on=True)
    house.call(*received)
    assert house.passed_on == received


def test_an_inner_balancer_picks_for_newcomers_and_hears_of_everything():
    inner = build(Recording)
    house = House(balancer=inner)
    target, cookie = house.newcomer()
    assert target.host == "c"
    house.call(cookie)

    assert inner.told == ["pick", *["chosen c", "release c ok"] * 2]


def test_an_inner_balancer_that_looks_at_health_is_offered_ill_targets_and_clients_leave_them():
    class Ranking(Recording):
        ranks_health = True

    house = House(balancer=build(Ranking))
    assert house.balancer.ranks_health
    assert not House(balancer=build(Recording)).balancer.ranks_health
    assert not House().balancer.ranks_health
    house.targets = house.targets[::-1]
    target, cookie = house.newcomer()
    target.health = Health(healthy=False)
    house.targets = house.targets[::-1]

    assert house.call(cookie)[0].host == "c"


def test_clients_stay_where_all_targets_are_ill():
    house = House(balancer=build(Recording))
    house.targets = house.targets[::-1]
    target, cookie = house.newcomer()
    for each in house.targets:
        each.health = Health(healthy=False)
    house.targets = house.targets[::-1]

    assert house.call(cookie) == (target, [])


def test_nothing_is_picked_from_nothing():
    assert build(Sticky, secret=SECRET).pick(Exchange(Request()), []) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secret": "fifteen letters"}, "secret: .*at least 16"),
        ({"name": "two words"}, "name"),
        ({"name": "a;b"}, "name"),
        ({"path": "shop"}, "path"),
        ({"path": "/a;b"}, "path"),
        ({"max_age": 0}, "max_age"),
        ({"same_site": "none", "secure": False}, "same_site: none"),
        ({"name": "__Secure-t", "secure": False}, "secure: true"),
        ({"name": "__Host-t", "path": "/shop"}, "path /"),
        ({"balancer": "nothing-of-that-name"}, "balancer"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        build(Sticky, **{"secret": SECRET, **options})
    assert options.get("secret", SECRET) not in str(refused.value)


@pytest.mark.parametrize("inner", [None, "weighted-round-robin", {"failover": {"failback_after": 5}}])
def test_browsers_stay_with_their_backends_until_these_are_ill(inner):
    def backend(name):
        return upstream(lambda request: (200, {"set-cookie": f"session={name}"}, name))

    with backend("a") as a, backend("b") as b:
        options = {"secret": SECRET, "secure": False, **({"balancer": inner} if inner else {})}
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [a.url, b.url], "balancer": {"sticky": options}}},
        }
        with running(document) as gate:
            first = gate.request("GET", "/")
            assert set(gate.client.cookies) == {"session", "hookgate-target"}
            home = first.text
            answers = [gate.request("GET", "/") for _ in range(10)]
            assert {answer.text for answer in answers} == {home}
            assert {answer.headers["set-cookie"] for answer in answers} == {f"session={home}"}
            gate.reload()
            assert gate.request("GET", "/").text == home

            target = next(
                each for each in gate.gateway.connection("crm").targets if each.url == {"a": a.url, "b": b.url}[home]
            )
            target.health = Health(healthy=False)
            moved = {gate.request("GET", "/").text for _ in range(5)}
            assert len(moved) == 1
            assert moved != {home}
            target.health = Health(healthy=True)
            assert {gate.request("GET", "/").text for _ in range(5)} == moved, "it stays where it went"
        received = [request.header("cookie") for request in a.requests + b.requests]
        assert None in received
        assert {line for line in received if line} <= {"session=a", "session=b"}
