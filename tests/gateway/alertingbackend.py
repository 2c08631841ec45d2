"""A backend over TLS 1.3 that says any alert at any moment, which no library does on demand."""

import ssl
from contextlib import suppress
from itertools import count

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .tlsbackend import TlsBackend


class AlertingBackend(TlsBackend):
    """Ask ``answer(number, request)`` for the octets to send; ``number`` counts the requests of a connection.

    It gives octets, an :class:`int` for an alert, text for what is sent in the clear, or a list of them; ``None`` hangs
    up. Request 0 is the end of the handshake: what is answered there nobody has asked for. ``requests`` are those it
    has read, bodies and all.
    """

    def __init__(self, certificate, folder, answer, **settings):
        self.answer, self.requests = answer, []
        self._secrets = folder / "secrets"
        super().__init__(certificate, **settings)

    def use(self, certificate, **settings):
        """As that of other backends, without tickets, so that records can be counted."""
        super().use(certificate, versions=("TLSv1_3",), **settings)
        self.context.num_tickets = 0
        self.context.keylog_filename = str(self._secrets)

    def _serve(self, accepted):
        with accepted, suppress(OSError, ssl.SSLError, EOFError):
            self._sockets.append(accepted)
            Talk(self, accepted).run()


class Talk:
    """One connection, with the state of its encryption."""

    def __init__(self, backend, accepted):
        self.backend, self.socket = backend, accepted
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = backend.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.records = 0
        self.hello = b""

    def run(self):
        self._do(self.tls.do_handshake)
        self.backend.connections += 1
        for number in count():
            request = self._request() if number else b""
            if number:
                self.backend.requests.append(request)
            if (said := self.backend.answer(number, request)) is None:
                return
            for each in said if isinstance(said, list) else [said]:
                if isinstance(each, int):
                    self._alert(each)
                elif isinstance(each, str):
                    self.socket.sendall(each.encode())  # in the clear
                else:
                    self._say(each)

    def _do(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                if not (data := self.socket.recv(65536)):
                    raise EOFError from None
                self.hello = self.hello or data
                self.incoming.write(data)
            finally:
                self._flush()

    def _flush(self):
        self.socket.sendall(self.outgoing.read())

    def _request(self):
        data = b""
        while b"\r\n\r\n" not in data or (b"\r\n\r\nend" not in data and data.startswith(b"P")):
            if not (more := self._do(lambda: self.tls.read(65536))):
                raise EOFError
            data += more
        return data

    def _say(self, data):
        if data:
            self.tls.write(data)
            self.records += 1
            self._flush()

    def _alert(self, number):
        """Send it, encrypted as the next record (RFC 8446, 5.2, 6 and 7.3)."""
        name, _, bits = self.tls.cipher()
        hashing = hashes.SHA384() if name.endswith("SHA384") else hashes.SHA256()
        secret = self._secret()

        def derived(label, length):
            info = length.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
            return HKDFExpand(hashing, length, info).derive(secret)

        nonce = bytes(a ^ b for a, b in zip(derived(b"iv", 12), self.records.to_bytes(12, "big"), strict=True))
        head = b"\x17\x03\x03" + (3 + 16).to_bytes(2, "big")
        sealed = AESGCM(derived(b"key", bits // 8)).encrypt(nonce, bytes([2, number, 21]), head)
        self.records += 1
        self.socket.sendall(head + sealed)

    def _secret(self):
        asked = self.hello[11:43].hex()
        for line in self.backend._secrets.read_text().splitlines():
            if line.startswith(f"SERVER_TRAFFIC_SECRET_0 {asked} "):
                return bytes.fromhex(line.rpartition(" ")[2])
        raise LookupError(asked)
