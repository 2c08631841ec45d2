"""One corpus of calls for two engines that have to be one: a document, and the calls through it with their backends.

``BACKEND`` stands for the address of a real backend, ``DEAD`` for one where nobody listens. Mocks say what the backend
does; live, a real backend does the same (see ``test_corpus.py``).
"""

from typing import Any, NamedTuple

DOCUMENT = """\
gateway:
  environment: test
  flow: [request-id]
  limits: {request_body: 1000000, buffered_body: 400000}
trace: {token: TOKEN}
routes:
  - {name: plain, match: {path: "/plain/{id}"}, to: {connection: b}}
  - {name: get-only, match: {path: /get-only, methods: [GET]}, flow: [mark], to: {connection: b}}
  - {name: host, match: {path: /here, host: "*.example"}, flow: [mark], to: {connection: b, preserve_host: true}}
  - {name: nowhere, match: {path: /no-destination}, flow: [mark]}
  - {name: early, match: {path: /early}, flow: [mark, early, refuse]}
  - {name: cors, match: {path: /cors}, flow: [cors: {allow_origins: [https://a.example]}], to: {connection: b}}
  - {name: refused, match: {path: /refused}, flow: [mark, refuse]}
  - {name: broken-in, match: {path: /broken-in}, flow: [mark, break-in], to: {connection: b}}
  - {name: broken-out, match: {path: /broken-out}, flow: [mark, break-out], to: {connection: b}}
  - {name: refused-out, match: {path: /refused-out}, flow: [rescue, mark, refuse-out, late], to: {connection: b}}
  - {name: broken-fault, match: {path: /broken-fault}, flow: [rescue, break-fault, mark, refuse]}
  - {name: rescued, match: {path: /rescued}, flow: [mark, rescue, late, refuse]}
  - {name: rescued-backend, match: {path: /rescued-backend}, flow: [mark, rescue], to: {connection: dead}}
  - name: branched
    match: {path: /branched}
    flow:
      - when:
          if: request.method == 'POST'
          flow: [mark: {name: then}, when: {if: "request.query.deep == '1'", flow: [mark: {name: deep}, refuse]}]
          otherwise: {flow: [mark: {name: otherwise}]}
      - mark: {_: {when: "request.query.never == '1'"}}
    to: {connection: b}
  - name: out-branch
    match: {path: /out-branch}
    flow: [mark]
    response:
      - when: {if: response.status >= 400, flow: [instead, mark: {name: bad}], otherwise: {flow: [mark: {name: good}]}}
      - mark: {name: never, _: {when: response.status == 999}}
    to: {connection: b}
  - name: one-way
    match: {path: /one-way}
    request: [mark: {name: i}]
    response: [mark: {name: o}, late]
    to: {connection: b}
  - name: conditional
    match: {path: /conditional}
    flow: [mark: {_: {when: "request.body == 'yes'"}}]
    to: {connection: b}
  - name: badly-asked
    match: {path: /badly-asked}
    flow: [mark: {_: {when: "request.headers['x-n'] > 5"}}]
    to: {connection: b}
  - {name: read, match: {path: /read}, flow: [read], to: {connection: b}}
  - {name: upper, match: {path: /upper}, flow: [upper, read], to: {connection: b}}
  - {name: shout, match: {path: /shout}, flow: [shout, late], to: {connection: b}}
  - {name: shout-read, match: {path: /shout-read}, flow: [shout, read], to: {connection: b}}
  - {name: instead, match: {path: /instead}, flow: [mark, instead], to: {connection: b}}
  - {name: tell, match: {path: /tell}, flow: [tell, move], to: {connection: b}}
  - {name: done, match: {path: /done-refused}, flow: [tell, refuse]}
  - {name: compressed, match: {path: /compressed}, flow: [compress: {min_size: 1}], to: {connection: b}}
  - {name: moved, match: {path: "/moved/{id}"}, to: {connection: b, path: "/v2/{id}/x"}}
  - {name: limited, match: {path: /limited}, flow: [mark], limits: {request_body: 10}, to: {connection: b}}
  - {name: answer-limit, match: {path: /answer-limit}, flow: [rescue], limits: {response_body: 10}, to: {connection: b}}
  - {name: identified, match: {path: /identified}, flow: [auth: {methods: [partner]}], to: {connection: b}}
  - {name: visit, match: {path: /visit}, flow: [visit: {to: "/plain/7?x=1"}, mark], to: {connection: b}}
  - {name: visit-refused, match: {path: /visit-refused}, flow: [visit: {to: /refused}, early]}
  - {name: loop, match: {path: /loop}, flow: [visit: {to: /loop}, early]}
  - {name: ring, match: {path: /ring}, flow: [ring: {url: /rung, connection: b}], to: {connection: b}}
  - {name: ring-url, match: {path: /ring-url}, flow: [ring: {url: "BACKEND/rung?x=1"}], to: {connection: b}}
  - {name: ring-dead, match: {path: /ring-dead}, flow: [ring: {url: /rung, connection: dead}, early]}
  - {name: background, match: {path: /background}, flow: [background], to: {connection: b}}
  - {name: failover, match: {path: /failover}, flow: [mark], to: {connection: two}}
  - {name: retried, match: {path: /retried}, flow: [mark], to: {connection: again}}
  - {name: dead, match: {path: /dead}, flow: [mark], to: {connection: dead}}
  - {name: slow, match: {path: /slow}, flow: [rescue], to: {connection: slow}}
  - {name: signed, match: {path: /signed}, to: {connection: signed}}
apis:
  - name: orders
    version: "1"
    base_path: /orders
    to: {connection: b}
    flow: [mark: {name: A}, knows]
    response: [mark: {name: C}]
    resources:
      - path: /items/{id}
        flow: [mark: {name: R}]
        overrides: {mark: {name: over}}
        operations: {GET: {flow: [mark: {name: O}]}, POST: null}
      - {path: /broken, inherit: false, flow: [mark: {name: N}, {from: mark}]}
      - {path: /elsewhere, to: {connection: pre, prefix: /pre}}
applications: {shop: {client_ids: [s1], plans: {orders: gold}}}
plans: {gold: {flow: [mark: {name: G}]}, free: {}}
profiles:
  partner: {inbound: {basic: {users: {ann: right-word}}}, outbound: {basic: {username: gate, password: s3cret-pass}}}
connections:
  b: {targets: ["BACKEND"], base_path: /base, pool: {keep_alive: 0}}
  dead: {targets: ["DEAD"], max_tries: 2, pool: {keep_alive: 0}}
  two: {targets: ["DEAD"], backups: ["BACKEND"], max_tries: 2, pool: {keep_alive: 0}}
  pre: {targets: ["DEAD"], backups: ["BACKEND"], max_tries: 2, pool: {keep_alive: 0}}
  again:
    targets: ["BACKEND"]
    backups: ["BACKEND2"]
    max_tries: 3
    retry: {on: [connect-failed, broken, 503]}
    pool: {keep_alive: 0}
  slow: {targets: ["BACKEND"], timeouts: {read: 0.15}, pool: {keep_alive: 0}}
  signed:
    targets: ["BACKEND"]
    headers:
      - {set: X-Caller, from: {default: {value: gate}}}
      - {remove: x-drop}
      - {add: X-More, from: {default: {value: m}}}
    auth: [partner]
"""

