"""The obvious gateway in Python: a catch-all route of Quart that passes calls on with httpx. Bodies are streamed."""

import httpx
from quart import Quart, Response, request

UPSTREAM = "http://127.0.0.1:@UPSTREAM_PORT@"
OWN = {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
"""Headers of one connection, which are not passed on."""

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None  # the default refuses uploads of more than 16 MiB


@app.before_serving
async def connect() -> None:
    # The defaults keep 20 connections, allow 100, and give up after 5 seconds of waiting for one.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=1024, keepalive_expiry=60)
    app.client = httpx.AsyncClient(base_url=UPSTREAM, limits=limits, timeout=30)


@app.after_serving
async def disconnect() -> None:
    await app.client.aclose()


@app.route("/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@app.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def proxy(path: str) -> Response:
    headers = [(name, value) for name, value in request.headers if name.lower() not in OWN]
    body = request.body if request.method not in {"GET", "DELETE"} else None
    outgoing = app.client.build_request(request.method, request.full_path, headers=headers, content=body)
    answer = await app.client.send(outgoing, stream=True)

    async def chunks():
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await answer.aclose()

    kept = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in OWN]
    return Response(chunks(), answer.status_code, kept)
