"""Every store of state answers as a model of its contract does, whatever is asked in whatever order."""

import asyncio
import logging
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hookgate import Conflict, Kept, Row, StateError, StateRefused
from hookgate.document.catalogue import Catalogue
from hookgate.gateway.keeping import Keeping
from hookgate.testing import MovableClock, build, postgresql

STORES = list(Catalogue().names("state"))
LASTING = {"postgresql", "sqlite"}
"""Those that are as they were after a restart."""

each_store = pytest.mark.parametrize("name", STORES)


class House:
    """As much of a host as a store asks for."""

    def __init__(self, clock):
        self.clock, self.log = clock, logging.getLogger("hookgate.test")


class Stage:
    """A store that can be restarted, and what plugins see of it."""

    def __init__(self, name, folder, clock=None):
        self.name = name
        self.clock = clock or MovableClock()
        self.keeping = Keeping(self.clock)
        self.open = ExitStack()
        self._options = {"path": f"{folder}/state.db"} if name == "sqlite" else {}
        if name == "postgresql":
            self._options = {"url": self.open.enter_context(postgresql())}
        self.start()

    def start(self):
        self.store = self.keeping.store = build(Catalogue().get("state", self.name), **self._options)
        if hasattr(self.store, "startup"):
            self.store.startup(House(self.clock))

    async def end(self):
        if hasattr(self.store, "shutdown"):
            await self.store.shutdown()

    def close(self):
        """Let go of what it lies in."""
        self.open.close()

    async def ask(self, hook, *arguments):
        """Ask the store itself, past the bounds."""
        return await self.keeping.ask(hook, *arguments)


@pytest.fixture
async def stage(name, tmp_path):
    stage = Stage(name, tmp_path)
    yield stage
    await stage.end()
    stage.close()


KEYS = st.sampled_from(
    ["a", "ab", "abc", "b", "a\U0001f600", "aé", "a\uffff", "a%", "a_", "A", "\U0010ffff", "a'\"", "~"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TTLS = st.none() | st.sampled_from([0.5, 1.0, 5.0, 60.0])
NAMES = st.sampled_from(["quota", "sessions"])


class Model(RuleBasedStateMachine):
    """What is kept, in a dictionary."""

    store: str

    def __init__(self):
        super().__init__()
        self.open = ExitStack()
        self.runner = self.open.enter_context(asyncio.Runner())
        self.stage = Stage(self.store, self.open.enter_context(TemporaryDirectory()))
        self.kept = {}
        """By name and key: value, version, until when."""
        self.highest = {}
        """The highest version that a key ever had."""

    def teardown(self):
        self.runner.run(self.stage.end())
        self.stage.close()
        self.open.close()

    def live(self, name, key):
        found = self.kept.get((name, key))
        return found if found and (found[2] is None or found[2] > self.stage.clock.wall()) else None

    def until(self, ttl):
        return None if ttl is None else self.stage.clock.wall() + ttl

    def run(self, name, method, *arguments, **more):
        return self.runner.run(getattr(self.stage.keeping.named(name), method)(*arguments, **more))

    def wrote(self, name, key, value, version, until):
        assert version > self.highest.get((name, key), 0)
        self.highest[name, key] = version
        self.kept[name, key] = (value, version, until)

    @initialize()
    def nothing(self):
        assert self.run("quota", "scan") == []

    @rule(name=NAMES, key=KEYS, value=VALUES, ttl=TTLS, version=st.sampled_from([None, None, 0, "its", "another"]))
    def put(self, name, key, value, ttl, version):
        before = self.live(name, key)
        there = before[1] if before else 0
        said = {"its": there, "another": there + 1}.get(version, version)
        if said is not None and said != there:
            with pytest.raises(Conflict, match=f"has version {there} and not {said}"):
                self.run(name, "put", key, value, ttl=ttl, version=said)
        else:
            written = self.run(name, "put", key, value, ttl=ttl, version=said)
            self.wrote(name, key, value, written, self.until(ttl))

    @rule(name=NAMES, key=KEYS)
    def get(self, name, key):
        before = self.live(name, key)
        assert self.run(name, "get", key) == (before and Kept(*before))

    @rule(name=NAMES, key=KEYS, version=st.sampled_from([None, "its", "another"]))
    def delete(self, name, key, version):
        before = self.live(name, key)
        there = before[1] if before else 0
        said = {"its": there, "another": there + 1}.get(version, version)
        if said is not None and said != there:
            with pytest.raises(Conflict):
                self.run(name, "delete", key, version=said)
        else:
            assert self.run(name, "delete", key, version=said) == (before is not None)
            self.kept.pop((name, key), None)

    @rule(
        name=NAMES,
        key=KEYS,
        amount=st.integers(-5, 5) | st.just(2**62),
        ttl=TTLS,
        most=st.none() | st.integers(-3, 10),
    )
    def add(self, name, key, amount, ttl, most):
        before = self.live(name, key)
        number = before[0] if before else 0
        if type(number) is not int or (abs(number + amount) >= 2**63 and (amount <= 0 or most is None)):
            with pytest.raises(StateRefused, match=r"no whole number|more than 64 bits"):
                self.run(name, "add", key, amount, ttl=ttl, most=most)
            return
        added = self.run(name, "add", key, amount, ttl=ttl, most=most)
        if amount > 0 and most is not None and number + amount > most:
            assert added is None
        else:
            assert added == number + amount
            if amount:
                version = self.run(name, "get", key).version
                self.wrote(name, key, added, version, before[2] if before else self.until(ttl))

    @rule(
        name=NAMES,
        prefix=st.sampled_from(["", "a", "ab", "a\uffff", "z"]),
        after=st.just("") | KEYS,
        limit=st.integers(1, 5),
    )
    def scan(self, name, prefix, after, limit):
        right = sorted(
            key
            for of, key in self.kept
            if of == name and key.startswith(prefix) and key > after and self.live(name, key)
        )
        found = self.run(name, "scan", prefix, after=after, limit=limit)
        assert found == [(key, Kept(*self.kept[name, key])) for key in right[:limit]]

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0]))
    def time_passes(self, seconds):
        self.runner.run(self.stage.clock.advance(seconds))

    @rule()
    def a_restart(self):
        if self.store in LASTING:
            self.runner.run(self.stage.end())
            self.stage.start()

    @invariant()
    def all_is_well(self):
        assert self.stage.keeping.trouble == ""


