"""A backend that speaks HTTP/1.1 over TLS, and tells each caller what it saw of it.

It has threads and plain sockets: asyncio hangs up without a word where a handshake fails, other servers say why.
"""

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress


class TlsBackend:
    """Call ``use`` to have connections to come meet another certificate, or other demands."""

    def __init__(self, certificate, **settings):
        self.connections = 0
        """Handshakes that came about."""
        self.asked = []
        """The names that clients asked for."""
        self.use(certificate, **settings)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def use(self, certificate, *, clients=None, versions=("TLSv1_2", "TLSv1_3"), ciphers=None):
        """Show this certificate; ``clients`` is the authority whose certificates clients must show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate["certificate"], certificate["key"])
        context.minimum_version = ssl.TLSVersion[versions[0]]
        context.maximum_version = ssl.TLSVersion[versions[-1]]
        context.sni_callback = lambda _, name, __: self.asked.append(name)
        if ciphers:
            context.set_ciphers(ciphers)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        self.context = context

    def _accept(self):
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self._sockets.append(accepted)
                thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, accepted):
        with accepted, suppress(OSError):
            with self.context.wrap_socket(accepted, server_side=True) as connection:
                self._sockets.append(connection)
                self.connections += 1
                self._answer(connection, self.connections)

    def _answer(self, connection, number):
        subject = (connection.getpeercert() or {}).get("subject", ())
        about = {"connection": number, "client": next((name for ((_, name),) in subject), None)}
        with connection.makefile("rb") as lines:
            while line := lines.readline():
                while lines.readline().strip():
                    pass
                body = json.dumps({**about, "path": line.split()[1].decode()}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def close(self):
        """Hang up on everybody."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def tls_backend(certificate, **settings):
    """Run such a backend for as long as the block lasts."""
    backend = TlsBackend(certificate, **settings)
    try:
        yield backend
    finally:
        backend.close()
