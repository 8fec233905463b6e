"""Some paths alone behind a real socket, in a thread with a loop of its own, for tests that need nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeAlias

import httpx2
import uvicorn
from starlette.routing import Route, Router

from canvas_server.app import bind
from canvas_server.web.auth import Identification
from canvas_server.web.exchange import Handler, Resource
from tests.listener import PATIENCE_S

Paths: TypeAlias = Mapping[str, Mapping[str, Handler]]


@contextmanager
def serving_paths(opened: Callable[[], AbstractAsyncContextManager[Paths]]) -> Iterator[httpx2.Client]:
    """Serve handlers by path and method until the block ends; yield who asks them.

    Args:
        opened: makes the handlers, on the loop that serves them.
    """
    sock = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    started: Future[uvicorn.Server] = Future()

    async def serve() -> None:
        async with opened() as paths:
            routes = [Route(path, Resource(Identification(()), handlers)) for path, handlers in paths.items()]
            server = uvicorn.Server(uvicorn.Config(Router(routes), lifespan="off", log_config=None))
            started.set_result(server)
            await server.serve([sock])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="paths")
    thread.start()
    try:
        server = started.result(PATIENCE_S)
        with httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()
