"""What stands between plugins and a store of state by somebody else: time, and a look at what it gives."""

import asyncio

import pytest

import hookgate.gateway.keeping as keeping_module
from hookgate import Options, Row, StateError, StateRefused, StateStore, hookimpl
from hookgate.gateway.keeping import Keeping
from hookgate.testing import MovableClock, build


class Odd(StateStore[Options]):
    """Does what it is told."""

    does = staticmethod(lambda: None)

    @hookimpl
    def read(self, name, key, now):
        return self.does()

    @hookimpl
    def write(self, name, key, row, version, most, now):
        return self.does()

    @hookimpl
    def remove(self, name, key, version, now):
        return self.does()

    @hookimpl
    def increase(self, name, key, amount, expires, bound, most, now):
        return self.does()

    @hookimpl
    def scan(self, name, prefix, after, limit, now):
        return self.does()


class Telling(Odd):
    """Tells of itself."""

    @hookimpl
    def health(self):
        return {"problems": ["it is away"]}


def stage(does, cls=Odd):
    keeping = Keeping(MovableClock())
    store = keeping.store = build(cls)
    store.does = does
    return keeping, keeping.named("kept")


def raising(error):
    def fail():
        raise error

    return fail


CALLS = {
    "read": lambda state: state.get("a"),
    "write": lambda state: state.put("a", 1),
    "remove": lambda state: state.delete("a"),
    "increase": lambda state: state.add("a"),
    "scan": lambda state: state.scan(),
}


@pytest.mark.parametrize("hook", CALLS)
@pytest.mark.parametrize("gives", ["x", 1.5, object(), [1], [("a", "b")], {"a": 1}])
async def test_a_store_that_gives_nonsense_is_named(hook, gives):
    keeping, state = stage(lambda: gives)

    with pytest.raises(StateError, match=rf"'kept' cannot be used: Odd#\d+: gave a \w+ in {hook}, which is no answer"):
        await CALLS[hook](state)
    assert "which is no answer" in keeping.trouble


@pytest.mark.parametrize("hook", ["write", "increase"])
async def test_true_is_no_number(hook):
    _, state = stage(lambda: True)

    with pytest.raises(StateError, match="gave a bool"):
        await CALLS[hook](state)


@pytest.mark.parametrize("error", [OSError("secret"), SystemExit(3), KeyError("secret"), TimeoutError()])
@pytest.mark.parametrize("later", [False, True])
async def test_a_store_that_fails_is_named_and_the_log_says_how(error, later, caplog):
    async def fail():
        raise error

    keeping, state = stage(fail if later else raising(error))

    with pytest.raises(
        StateError, match=r"Odd#\d+: failed in read: (OSError|KeyError|SystemExit|RuntimeError|TimeoutError)"
    ) as told:
        await state.get("a")
    assert "secret" not in str(told.value) + keeping.trouble
    assert "failed in read" in caplog.text


async def test_trouble_is_over_when_the_store_answers_and_gone_with_the_store():
    keeping, state = stage(raising(StateError("nobody is there")))
    with pytest.raises(StateError, match=r"'kept' cannot be used: Odd#\d+: nobody is there"):
        await state.get("a")
    assert keeping.trouble.endswith("nobody is there")
    other = build(Odd)
    before, keeping.store = keeping.store, other
    assert keeping.trouble == ""

    keeping.store = before
    before.does = lambda: None
    assert await state.get("a") is None
    assert keeping.trouble == ""


async def test_what_a_store_refuses_is_no_trouble_of_its():
    keeping, state = stage(raising(StateRefused("there is no room")))

    with pytest.raises(StateRefused, match="the state 'kept' refuses: there is no room"):
        await state.get("a")
    assert keeping.trouble == ""


async def test_a_store_that_tells_of_itself_is_not_told_of_twice():
    keeping, state = stage(raising(StateError("it is away")), Telling)

    with pytest.raises(StateError, match="it is away"):
        await state.get("a")
    assert keeping.trouble == ""
    keeping.store.does = raising(OSError())
    with pytest.raises(StateError):
        await state.get("a")
    assert "failed in read" in keeping.trouble  # of which it knows nothing


@pytest.mark.parametrize("stubborn", [False, True])
async def test_an_answer_comes_in_time_or_not_at_all(stubborn, monkeypatch):
    monkeypatch.setattr(keeping_module, "PATIENCE", 0.05)
    stop = asyncio.Event()
    ended = []

    async def hang():
        while True:
            try:
                await stop.wait()
                return
            except asyncio.CancelledError:
                ended.append("cancelled")
                if not stubborn:
                    raise

    keeping, state = stage(hang)

    with pytest.raises(StateError, match=r"Odd#\d+: does not answer within 0.05 s"):
        await asyncio.wait_for(state.get("a"), 60)
    assert "does not answer" in keeping.trouble
    await asyncio.sleep(0)
    assert ended == ["cancelled"]
    stop.set()


async def test_who_is_cancelled_cancels_the_question():
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    _, state = stage(hang)
    task = asyncio.create_task(state.get("a"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await asyncio.wait_for(ended.wait(), 60)


async def test_a_row_that_is_no_json_is_told():
    _, state = stage(lambda: Row(b"{", 1, None))

    with pytest.raises(StateError, match="'kept' holds what is no JSON"):
        await state.get("a")


async def test_others_run_while_a_large_scan_is_read():
    rows = [(str(number), Row(b'"' + b"x" * 60_000 + b'"', 1, None)) for number in range(100)]
    _, state = stage(lambda: rows)
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert len(await state.scan()) == 100
    task.cancel()

    assert turns >= 15
