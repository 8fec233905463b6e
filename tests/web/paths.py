"""Some paths alone behind a real socket, for tests that need nothing else of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from starlette.routing import Route, Router

from canvas_server.app import bind
from canvas_server.web.auth import Identification
from canvas_server.web.exchange import Handler, Resource
from tests.listener import PATIENCE_S


@asynccontextmanager
async def serving_paths(paths: Mapping[str, Mapping[str, Handler]]) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve handlers by path and method until the block ends; yield who asks them."""
    identification = Identification(())
    router = Router([Route(path, Resource(identification, handlers)) for path, handlers in paths.items()])
    sock = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(router, lifespan="off", log_config=None))
    running = asyncio.ensure_future(server.serve([sock]))
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
            yield http
    finally:
        server.should_exit = True
        await running