@each_store
def test_a_store_answers_as_the_model_does(name):
    model = type("Model", (Model,), {"store": name})

    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@each_store
async def test_whole_numbers_go_up_one_by_one_however_many_add_at_once(stage):
    quota = stage.keeping.named("quota")

    found = await asyncio.gather(*(quota.add("ann", most=150) for _ in range(200)))

    assert sorted(each for each in found if each is not None) == list(range(1, 151))
    assert found.count(None) == 50
    assert (await quota.get("ann")).value == 150


@each_store
async def test_of_many_who_write_over_one_version_one_wins(stage):
    kept = stage.keeping.named("kept")
    version = await kept.put("a", 0)

    found = await asyncio.gather(*(kept.put("a", n, version=version) for n in range(20)), return_exceptions=True)

    (won,) = [each for each in found if isinstance(each, int)]
    assert [type(each) for each in found].count(Conflict) == 19
    assert (await kept.get("a")).version == won > version


@each_store
async def test_a_name_holds_so_many_entries_and_those_that_have_expired_do_not_count(stage):
    now = stage.clock.wall()
    for key in "abc":
        await stage.ask("write", "few", key, Row(b"1", 0, now + 5 if key == "a" else None), None, 3, now)

    for hook, arguments in {"write": (Row(b"1"), None), "increase": (1, None, None)}.items():
        with pytest.raises(StateRefused, match=r"'few' .*holds 3 entries"):
            await stage.ask(hook, "few", "d", *arguments, 3, now)
    await stage.ask("write", "few", "b", Row(b"2"), None, 3, now)  # it is there already
    await stage.ask("write", "others", "d", Row(b"1"), None, 3, now)
    await stage.ask("write", "few", "d", Row(b"1"), None, 3, now + 5)
    with pytest.raises(StateRefused):
        await stage.ask("write", "few", "e", Row(b"1"), None, 3, now + 5)
    assert await stage.ask("remove", "few", "d", None, now + 5)
    await stage.ask("write", "few", "e", Row(b"1"), None, 3, now + 5)
    assert [key for key, _ in await stage.ask("scan", "few", "", "", 10, now + 5)] == ["b", "c", "e"]
    assert stage.keeping.trouble == ""


