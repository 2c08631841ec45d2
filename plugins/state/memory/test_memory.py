"""State in memory: over reloads, and no further. What every store does is tested in tests/contract."""

from pathlib import Path

from hookgate import Row
from hookgate.testing import build, running
from hookgate_state_memory import Memory

KEEPER = '''
from hookgate import Exchange, Host, Interceptor, Options, Response, hookimpl


class Keeper(Interceptor[Options]):
    """Counts calls."""

    @hookimpl
    def startup(self, host: Host) -> None:
        self._state = host.state("kept")

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        return Response.text(str(await self._state.add("calls")))
'''


def document(text):
    route = {"name": "one", "match": {"path": "/"}, "flow": ["keeper", {"respond": {"body": text}}]}
    return {"gateway": {"state": "memory"}, "routes": [route]}


def test_what_is_kept_is_there_over_reloads_and_gone_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plugins").mkdir()
    Path("plugins/keeper.py").write_text(KEEPER)
    before = sorted(tmp_path.rglob("*.db*"))

    for _ in range(2):
        with running(document("a"), plugins_dir=Path("plugins")) as gate:
            assert gate.request("GET", "/").text == "1"
            gate.reload(document("b"))
            assert gate.request("GET", "/").text == "2"
    assert sorted(tmp_path.rglob("*.db*")) == before


def test_what_has_expired_does_not_fill_the_memory():
    store = build(Memory)
    for number in range(10_000):
        store.write("kept", str(number), Row(b"1", 0, number + 10.0), None, 100_000, float(number))

    assert len(store._names["kept"].rows) < 200


def test_a_name_under_which_nothing_is_kept_any_more_takes_no_room():
    store = build(Memory)
    for number in range(100):
        store.write(f"kept{number}", "a", Row(b"1"), None, 10, 0.0)
        store.remove(f"kept{number}", "a", None, 0.0)
        store.increase(f"kept{number}", "a", 0, None, None, 10, 0.0)

    assert store._names == {}
