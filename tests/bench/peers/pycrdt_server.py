"""A pycrdt-websocket server on uvicorn and uvloop; documents are kept in memory only.

Run by the Python of the peers' own environment.
"""

from __future__ import annotations

import socket

import uvicorn
import uvloop
from pycrdt.websocket import ASGIServer, WebsocketServer  # type: ignore[import-not-found]  # of that environment


async def serve() -> None:
    """Serve on a free port of the loopback interface, and print it."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"listens on http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    async with WebsocketServer() as documents:
        config = uvicorn.Config(ASGIServer(documents), loop="uvloop", lifespan="off", log_config=None)
        await uvicorn.Server(config).serve(sockets=[sock])


if __name__ == "__main__":
    uvloop.run(serve())
