"""The conformance kit on counters and stores of state: good ones with one seeded fault each."""

import asyncio
from inspect import signature

import pytest

from hookgate import Conflict, Row, StateRefused
from hookgate.document.catalogue import Catalogue
from hookgate_authoring.conformance import Nonconforming, conformance

Memory = Catalogue().get("state", "memory")
Local = Catalogue().get("counters", "local")


def broken(base, fault):
    """Break a good plugin in one way."""
    plugin = type("Broken", (base,), {"__doc__": "Is broken.", "__module__": __name__, **fault})
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin, examples=2)
    assert {violation.rule for violation in caught.value.violations} == {"contract"}
    return str(caught.value)


def state(hook, change):
    """Give one hook of a store a fault."""
    good = getattr(Memory, hook)

    def bad(self, *arguments):
        return change(lambda *others: good(self, *(others or arguments)), self, *arguments)

    bad.__name__ = hook
    return hook, {hook: _marked(bad, good)}


def _marked(bad, good):
    """Make it look like the hook that it stands for."""
    bad.__dict__.update(good.__dict__)
    bad.__signature__ = signature(good)
    bad.__doc__ = good.__doc__
    return bad


def _no_conflict(ask, self, name, key, row, version, most, now):
    try:
        return ask()
    except Conflict:
        return ask(name, key, row, None, most, now)


def _repeating(ask, self, name, key, row, version, most, now):
    before = self.read(name, key, now)
    ask()
    version = 1 if before is None else before.version + 1
    self._names[name].rows[key] = row._replace(version=version)
    return version


def _counts_expired(ask, self, name, key, row, version, most, now):
    kept = self._names.get(name)
    if kept and key not in kept.rows and len(kept.rows) >= most:
        raise StateRefused("full")
    return ask()


def _bounds_giving_back(ask, self, name, key, amount, expires, bound, most, now):
    number = ask(name, key, 0, None, None, most, now)
    return None if bound is not None and number + amount > bound else ask()


def _begins_with_nothing(ask, self, name, key, amount, expires, bound, most, now):
    found = ask()
    if amount == 0 and self.read(name, key, now) is None:
        self.write(name, key, Row(b"0"), None, most, now)
    return found


def _renews(ask, self, name, key, amount, expires, bound, most, now):
    found = ask()
    if (row := self.read(name, key, now)) is not None:
        self._names[name].rows[key] = row._replace(expires=expires)
    return found


def _in_two_steps(ask, self, name, key, amount, expires, bound, most, now):
    async def slowly():
        number = ask(name, key, 0, None, None, most, now)
        await asyncio.sleep(0)
        if amount > 0 and bound is not None and number + amount > bound:
            return None
        if amount:
            before = self.read(name, key, now)
            until = expires if before is None else before.expires
            self.write(name, key, Row(str(number + amount).encode(), 0, until), None, most, now)
        return number + amount

    return slowly()


FAULTS = {
    "writes over another version": (*state("write", _no_conflict), "Conflict for another version"),
    "gives a version twice": (*state("write", _repeating), "versions that rise with each write"),
    "counts what has expired": (*state("write", _counts_expired), "count no row that has expired"),
    "refuses to be given back": (*state("increase", _bounds_giving_back), "None where more than 0 would pass"),
    "begins a row for a look": (*state("increase", _begins_with_nothing), "0 looks, and begins no row"),
    "begins the window anew": (*state("increase", _renews), "that of the first addition"),
    "adds in two steps": (*state("increase", _in_two_steps), "one step, that no other comes between"),
    "keeps what has expired": (
        *state("read", lambda ask, self, name, key, now: ask(name, key, now - 5)),
        "nothing from its time on",
    ),
    "says nothing was removed": (*state("remove", lambda ask, self, *_: bool(ask()) and False), "True for a row"),
    "has an order of its own": (*state("scan", lambda ask, self, *_: list(ask())[::-1]), "in the order of code points"),
    "begins a page at its key": (
        *state("scan", lambda ask, self, name, prefix, after, limit, now: ask(name, prefix, after[:-1], limit, now)),
        "behind the last key",
    ),
    "raises what it likes": (
        *state("read", lambda ask, self, *_: 1 / 0),
        "an answer, Conflict, StateRefused or StateError",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_store_is_found(fault):
    hook, change, says = FAULTS[fault]

    told = broken(Memory, change)

    assert f"[contract] {hook}" in told
    assert says in told


def counters(change):
    good = Local.take

    def take(self, wants):
        return change(lambda *others: good(self, *(others or (wants,))), wants)

    return {"take": _marked(take, good)}


def _one_by_one(ask, wants):
    decisions = []
    for want in wants:
        decisions.append(ask([want]))
        if not decisions[-1].allowed:
            return decisions[-1]
    return min(decisions, key=lambda each: each.remaining / each.limit.amount)


def _never_gives_up(ask, wants):
    found = ask()
    return found if found.allowed else found._replace(retry_after=1.0)


COUNTING = {
    "takes part of it": (_one_by_one, "take all that is wanted, or nothing"),
    "takes for a look": (
        lambda ask, wants: ask([(key, max(cost, 1), limit) for key, cost, limit in wants]),
        "a cost of 0 only looks",
    ),
    "lets everybody in": (lambda ask, wants: ask()._replace(allowed=True), "let as many through as the limit says"),
    "never gives up": (_never_gives_up, "can be retried never"),
    "tells of the last": (
        lambda ask, wants: ask()._replace(key=wants[0][0], limit=wants[0][2]),
        "of several limits the first that refuses decides",
    ),
    "gives no decision": (lambda ask, wants: tuple(ask()), "a Decision"),
    "trips over a key": (lambda ask, wants: ask() if wants[0][0] else 1 / 0, "a Decision, whatever is wanted"),
}


@pytest.mark.parametrize("fault", COUNTING)
def test_a_fault_of_counters_is_found(fault):
    change, says = COUNTING[fault]

    assert says in broken(Local, counters(change))


def test_good_ones_conform(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for family, name in (("state", "memory"), ("state", "sqlite"), ("counters", "local")):
        conformance(Catalogue().get(family, name), examples=2)
