"""Servers to measure, and the ceilings to measure them by.

Run as `python -m tests.bench.target_process KIND DATA_DIR [NAME=VALUE ...]`; tells on stdout where it listens. The
ceilings answer what the canvas server would answer, and do nothing:

- `raw`: no HTTP at all, a constant for whatever arrives. Nothing in Python is faster; it shows what the load can do.
- `bare`: an ASGI application of two lines, on the same uvicorn, httptools, uvloop. GET streams one event.
- `decode`: the same, and the body is decoded into the types of the operation language, all of it or line by line.
- `starlette`: routing, the body decoded, a response.
- `canvas`: the whole server, with its database in a folder, and settings such as `storage.durability=journal`.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import uvicorn
import uvloop
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from canvas_server import app
from canvas_server.config import Secret, Settings
from canvas_server.core.operation import Operation
from canvas_server.listening import bind
from canvas_server.web.ops import OpsBody
from tests.bench.credentials import TOKEN

_ANSWER: Final = b'{"accepted":true,"ops_count":1,"duration_ms":0.1}'
_HEADERS: Final = [(b"content-length", b"%d" % len(_ANSWER)), (b"content-type", b"application/json")]
_EVENT: Final = b'data: {"type":"start","server_version":"W/\\"0-0000000000000000\\""}\n\n'
_STREAM_HEADERS: Final = [(b"content-type", b"text/event-stream")]
_decode_body: Final = msgspec.json.Decoder(OpsBody).decode
_decode_operation: Final = msgspec.json.Decoder(Operation).decode


class _Constant(asyncio.Protocol):
    _whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(self._whole)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer, or tell one event and wait until nobody listens."""
    while (await receive()).get("more_body"):
        pass
    if scope["method"] == "GET":
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        await send({"type": "http.response.body", "body": _EVENT, "more_body": True})
        await receive()
    else:
        await _answer(send)


async def decode(scope: Scope, receive: Receive, send: Send) -> None:
    """Decode the body, forget it and answer."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    if (b"content-type", b"application/x-ndjson") in scope["headers"]:
        for line in body.split(b"\n"):
            _decode_operation(line)
    else:
        _decode_body(body)
    await _answer(send)


async def _answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


def starlette() -> ASGIApp:
    """Return an application that decodes operations and forgets them."""

    async def submit(request: Request) -> Response:
        _decode_body(await request.body())
        return Response(_ANSWER, 202, media_type="application/json")

    return Starlette(routes=[Route("/api/v2/canvas/{ref}/ops:stream", submit, methods=["POST"])])


def settings(data_dir: str, options: Sequence[str]) -> Settings:
    """Return the settings of a whole server."""
    sections: dict[str, dict[str, str]] = {
        "server": {"port": "0"},
        "storage": {"data_dir": data_dir},
        # All the load is one user, who is held to no rate, and yet counted.
        "limits": {"ops_per_s": "1000000000", "ops_burst": "1000000000", "listeners_per_user_max": "0"},
    }
    for option in options:
        name, _, value = option.partition("=")
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = value
    told = msgspec.convert(sections, Settings, strict=False)
    return replace(told, server=replace(told.server, token=Secret(TOKEN)))


async def _serve_raw(sock: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(_Constant, sock=sock)
    await server.serve_forever()


def _serve_asgi(application: ASGIApp, sock: socket.socket) -> None:
    gc.freeze()  # as the whole server does: what is there at the start stays
    config = uvicorn.Config(
        application, http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[sock])


def main() -> None:
    kind, data_dir, *options = sys.argv[1:]
    if kind == "canvas":
        sys.exit(app.serve(settings(data_dir, options)))
    sock = bind("127.0.0.1", 0)
    print(f"listens on http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    if kind == "raw":
        uvloop.run(_serve_raw(sock))
    else:
        _serve_asgi({"bare": bare, "decode": decode, "starlette": starlette()}[kind], sock)


if __name__ == "__main__":
    main()
