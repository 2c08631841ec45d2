import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import pytest

from hookgate.testing import MovableClock, build, running, upstream
from hookgate_header_date import Date


async def test_the_date_is_an_imf_fixdate_in_gmt_and_follows_the_clock():
    clock = MovableClock(wall=1402174295.9)
    date = build(Date)
    date.startup(SimpleNamespace(clock=clock))

    assert date.value(None, None) == "Sat, 07 Jun 2014 20:51:35 GMT"
    await clock.advance(0.05)
    assert date.value(None, None) == "Sat, 07 Jun 2014 20:51:35 GMT"
    await clock.advance(0.05)
    assert date.value(None, None) == "Sat, 07 Jun 2014 20:51:36 GMT"


def test_the_date_does_not_depend_on_locale_or_time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        value = build(Date).value(None, None)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert value.endswith(" GMT")
    assert abs(datetime.now(UTC) - parsedate_to_datetime(value)).total_seconds() <= 2


@pytest.mark.row("AC-21")
def test_the_backend_gets_the_date_of_the_attempt():
    with upstream() as backend:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url, "headers": [{"set": "Date", "from": "date"}]}},
        }
        with running(document) as gate:
            before = datetime.now(UTC).replace(microsecond=0)
            gate.request("GET", "/", headers={"Date": "Mon, 01 Jan 2001 00:00:00 GMT"})
            after = datetime.now(UTC)

        (value,) = backend.requests[0].all("Date")
        assert before <= parsedate_to_datetime(value) <= after
        assert datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) == parsedate_to_datetime(value)
