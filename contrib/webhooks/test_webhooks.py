"""Webhooks: who is told of which calls, signed, again where it failed, and a process that is killed meanwhile."""

import base64
import hashlib
import hmac
import json
import time

import httpx
import pytest

from contrib.workflows.served import document, processes, refused, setter, workflow
from hookgate.testing import upstream

KEY = "whsec_" + base64.b64encode(b"a key of 24 bytes length").decode()
WORKFLOWS = {
    "order": workflow(("set", setter("*response*", {"body": {"ordered": "{{ request.body.item }}"}}))),
    "fails": workflow(("go", {"original_name": "boolean_expression", "params": {"expression": "false"}})),
}
WORKFLOWS["fails"]["transitions"] = [["start.ok", "go"], ["go.true", "end"]]
WORKFLOWS["fails"]["cells"]["go"]["outputs"] = ["true"]
ROUTES = [
    {"route": "/orders", "method": "post", "workflow": "order", "public": True, "sync": True},
    {"route": "/others", "method": "post", "workflow": "order", "public": True, "sync": True},
    {"route": "/fails", "method": "post", "workflow": "fails", "public": True},
]
ORDERS = "/api/v01/public/(orders|fails)"
WEBHOOKS = {
    "signed": {
        "methods": ["POST"],
        "url": ORDERS,
        "connection": "listener",
        "path": "/signed",
        "event": "ordered",
        "secret": "secret-of-listener",
        "signing_key": KEY,
        "basic": {"user": "ann", "password": "password-of-ann"},
    },
    "shaky": {
        "url": ORDERS,
        "connection": "listener",
        "path": "/shaky",
        "header": {"name": "X-Key", "value": "key-of-listener"},
        "delay": "50ms",
        "attempts": 3,
    },
    "wrong": {"url": ORDERS, "connection": "listener", "path": "/wrong"},
    "reads": {"url": ".*", "methods": ["GET"], "connection": "listener", "path": "/never"},
    "off": {"url": ".*", "enabled": False, "connection": "listener", "path": "/never"},
}


class Listener:
    """Answers `/shaky` with what it is told to, and `/wrong` with 404."""

    def __init__(self):
        self.shaky = 0

    async def __call__(self, request):
        if request.path == "/wrong":
            return 404, {}, ""
        if request.path == "/shaky" and self.shaky > 0:
            self.shaky -= 1
            return 503, {}, ""
        return 204, {}, ""


@pytest.fixture(scope="module")
def listener():
    with upstream() as made:
        made.answer = Listener()
        yield made


def made(listener):
    return document(WORKFLOWS, ROUTES, webhooks=WEBHOOKS, connections={"listener": {"targets": listener.url}})


@pytest.fixture(scope="module")
def farm(tmp_path_factory, store_in, listener):
    folder = tmp_path_factory.mktemp("webhooks")
    with processes(folder, store_in(folder), made(listener)) as start:
        yield start()


def ask(farm, method, path):
    headers = {"authorization": "Bearer token-of-ann"}
    return httpx.request(method, f"{farm.gate.management}/-/api{path}", headers=headers, timeout=30, trust_env=False)


def over(farm, webhook, count=1, patience=20.0):
    """Wait until so many deliveries are over; return the newest."""
    end = time.monotonic() + patience
    while True:
        told = ask(farm, "GET", f"/webhook-deliveries?webhook={webhook}").json()["deliveries"]
        if len(told) >= count and all(each["status"] != "waiting" for each in told):
            return told[0]
        assert time.monotonic() < end, told
        time.sleep(0.02)


@pytest.mark.stores
@pytest.mark.row("WF-6")
def test_a_completed_call_is_told_signed_and_again_where_it_failed(farm, listener):
    listener.answer.shaky = 2
    seen = len(listener.requests)
    answer = farm.public("/orders?a=1", "POST", json={"item": "tea"})
    farm.public("/others", "POST", json={"item": "tea"})
    farm.public("/fails", "POST", json={"item": "tea"})
    signed, shaky, wrong = over(farm, "signed"), over(farm, "shaky"), over(farm, "wrong")
    got = listener.requests[seen:]

    assert answer.json() == {"ordered": "tea"}
    (first,) = [each for each in got if each.path == "/signed"]
    headers, body = dict(first.headers), bytes(first.body)
    said = json.loads(body)
    assert said.keys() == {"event", "id", "request", "response", "secret"}
    assert (said["event"], said["secret"]) == ("ordered", "secret-of-listener")
    assert said["response"] == {"body": {"ordered": "tea"}}
    assert (said["request"]["body"], said["request"]["params"]) == ({"item": "tea"}, {"a": "1"})
    whole = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    made_up = hmac.new(b"a key of 24 bytes length", whole, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(made_up).decode()}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"ann:password-of-ann"
    assert (signed["status"], signed["guid"]) == ("done", headers["webhook-id"])
    assert "secret-of-listener" not in json.dumps(signed)

    tried = [dict(each.headers) for each in got if each.path == "/shaky"]
    assert [each["x-key"] for each in tried] == ["key-of-listener"] * 3
    assert {each["webhook-id"] for each in tried} == {shaky["guid"]}
    assert [each["status"] for each in shaky["tries"]] == [503, 503, 204]
    assert (wrong["status"], [each["status"] for each in wrong["tries"]]) == ("failed", [404])
    assert not [each for each in got if each.path == "/never"]
    assert len([each for each in got if each.path == "/wrong"]) == 1


@pytest.mark.stores
def test_one_that_fails_for_good_is_made_again_by_hand_and_another_one_is_tried(farm, listener):
    before = len(ask(farm, "GET", "/webhook-deliveries?webhook=shaky").json()["deliveries"])
    listener.answer.shaky = 3
    farm.public("/orders", "POST", json={"item": "tea"})
    failed = over(farm, "shaky", before + 1)
    again = ask(farm, "POST", f"/webhook-deliveries/{failed['id']}/again")
    done = over(farm, "shaky", before + 1)
    tried = ask(farm, "POST", "/webhooks/wrong/test").json()

    assert (failed["status"], len(failed["tries"])) == ("failed", 3)
    assert (again.status_code, done["status"], len(done["tries"])) == (202, "done", 4)
    assert (tried["status"], tried["error"]) == (404, "")
    assert ask(farm, "POST", "/webhooks/none/test").status_code == 404
    assert ask(farm, "POST", "/webhook-deliveries/999999/again").status_code == 409
    assert ask(farm, "POST", "/webhook-deliveries/x/again").status_code == 404


def test_what_cannot_be_is_refused_with_its_place(tmp_path, listener):
    whole = made(listener)
    whole["webhooks"] = {
        "regex": WEBHOOKS["wrong"] | {"url": "("},
        "key": WEBHOOKS["wrong"] | {"signing_key": "whsec_no base64"},
        "header": WEBHOOKS["shaky"] | {"header": {"name": "Webhook-Id", "value": "x"}},
        "connection": WEBHOOKS["wrong"] | {"connection": "lissener"},
    }
    told = refused(tmp_path, whole)

    for words in ("no regular expression", "stands no Base64", "sends itself", "lissener"):
        assert words in told
    assert "no base64" not in told
