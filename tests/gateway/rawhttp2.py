"""A client of HTTP/2 that sends what it is told, right or wrong."""

import contextlib
import socket

import h2.connection
import h2.events


class Http2:
    """One connection of HTTP/2 in clear text, from one socket; nothing is checked before it is sent."""

    def __init__(self, url):
        self.socket = socket.create_connection(url.removeprefix("http://").split(":"), 30)
        self.http = h2.connection.H2Connection(
            h2.connection.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.http.initiate_connection()
        self.answers = {}
        self.ended = set()
        self.resets = {}
        """Error codes of streams that were reset."""
        self.told = None
        """What GOAWAY has said: the last stream that is taken, and an error code."""
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def send(self, fields, *, end=True):
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def get(self, path):
        return self.send([(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1")])

    def read(self):
        """Take what comes next; returns whether the connection still stands."""
        data = self.socket.recv(65536)
        for event in self.http.receive_data(data) if data else ():
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.ResponseReceived):
                self.answers[stream] = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(stream)
                if isinstance(event, h2.events.StreamReset):
                    self.resets[stream] = int(event.error_code)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.told = event.last_stream_id, int(event.error_code)
        with contextlib.suppress(OSError):
            self.flush()
        return bool(data)

    def until_told(self):
        """Wait until GOAWAY comes; return what it says."""
        while self.told is None and self.read():
            pass
        return self.told

    def until_closed(self):
        """Wait for the end of the connection."""
        while self.read():
            pass

    def answer(self, stream):
        """Wait for the status of an answer and its end; ``None`` where there is none."""
        while stream not in self.ended and self.read():
            pass
        return self.answers.get(stream)
