"""Dates in every form that HTTP has, and secrets that nobody guesses, through a real gateway."""

import hmac
import time
from base64 import b64encode
from email.utils import formatdate

import pytest

from hookgate import ConfigError
from hookgate.testing import running

SECRET = "a-secret-of-ours"


def document(secret=SECRET, lane=True, **more):
    keys = {"ann": {"algorithm": "hmac-sha256", "secret": secret, **more}}
    methods = [{"signature": {"keys": keys, "required": ["(request-target)", "date"]}}]
    flow = [{"auth": {"methods": methods}}, {"respond": {"body": "in"}}]
    return {"gateway": {"lane": lane}, "routes": [{"name": "all", "flow": flow}]}


def signed(date):
    text = f"(request-target): get /\ndate: {date}"
    signature = b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).decode()
    line = f'Signature keyId="ann",algorithm="hmac-sha256",headers="(request-target) date",signature="{signature}"'
    return {"date": date, "authorization": line}


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_dates_in_all_three_forms_of_http_are_read(lane):
    now = time.gmtime()
    day, month = time.strftime("%a", now), time.strftime("%b", now)
    forms = [
        formatdate(usegmt=True),
        f"{day} {month} {now.tm_mday:2d} {time.strftime('%H:%M:%S %Y', now)}",
        time.strftime("%A, %d-%b-%y %H:%M:%S GMT", now),
    ]
    with running(document(lane=lane)) as gate:
        assert [gate.request("GET", "/", headers=signed(form)).status_code for form in forms] == [200, 200, 200]


@pytest.mark.parametrize(
    "date",
    [
        "Sun Nov  6 08:49:37 1994",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun Nov 6",
        "yesterday",
        "in two hours",
    ],
)
def test_dates_that_are_old_or_none_are_refused(date):
    if date == "in two hours":  # ids of tests are the same in every process
        date = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(time.time() + 7200))
    with running(document()) as gate:
        assert gate.request("GET", "/", headers=signed(date)).status_code == 401


@pytest.mark.parametrize(("secret", "more"), [("k", {}), ("1234567", {}), ("aw==", {"encoding": "base64"})])
def test_a_secret_that_can_be_guessed_is_refused(secret, more):
    with pytest.raises(ConfigError, match=r"the key has \d bytes and can be guessed; write 8 or more"):
        running(document(secret, **more)).__enter__()
