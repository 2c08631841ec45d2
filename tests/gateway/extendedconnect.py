"""A client that opens WebSockets over HTTP/2 (RFC 8441), in clear text and from one socket."""

import socket

import h2.connection
import h2.events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection


class ExtendedConnect:
    """One connection of HTTP/2; the WebSocket that :meth:`connect` opened last is the one that is spoken to."""

    def __init__(self, url):
        self._socket = socket.create_connection(url.removeprefix("http://").split(":"), 30)
        self._http = h2.connection.H2Connection()
        self._http.initiate_connection()
        self._flush()
        self._stream = 0
        self._ended = False
        self._head = None
        self._messages = []
        self._partial = None
        self.offered = False
        """Whether the server takes WebSockets."""
        while not self.offered:
            self._read()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._socket.close()

    def connect(self, path, *headers):
        """Ask for a WebSocket; returns the head of the answer."""
        self._stream, self._head, self._ended = self._http.get_next_available_stream_id(), None, False
        self._frames = Connection(ConnectionType.CLIENT)
        pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)]
        self._http.send_headers(
            self._stream, [*pseudo, (":authority", "example.org"), ("sec-websocket-version", "13"), *headers]
        )
        self._flush()
        while self._head is None:
            self._read()
        return self._head

    def send(self, event):
        """Send an event of wsproto."""
        data = bytes(self._frames.send(event))
        while data:
            room = min(
                self._http.local_flow_control_window(self._stream), self._http.max_outbound_frame_size, len(data)
            )
            if room:
                self._http.send_data(self._stream, data[:room])
                data = data[room:]
                self._flush()
            else:
                self._read()

    def end(self):
        """End the stream."""
        self._http.end_stream(self._stream)
        self._flush()

    def receive(self):
        """Return the next message, or code and reason of the closing."""
        while not self._messages:
            assert not self._ended, "the stream has ended"
            self._read()
        return self._messages.pop(0)

    def _flush(self):
        self._socket.sendall(self._http.data_to_send())

    def _read(self):
        data = self._socket.recv(65536)
        assert data, "the server has closed the connection"
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.offered = self._http.remote_settings.enable_connect_protocol == 1
            elif isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if getattr(event, "stream_id", 0) != self._stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                self._head = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived) and self._head[b":status"] == b"200":
                self._frames.receive_data(event.data)
                self._take()
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self._ended = True
        self._flush()

    def _take(self):
        for event in self._frames.events():
            if isinstance(event, CloseConnection):
                if self._frames.state is ConnectionState.REMOTE_CLOSING:
                    self.send(event.response())
                self._messages.append((event.code, event.reason))
            else:
                self._partial = event.data if self._partial is None else self._partial + event.data
                if event.message_finished:
                    self._messages.append(self._partial)
                    self._partial = None
