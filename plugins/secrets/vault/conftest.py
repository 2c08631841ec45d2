"""A server that speaks as much of Vault's documented HTTP API as the tests need, on a free loopback port."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class VaultServer:
    """Key-value engines `secret` (version 2) and `kv` (version 1), AppRole, dynamic credentials, tokens with a ttl."""

    def __init__(self):
        self.stored = {}
        """Fields by path of the API."""
        self.tokens = {"root": {"ttl": 0, "renewable": False}}
        self.roles = {"role-1": "secret-1"}
        self.ttl, self.renewable, self.lease = 3600, True, 0
        self.denied = set()
        self.sealed = False
        self.raw = None
        """Status, headers and body that are answered whatever is asked."""
        self.seen = []
        """Method, path, namespace and token of each request."""
        self.changed = threading.Condition()
        self._given = 0

    def asked(self, path):
        """Return the requests for a path."""
        return [each for each in self.seen if each[1] == path]

    def wait_for(self, condition):
        """Wait until something holds, which is looked at after each request."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), 20), self.seen

    def answer(self, method, path, headers, body):
        """Return status, headers and document for a request."""
        token = headers.get("X-Vault-Token")
        with self.changed:
            self.seen.append((method, path, headers.get("X-Vault-Namespace"), token))
            self.changed.notify_all()
        if self.raw is not None:
            return self.raw
        if self.sealed:
            return 503, {}, {"errors": ["Vault is sealed"]}
        if path == "auth/approle/login":
            if self.roles.get(body.get("role_id")) != body.get("secret_id"):
                return 400, {}, {"errors": [f"invalid role or secret ID {body.get('secret_id')}"]}
            return 200, {}, {"auth": self._new_token()}
        if token not in self.tokens or path in self.denied:
            return 403, {}, {"errors": ["permission denied"]}
        return self._known(method, path, token)

    def _known(self, method, path, token):
        held = self.tokens[token]
        match method, path:
            case "GET", "auth/token/lookup-self":
                return 200, {}, {"data": {"id": token, **held}}
            case "POST", "auth/token/renew-self":
                if not held["renewable"]:
                    return 400, {}, {"errors": ["lease is not renewable"]}
                return 200, {}, {"auth": {"client_token": token, "lease_duration": self.ttl, "renewable": True}}
            case "POST", "auth/token/revoke-self":
                del self.tokens[token]
                return 204, {}, None
            case "GET", "database/creds/crm":
                self._given += 1
                fields = {"username": f"user-{self._given}", "password": f"pass-{self._given}"}
                return 200, {}, {"lease_id": f"database/creds/crm/{self._given}", "lease_duration": 90, "data": fields}
        if path.startswith("secret/") and not path.startswith("secret/data/"):
            warning = "Invalid path for a versioned K/V secrets engine. See the API docs"
            return 404, {}, {"errors": [], "warnings": [warning]}
        if path not in self.stored:
            return 404, {}, {"errors": []}
        data = self.stored[path]
        if path.startswith("secret/data/"):
            data = {"data": data, "metadata": {"version": 1, "destroyed": False}}
            if data["data"] is None:
                return 404, {}, {"data": data}
        return 200, {}, {"lease_id": "", "lease_duration": 2764800, "renewable": False, "data": data}

    def _new_token(self):
        token = f"t-{len(self.tokens)}-given"
        self.tokens[token] = {"ttl": self.ttl, "renewable": self.renewable}
        return {"client_token": token, "lease_duration": self.ttl, "renewable": self.renewable}


@contextmanager
def serving(vault):
    """Serve as long as the block lasts; `vault.address` is where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.removeprefix("/v1/")
            status, headers, document = vault.answer(self.command, path, self.headers, json.loads(body or b"{}"))
            data = document if isinstance(document, bytes) else json.dumps(document).encode() if document else b""
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - what http.server calls

        def log_message(self, *arguments): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    vault.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def vault():
    """A server with a secret at `secret/data/crm`."""
    with serving(VaultServer()) as server:
        server.stored["secret/data/crm"] = {"username": "gateway", "password": "open sesame"}
        yield server