BIG = "0123456789" * 30_000
"""Longer than what is read from a connection at once, so it never comes whole with its head."""
OK: dict[str, Any] = {"response": {"status": 200, "headers": {"content-type": "text/plain"}, "body": "hello"}}
LONG: dict[str, Any] = {"response": {"status": 200, "headers": {"content-type": "text/plain"}, "body": BIG}}
GONE: dict[str, Any] = {"match": {"target": "DEAD"}, "fault": "connect-refused"}


class Case(NamedTuple):
    """A call, and what backends do."""

    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""
    mocks: tuple[dict[str, Any], ...] = (OK,)
    streamed: bool = False
    """The body of the request comes in chunks of unknown number."""
    loose: str = ""
    """What is chance in this call: ``framing`` where a short body is mapped, whose length is known only if it came
    whole with its head; ``bytes`` where what is sent depends on the chunks in which a body came."""


def _answer(status: int = 200, body: str = "", **more: Any) -> tuple[dict[str, Any], ...]:
    return ({"response": {"status": status, "body": body, **more}},)


LOGIN = {"authorization": "Basic YW5uOnJpZ2h0LXdvcmQ="}
PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "GET"}

CASES = {
    "plain": Case("GET", "/plain/7?b=1&a=%20"),
    "plain-post": Case("POST", "/plain/7", body=b"data"),
    "plain-streamed": Case("POST", "/plain/7", body=BIG.encode(), streamed=True),
    "plain-big": Case("PUT", "/plain/7", body=BIG.encode(), mocks=(LONG,)),
    "plain-encoded": Case("GET", "/plain/a%20b%2Fc"),
    "plain-dots": Case("GET", "/plain/x/../7"),
    "plain-head": Case("HEAD", "/plain/7"),
    "plain-delete": Case("DELETE", "/plain/7", mocks=_answer(204)),
    "plain-304": Case("GET", "/plain/7", {"if-none-match": '"a"'}, mocks=_answer(304, headers={"etag": '"a"'})),
    "plain-500": Case("GET", "/plain/7", mocks=_answer(500, "oh")),
    "plain-empty": Case("GET", "/plain/7", mocks=_answer(200)),
    "plain-chunked": Case("GET", "/plain/7", mocks=_answer(200, BIG, chunked=True)),
    "plain-hop": Case("GET", "/plain/7", {"te": "trailers", "x-hop": "1", "x-forwarded-for": "192.0.2.9"}),
    "plain-secret": Case("GET", "/plain/7?token=s3cret", {"cookie": "a=s3cret", "x-api-key": "s3cret"}),
    "broken": Case("GET", "/plain/7", mocks=({"fault": "broken"},)),
    "breaks-off": Case("GET", "/plain/7", mocks=_answer(200, BIG, broken_after=200_000)),
    "no-route": Case("GET", "/absent"),
    "no-method": Case("DELETE", "/get-only"),
    "head-of-get": Case("HEAD", "/get-only"),
    "options": Case("OPTIONS", "/get-only"),
    "host": Case("GET", "/here", {"host": "a.example"}),
    "no-host": Case("GET", "/here", {"host": "a.test"}),
    "no-destination": Case("GET", "/no-destination"),
    "early": Case("GET", "/early"),
    "early-head": Case("HEAD", "/early"),
    "early-with-body": Case("POST", "/early", body=b"unread"),
    "preflight": Case("OPTIONS", "/cors", PREFLIGHT),
    "cors": Case("GET", "/cors", {"origin": "https://a.example"}),
    "refused": Case("GET", "/refused"),
    "broken-in": Case("GET", "/broken-in"),
    "broken-out": Case("GET", "/broken-out", mocks=(LONG,)),
    "refused-out": Case("GET", "/refused-out", mocks=(LONG,)),
    "broken-fault": Case("GET", "/broken-fault"),
    "rescued": Case("GET", "/rescued"),
    "rescued-backend": Case("GET", "/rescued-backend", mocks=(GONE,)),
    "branch-then": Case("POST", "/branched", body=b"x"),
    "branch-deep": Case("POST", "/branched?deep=1"),
    "branch-otherwise": Case("GET", "/branched"),
    "branch-condition": Case("GET", "/branched?never=1"),
    "out-branch-good": Case("GET", "/out-branch"),
    "out-branch-bad": Case("GET", "/out-branch", mocks=_answer(404, BIG)),
    "one-way": Case("GET", "/one-way"),
    "condition-on-body": Case("POST", "/conditional", body=b"yes"),
    "condition-on-streamed-body": Case("POST", "/conditional", body=b"yes", streamed=True),
    "condition-not": Case("POST", "/conditional", body=b"no"),
    "condition-of-nothing": Case("GET", "/badly-asked"),
    "condition-badly-asked": Case("GET", "/badly-asked", {"x-n": "many"}),
    "read": Case("POST", "/read", body=b"body"),
    "read-streamed": Case("POST", "/read", body=b"body", mocks=(LONG,), streamed=True),
    "read-nothing": Case("GET", "/read", mocks=_answer(204)),
    "read-too-much": Case("POST", "/read", body=b"x" * 500_000),
    "read-too-much-back": Case("GET", "/read", mocks=_answer(200, "x" * 500_000)),
    "upper": Case("POST", "/upper", body=b"body"),
    "upper-big": Case("POST", "/upper", body=b"body" * 60_000, mocks=(LONG,)),
    "shout": Case("POST", "/shout", body=BIG.encode(), mocks=(LONG,)),
    "shout-short": Case("POST", "/shout", body=b"body", loose="framing"),
    "shout-streamed": Case("POST", "/shout", body=b"body", mocks=(LONG,), streamed=True),
    "shout-read": Case("POST", "/shout-read", body=b"body"),
    "shout-head": Case("HEAD", "/shout"),
    "instead": Case("GET", "/instead", mocks=(LONG,)),
    "tell": Case("GET", "/tell?pin=1234&size=2", {"x-card": "4111"}, mocks=_answer(200, headers={"x-secret-id": "7"})),
    "done-refused": Case("GET", "/done-refused", {"x-card": "4111"}),
    "compressed": Case("GET", "/compressed", {"accept-encoding": "gzip"}, mocks=(LONG,), loose="bytes"),
    "moved": Case("GET", "/moved/a%20b?x=1"),
    "limited": Case("POST", "/limited", body=b"more than ten bytes"),
    "limited-streamed": Case("POST", "/limited", body=b"more than ten bytes", streamed=True),
    "answer-limit": Case("GET", "/answer-limit", mocks=(LONG,)),
    "nobody": Case("GET", "/identified"),
    "somebody": Case("GET", "/identified", LOGIN),
    "visit": Case("GET", "/visit"),
    "visit-refused": Case("GET", "/visit-refused"),
    "loop": Case("GET", "/loop"),
    "ring": Case("GET", "/ring"),
    "ring-fails": Case("GET", "/ring", mocks=({"match": {"path": "/base/rung"}, "fault": "broken"}, OK)),
    "ring-url": Case("GET", "/ring-url", mocks=({**OK, "match": {"url": "BACKEND/rung", "query": "x=1"}}, OK)),
    "ring-dead": Case("GET", "/ring-dead", mocks=(GONE,)),
    "background": Case("GET", "/background"),
    "failover": Case("GET", "/failover", mocks=(GONE, OK)),
    "retried": Case("GET", "/retried", mocks=({"fault": "broken", "times": 1}, OK)),
    "retried-status": Case("GET", "/retried", mocks=({"response": {"status": 503}, "times": 1}, OK)),
    "retried-in-vain": Case("GET", "/retried", mocks=({"response": {"status": 503, "body": BIG}},)),
    "retried-post": Case("POST", "/retried", body=b"x", mocks=({"fault": "broken"},)),
    "retried-key": Case("POST", "/retried", {"idempotency-key": "1"}, b"x", ({"fault": "broken", "times": 1}, OK)),
    "dead": Case("GET", "/dead", mocks=(GONE,)),
    "slow": Case("GET", "/slow", mocks=({"fault": "timeout"},)),
    "signed": Case("GET", "/signed", {"authorization": "Bearer mine", "x-drop": "1", "x-caller": "me", "x-more": "k"}),
    "api": Case("GET", "/orders/1/items/7"),
    "api-post": Case("POST", "/orders/1/items/7", body=b"x"),
    "api-405": Case("DELETE", "/orders/1/items/7"),
    "api-404": Case("GET", "/orders/1/absent"),
    "api-broken": Case("GET", "/orders/1/broken"),
    "api-elsewhere": Case("GET", "/orders/1/elsewhere", mocks=(GONE, OK)),
    "api-plan": Case("GET", "/orders/1/items/7", {"x-client": "s1"}),
    "trusted-id": Case("GET", "/plain/7", {"x-request-id": "corpus-1"}),
}
