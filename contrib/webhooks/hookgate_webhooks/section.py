"""The section ``webhooks``: who is told of calls of custom routes that were completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hookgate import Host, Item, Section, hookimpl
from hookgate_webhooks.records import WebhookSection
from hookgate_webhooks.sending import Sender


class Webhooks(Section[WebhookSection]):
    """Who is told of calls of custom routes that were completed, by name."""

    def __init__(self, items: Sequence[Item[WebhookSection]] = ()) -> None:
        super().__init__(items)
        self.webhooks: Mapping[str, WebhookSection] = {item.name: item.record for item in self.items}
        self._sender: Sender | None = None

    @property
    def sender(self) -> Sender:
        """What sends; there once the gateway has started."""
        assert self._sender is not None
        return self._sender

    def poke(self) -> None:
        """Look at once."""
        if self._sender is not None:
            self._sender.wake.set()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to send."""
        self._sender = Sender(host, self.webhooks)
        if self.items:
            host.start("deliveries", self._sender.run())

    @hookimpl
    def health(self) -> Mapping[str, Any]:
        """Say how many there are."""
        told: dict[str, Any] = {"webhooks": len(self.items)}
        trouble = "" if self._sender is None else self._sender.trouble
        return told | {"problems": [f"webhooks are not delivered: {trouble}"]} if trouble else told
