"""What a connection does to every attempt: its header actions, then its credentials, each in the order written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from hookgate.connections.asking import asked, check_signed, failed, nonsense
from hookgate.contract.backends import Credential, HeaderProvider
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import Due, Outbound


@dataclass(frozen=True, slots=True)
class HeaderAction:
    """What a connection does to one header of every attempt (AC-19)."""

    action: Literal["add", "set", "remove"]
    name: str
    provider: HeaderProvider[Any] | None = None


class Preparation:
    """The header actions and credentials of one connection. None of them may wait longer than ``patience`` seconds."""

    def __init__(
        self, actions: Iterable[HeaderAction], credentials: Iterable[Credential[Any]], patience: float
    ) -> None:
        self.actions = tuple(actions)
        self.credentials = tuple(credentials)
        self.plugins = [*(a.provider for a in self.actions if a.provider is not None), *self.credentials]
        self.renewing = [credential for credential in self.credentials if hasattr(credential, "rejected")]
        self._signing = [credential for credential in self.credentials if hasattr(credential, "sign")]
        self._keeps_body = any("request.body" in plugin.reads for plugin in self.plugins)
        self._patience = patience

    async def prepare(self, exchange: Exchange, outbound: Outbound, due: Due | None = None) -> None:
        """Run the header actions, then the credentials; none waits longer than ``due``.

        A call of the house itself has no route, and what it says in a header of its own stands against ``set`` and
        ``add`` (HC-11).

        Raises:
            PluginError: one of them failed; the attempt is not sent without it.
        """
        if self._keeps_body:
            await outbound.body.read()
        own = exchange.request.headers if exchange.route is None else ()
        for action in self.actions:
            if action.provider is None:
                outbound.headers.remove(action.name)
                continue
            if action.name in own:
                continue
            value = await asked(action.provider, "value", exchange, outbound, patience=self._patience, due=due)
            if value is None:
                if action.action == "set":  # what the client wrote there must not pass for what we would have
                    outbound.headers.remove(action.name)
                continue
            try:
                getattr(outbound.headers, action.action)(action.name, value)
            except (ValueError, AttributeError, TypeError) as error:
                if not isinstance(value, str):
                    raise nonsense(action.provider, "value", value, "a text or None") from error
                raise failed(action.provider, "value", str(error)) from error
        for credential in self._signing:
            left = await asked(credential, "sign", exchange, outbound, patience=self._patience, due=due)
            check_signed(credential, outbound, left)

    async def renewed(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        """Tell the credentials of a 401; return whether the attempt is to be signed and sent once more."""
        answers = []
        try:
            for each in self.renewing:
                answer = await asked(each, "rejected", exchange, outbound, response, patience=self._patience)
                if answer is not None and answer is not True and answer is not False:
                    raise nonsense(each, "rejected", answer, "True, False or None")
                answers.append(answer)
        except BaseException:
            await response.body.close(asyncio.CancelledError())  # the target is not to blame
            raise
        return any(answers) and (outbound.body.replayable or outbound.body.empty)