@each_store
async def test_pages_of_a_scan_meet_and_stand_still_while_others_write(stage):
    kept = stage.keeping.named("kept")
    for number in range(25):
        await kept.put(f"user:{number:03}", number)
    await kept.put("vser", 1)

    seen, after = [], ""
    while page := await kept.scan("user:", after=after, limit=10):
        seen += [each.value for _, each in page]
        after = page[-1][0]
        await kept.delete(after)
        await kept.put(f"user:{len(seen):03}x", "new")

    assert [each for each in seen if each != "new"] == list(range(25))


@each_store
async def test_a_version_does_not_come_back_with_a_key_that_was_removed(stage):
    kept = stage.keeping.named("kept")
    first = await kept.put("a", 1)
    await kept.delete("a")
    await kept.put("a", 2)

    with pytest.raises(Conflict, match="the state 'kept' refuses: 'a' has version"):
        await kept.put("a", 3, version=first)


@each_store
async def test_an_entry_is_gone_at_the_moment_it_was_to_end(stage):
    kept = stage.keeping.named("kept")
    await kept.put("a", 1, ttl=10)
    await kept.add("n", 4, ttl=10)
    await stage.clock.advance(9.99)
    await kept.add("n", 1, ttl=1000)
    assert [(await kept.get(key)).value for key in "an"] == [1, 5]

    await stage.clock.advance(0.02)
    assert [await kept.get(key) for key in "an"] == [None, None]
    assert not await kept.delete("a")
    assert await kept.add("n") == 1


@each_store
async def test_what_cannot_be_kept_is_refused_and_the_rest_is_kept(stage):
    kept = stage.keeping.named("kept")
    deep = []
    for _ in range(100_000):
        deep = [deep]

    for refused, why in {
        "x" * 70_000: "values of 65536 bytes at most, and this one has 70002",
        float("nan"): "what JSON can say",
        object(): "what JSON can say",
    }.items():
        with pytest.raises(StateRefused, match=why):
            await kept.put("a", refused)
    with pytest.raises(StateRefused, match="what JSON can say"):
        await kept.put("a", deep)
    for key in ("", "k" * 513, "a\0b", "\ud800", 7, None):
        with pytest.raises(StateRefused, match="'kept' has keys that are texts of 1 to 512 characters"):
            await kept.put(key, 1)
    for ttl in (0, -1, float("inf"), float("nan")):
        with pytest.raises(StateRefused, match="more than 0 seconds"):
            await kept.put("a", 1, ttl=ttl)
    for amount in (1.5, True, "1", 2**63):
        with pytest.raises(StateRefused, match="whole numbers of 64 bits"):
            await kept.add("a", amount)
    for name in ("", "A", "a b", "-a", "a" * 101, "a/b"):
        with pytest.raises(ValueError, match="is no name"):
            stage.keeping.named(name)

    assert await kept.scan() == []
    await kept.put("k" * 512, "x" * 65_534)
    assert len((await kept.get("k" * 512)).value) == 65_534
    assert stage.keeping.trouble == ""


@each_store
async def test_a_scan_gives_a_thousand_at_most(stage):
    kept = stage.keeping.named("kept")
    for first in range(0, 1100, 50):  # a store has few connections, and who waits for one does not wait for long
        await asyncio.gather(*(kept.put(f"{number:05}", number) for number in range(first, first + 50)))

    assert [len(await kept.scan(limit=limit)) for limit in (5000, 1000, 1, 0)] == [1000, 1000, 1, 1]


async def test_a_house_without_a_store_says_what_to_install():
    with pytest.raises(StateError, match="pip install hookgate-state-sqlite"):
        await Keeping(MovableClock()).named("kept").get("a")
