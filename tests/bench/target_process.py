"""Servers to measure, each in a process of its own, and the ceilings to measure them by.

Run as `python -m tests.bench.target_process KIND [DATA_DIR]`; tells on stdout where it listens. The ceilings answer
what the canvas server would answer, and do nothing:

- `raw`: no HTTP at all, a constant for whatever arrives. Nothing in Python is faster; it shows what the load can do.
- `bare`: an ASGI application of two lines, on the same uvicorn, httptools and uvloop.
- `starlette`: routing, the body decoded into the types of the operation language, a response.
- `canvas`, `journal`: the whole server, with its database in a folder.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from canvas_server import app
from canvas_server.config import Settings
from canvas_server.config.settings import ServerSettings, StorageSettings
from canvas_server.web.ops import OpsBody

_ANSWER: Final = b'{"accepted":true,"ops_count":1,"duration_ms":0.1}'
_HEADERS: Final = [(b"content-length", b"%d" % len(_ANSWER)), (b"content-type", b"application/json")]


class _Constant(asyncio.Protocol):
    _whole = b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(self._whole)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


def starlette() -> ASGIApp:
    """Return an application that reads operations and forgets them."""
    decode = msgspec.json.Decoder(OpsBody).decode

    async def submit(request: Request) -> Response:
        decode(await request.body())
        return Response(_ANSWER, 202, media_type="application/json")

    return Starlette(routes=[Route("/api/v2/canvas/{ref}/ops:stream", submit, methods=["POST"])])


async def _serve_raw(sock: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(_Constant, sock=sock)
    await server.serve_forever()


def _serve_asgi(application: ASGIApp, sock: socket.socket) -> None:
    config = uvicorn.Config(
        application, http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[sock])


def main() -> None:
    kind = sys.argv[1]
    if kind in ("canvas", "journal"):
        durability = "journal" if kind == "journal" else "checkpoint"
        storage = msgspec.convert({"data_dir": sys.argv[2], "durability": durability}, StorageSettings)
        sys.exit(app.serve(Settings(server=ServerSettings(port=0), storage=storage)))
    sock = app.bind("127.0.0.1", 0)
    print(f"listens on http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    if kind == "raw":
        uvloop.run(_serve_raw(sock))
    else:
        _serve_asgi(bare if kind == "bare" else starlette(), sock)


if __name__ == "__main__":
    main()
