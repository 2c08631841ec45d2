"""Documents with an app behind a flow, and clients that call it as no library does."""

import http.client
import socket
import time
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

AUTH = {"auth": {"methods": [{"basic": {"users": {"anna": "secret"}}}]}}
ANNA = ("anna", "secret")


def exposing(lane, entry, *, routes=(), **gateway):
    """Return a document with an app at `/desk`, and one route for all the rest."""
    answered = {"name": "rest", "flow": [{"respond": {"body": "a route"}}]}
    return {"gateway": {"lane": lane, "expose": {"/desk": entry}, **gateway}, "routes": [*routes, answered]}


def behind(*flow, **more):
    """Return the entry of an app behind a flow."""
    return {"app": "desk", "flow": list(flow), **more}


def events_of(gate, name="desk"):
    """Return what an app or a step has noted."""
    (found,) = [each for each in gate.gateway.live.config.instances.values() if each.entry.name == name]
    return found.events


def wait_for(what, patience=60):
    """Wait until something holds, for so many seconds."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


@contextmanager
def answering(gate, path):
    """The answer to a GET, to be read piece by piece; the client leaves where the block ends."""
    address = urlsplit(gate.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=60)) as calling:
        calling.request("GET", path)
        with calling.getresponse() as answer:
            yield answer


@contextmanager
def calling(gate, head, *fields):
    """A connection on which a request has been sent."""
    address = urlsplit(gate.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as made:
        made.sendall("\r\n".join([f"{head} HTTP/1.1", "Host: x", *fields, "", ""]).encode())
        yield made


def sent(made, body):
    """Send a body on a connection, as far as the other side takes it."""
    with suppress(OSError):  # whoever has refused it does not read it to its end
        made.sendall(body)
