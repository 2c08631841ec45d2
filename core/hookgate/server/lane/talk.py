"""A client of the lane whose WebSocket has steps that look at messages: its frames become messages, and these frames.

To the lane it is both ends of the tunnel, to the conversation it is the server that speaks with the client.
"""

from __future__ import annotations

import asyncio
from collections import deque

from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection

from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.exchange.waiting import Signal
from hookgate.server.conversation import CLOSING, Conversation, Told
from hookgate.server.frames import ABRUPT, AHEAD, EACH, Broken, Frames, Heard, size_of


class Talk:
    """The client's side of a conversation."""

    def __init__(self, transport: asyncio.Transport, exchange: Exchange, response: Response) -> None:
        self._transport = transport
        self._response = response
        self._conversation = Conversation(exchange, response.tunnel)
        self._frames = Frames(ConnectionType.SERVER, transport.write, self._conversation.limit)
        self._waiting: deque[tuple[Heard, int]] = deque()
        """What the client has said, each with what it counts."""
        self._waiting_bytes = 0
        self._held = False
        """The client is not read, since too much waits."""
        self._news = asyncio.Event()
        self._given_up: asyncio.TimerHandle | None = None
        """Set once the client is gone: what it has said before still goes on for a moment."""
        self._is_over = False

    async def carry(self, early: bytes) -> OutcomeKind:
        """Pass messages on, those first that the client has sent already, until the WebSocket is closed.

        Needs no task: it waits for one.
        """
        self.write(early)
        task, over = asyncio.get_running_loop().create_task(self._converse()), Signal()
        task.add_done_callback(lambda _: over.set())
        try:
            await over
        except BaseException:
            task.cancel()
            raise
        return task.result()

    async def _converse(self) -> OutcomeKind:
        listening = asyncio.create_task(self._listen())
        try:
            return await self._conversation.carry(self._tell, {"type": "websocket.accept"}, self._response)
        finally:
            self._is_over = True
            listening.cancel()
            if self._given_up is not None:
                self._given_up.cancel()

    async def _listen(self) -> None:
        conversation = self._conversation
        while True:
            while self._waiting:
                each, size = self._waiting.popleft()
                self._waiting_bytes -= size
                if self._held and self._waiting_bytes <= AHEAD // 2:
                    self._held = False
                    self._transport.resume_reading()
                if isinstance(each, CloseConnection):
                    conversation.client_left(each.code, each.reason)
                elif isinstance(each, Broken):
                    conversation.client_broke(each.code)
                else:
                    await conversation.take(each)
            self._news.clear()
            await self._news.wait()

    async def _tell(self, message: Told) -> None:
        if message["type"] == "websocket.send":
            self._frames.send(message["text"] if "text" in message else message["bytes"])
        elif message["type"] == "websocket.close":
            self._frames.close(message["code"], message["reason"])
        await self._frames.writable.wait()

    def _add(self, each: Heard, size: int = 0) -> None:
        self._waiting.append((each, size + EACH))
        self._waiting_bytes += size + EACH
        self._news.set()

    # --- what the lane reports --------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The client has sent something."""
        if self._is_over:
            return
        self._conversation.heard()
        for each in self._frames.read(data):
            self._add(each, size_of(each) if isinstance(each, str | bytes) else 0)
        if self._waiting_bytes > AHEAD and not self._held:
            self._held = True
            self._transport.pause_reading()

    def hold(self) -> None:
        """The client cannot keep up."""
        self._frames.writable.clear()

    def go_on(self) -> None:
        """It can again."""
        self._frames.writable.set()

    def lost(self) -> None:
        """The client is gone."""
        self._frames.writable.set()
        if not self._is_over:
            self._add(CloseConnection(ABRUPT))
            self._given_up = asyncio.get_running_loop().call_later(CLOSING, self._conversation.client_left, ABRUPT)

    def close(self) -> None:
        """Nothing came for long from the client; how long both may be silent, the conversation knows."""
