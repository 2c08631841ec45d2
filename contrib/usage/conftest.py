"""A gateway with subscriptions, for the tests of usage."""

import pytest

SUBSCRIPTION = '''
"""Looks subscriptions up as the step of that name does, by a header and in a table of the test."""
from hookgate import Exchange, Interceptor, Options, hookimpl

class SubscriptionsOptions(Options):
    known: dict[str, dict[str, str]]
    """What is known, by key."""

class Subscriptions(Interceptor[SubscriptionsOptions]):
    name = "subscriptions"
    writes = {"variables"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        found = self.options.known.get(exchange.request.headers.get("x-key", ""))
        if found is not None:
            exchange.variables["subscription"] = dict(found)
'''


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    """The folder with the step `subscriptions`."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "subscriptions.py").write_text(SUBSCRIPTION)
    return folder
