import time

import httpx
import pytest
from quart import Quart

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_app_health import Health


class Stub:
    """A host that says what a test wants."""

    def __init__(self, status):
        self._status = status

    def status(self):
        return {"status": self._status, "generation": 3, "problems": [], "connections": {}}


async def page(path, status):
    app = Quart(__name__)
    app.register_blueprint(build(Health).blueprint(Stub(status)), url_prefix="/-")
    response = await app.test_client().get(f"/-/{path}")
    return response, await response.get_json()


@pytest.mark.parametrize(
    ("status", "code"),
    [("ok", 200), ("degraded", 200), ("starting", 503), ("stopping", 503), ("stopped", 503)],
)
async def test_health_and_readiness_say_whether_calls_are_served(status, code):
    for path in ("health", "ready"):
        response, document = await page(path, status)
        assert (response.status_code, document["status"]) == (code, status)


@pytest.mark.parametrize("status", ["ok", "starting", "stopping"])
async def test_the_process_is_live_as_long_as_it_answers(status):
    assert (await page("live", status))[0].status_code == 200


@pytest.mark.parametrize("path", ["health", "ready", "live"])
async def test_no_page_is_cached(path):
    response, _ = await page(path, "ok")

    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"


def document(backend, **connection):
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [{"url": backend.url, "weight": 4}], **connection}},
    }


@pytest.mark.row("AC-8")
def test_the_page_shows_health_and_last_seen_of_every_target():
    started = time.time()
    monitor = {"http": {"path": "/", "interval": 0.02, "at_most": 0.02}}
    with upstream() as backend, running(document(backend, monitor=monitor)) as gate:
        backend.wait_for(lambda backend: len(backend.requests) >= 2)  # by the second check the first is judged
        answer = httpx.get(f"{gate.management}/-/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    (target,) = answer.json()["connections"]["crm"]
    assert started <= target.pop("last_seen") <= time.time()
    assert target == {
        "url": backend.url,
        "weight": 4,
        "active": True,
        "health": "healthy",
        "reason": "answered 200",
        "in_flight": 0,
        "failures": 0,
    }


def test_a_document_that_was_refused_shows_with_its_problems_while_calls_are_served():
    with upstream() as backend, running(document(backend)) as gate:
        with pytest.raises(ConfigError):
            gate.reload(document(backend, max_tries=0))
        answer = httpx.get(f"{gate.management}/-/health")
        assert gate.request("GET", "/").status_code == 200

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["generation"]) == ("degraded", 1)
    assert "connections.crm.max_tries" in answer.json()["problems"][0]


def test_the_pages_are_not_on_the_public_port():
    with upstream() as backend, running(document(backend)) as gate:
        assert gate.request("GET", "/-/health").text == "ok"
        assert backend.requests[0].path == "/-/health"
