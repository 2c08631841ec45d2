import pytest
from quart import Quart

from hookgate.testing import build
from hookgate_app_connections import Connections


def facts(name, *, tags=(), health="healthy", **target):
    one = {"url": "http://a", "weight": 1, "active": True, "health": "healthy", "reason": "", "last_seen": None}
    return {
        "name": name,
        "tags": list(tags),
        "health": health,
        "targets": [{**one, "in_flight": 0, "failures": 0, **target}],
    }


class Stub:
    """A host with three connections."""

    def overview(self):
        return {
            "crm": facts("crm", tags=["EU", "customers"], last_seen=1_700_000_000.25),
            "erp": facts("erp", tags=["eu"], health="degraded"),
            "a/b": facts("a/b", health="unhealthy"),
        }


async def page(path):
    app = Quart(__name__)
    app.register_blueprint(build(Connections).blueprint(Stub()), url_prefix="/-")
    response = await app.test_client().get(f"/-/{path}")
    assert response.headers["Cache-Control"] == "no-store"
    return response, await response.get_json()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["crm", "erp", "a/b"]),
        ("tag=eu", ["crm", "erp"]),
        ("tag=%20Eu%20", ["crm", "erp"]),
        ("tag=eu&tag=CUSTOMERS", ["crm"]),
        ("tag=us", []),
        ("health=unhealthy", ["a/b"]),
        ("health=unhealthy&health=degraded", ["erp", "a/b"]),
        ("tag=eu&health=healthy", ["crm"]),
    ],
)
async def test_filters(query, names):
    response, document = await page(f"connections?{query}")

    assert response.status_code == 200
    assert [connection["name"] for connection in document["connections"]] == names


async def test_last_seen_is_shown_for_programs_and_for_people():
    _, document = await page("connections/crm")

    assert document["targets"][0]["last_seen"] == 1_700_000_000.25
    assert document["targets"][0]["last_seen_at"] == "2023-11-14T22:13:20.250+00:00"
    assert (await page("connections/erp"))[1]["targets"][0]["last_seen_at"] is None


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("connections/none", 404, "There is no connection named 'none'."),
        ("connections?tags=eu", 400, "There is no filter 'tags'"),
        ("connections?health=ill", 400, "'ill' is no health"),
    ],
)
async def test_what_is_not_there_is_a_problem_document(path, status, detail):
    response, document = await page(path)

    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert detail in document["detail"]


async def test_a_name_may_hold_a_slash():
    assert (await page("connections/a%2Fb"))[1]["name"] == "a/b"
    assert (await page("connections/a/b"))[0].status_code == 200
