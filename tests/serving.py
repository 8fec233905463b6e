"""A real server for tests: sockets, guard, admission and rooms as in production, in a thread with a loop of its own.

`serving()` is the whole interface; the fixture `served` is one server with default settings for the whole session. Ask
it for canvases of your own with `served.canvas(...)`, so that no test meets another's.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import uvicorn
import uvloop
from msgspec.structs import replace

from canvas_server.app import House, Stores, opened_house, opened_stores
from canvas_server.config import Settings
from canvas_server.config.settings import StorageSettings
from canvas_server.core.ports import CanvasStore
from canvas_server.listening import bind, url_of
from canvas_server.plan import server_limits
from canvas_server.server import uvicorn_config
from canvas_server.state.manager import CanvasStateManager
from tests.listener import PATIENCE_S, Listener

T = TypeVar("T")
Json = dict[str, Any]

IN_MEMORY: Final = Settings(storage=StorageSettings(ephemeral=True))
"""Default settings, and nothing on disk; vary them with `msgspec.structs.replace`."""

_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    port: int
    house: House
    """Belongs to `loop`: look at it from there only."""
    loop: asyncio.AbstractEventLoop
    http: httpx2.Client = field(repr=False)
    """Asks the server; its base is `url`."""

    @property
    def manager(self) -> CanvasStateManager:
        """Belongs to `loop`, too."""
        return self.house.manager

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def canvas(self, content: str = "", *, ref: str | None = None, title: str | None = None) -> Canvas:
        """Create a canvas, under a ref that no other has."""
        ref = ref or f"canvas-{next(_numbers)}"
        body = {"content": content} if title is None else {"content": content, "title": title}
        answer = self.http.put(f"/api/v2/canvas/{ref}", json=body)
        assert answer.status_code == 201, answer.text
        return Canvas(self, ref)

    def listen(self, target: str, headers: Mapping[str, str] | None = None, **options: int) -> Listener:
        """Open a stream; `target` is path and query."""
        return Listener(self.port, target, headers, **options)


@dataclass(frozen=True)
class Canvas:
    """A canvas of a server, seen from outside."""

    served: Served
    ref: str

    @property
    def path(self) -> str:
        return f"/api/v2/canvas/{self.ref}"

    @property
    def http(self) -> httpx2.Client:
        return self.served.http

    @property
    def text(self) -> str:
        answer = self.http.get(self.path, headers={"Accept": "text/markdown"})
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    @property
    def version(self) -> str:
        version: str = self.state["version"]
        return version

    @property
    def state(self) -> Json:
        answer = self.http.get(self.path)
        assert answer.status_code == 200, answer.text
        state: Json = answer.json()
        return state

    def listen(self, query: str = "", headers: Mapping[str, str] | None = None, **options: int) -> Listener:
        return self.served.listen(f"{self.path}/ops:listen{query and '?' + query}", headers, **options)

    def post(self, *operations: Json, query: str = "", headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """Send operations in one request."""
        return self.http.post(
            f"{self.path}/ops:stream{query and '?' + query}", json={"ops": operations}, headers=headers
        )

    def submit(self, *operations: Json, query: str = "", headers: Mapping[str, str] | None = None) -> list[Json]:
        """Send operations, and return what became of each; the first stands on the newest version unless it says."""
        first, *others = operations
        answer = self.post({"client_version": self.version, **first}, *others, query=query, headers=headers)
        assert answer.status_code == 202, answer.text
        return [self.outcome(operation["op_id"], query) for operation in operations]

    def outcome(self, op_id: str, query: str = "") -> Json:
        """Return the terminal event of an operation."""
        answer = self.http.get(f"{self.path}/ops/{op_id}{query and '?' + query}")
        assert answer.status_code == 200, answer.text
        event: Json = answer.json()
        return event


def op_id() -> str:
    """Return a name for an operation that no other has."""
    return f"op-{next(_numbers)}"


def append(content: str, **fields: object) -> Json:
    """Return an operation that inserts at the end."""
    return {"op_id": op_id(), "action": "insert", "target": at("end"), "content": content, **fields}


def insert(offset: int, content: str, **fields: object) -> Json:
    """Return an operation that inserts at an offset."""
    return {"op_id": op_id(), "action": "insert", "target": at("offset", offset=offset), "content": content, **fields}


def at(mode: str, **fields: int) -> Json:
    """Return a position target."""
    return {"type": "position", "position": {"mode": mode, **fields}}


@contextmanager
def serving(
    settings: Settings = IN_MEMORY,
    store: CanvasStore | None = None,
    adapt: Callable[[Stores], Stores] | None = None,
    *,
    credentials: bool = False,
) -> Iterator[Served]:
    """Run a server until the block ends.

    Args:
        settings: `storage.data_dir` must be absolute, unless `storage.ephemeral`.
        store: used instead of the one that the settings ask for; survives the server.
        adapt: puts others in the place of stores that were opened.
        credentials: whether they are asked for, as they are by default; most tests are of something else.
    """
    if not credentials:
        settings = replace(settings, server=replace(settings.server, auth=False))
    assert settings.storage.ephemeral or Path(settings.storage.data_dir).is_absolute()
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    started: Future[tuple[House, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(
        target=_run,
        args=(settings, adapt or partial(_with, given=store), sock, started),
        name="canvas-server",
    )
    thread.start()
    house, loop, stop = started.result(PATIENCE_S)
    try:
        with httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
            yield Served(url, port, house, loop, http)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _run(
    settings: Settings,
    adapt: Callable[[Stores], Stores],
    sock: socket.socket,
    started: Future[tuple[House, asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, adapt, sock, started))
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)


async def _serve(
    settings: Settings,
    adapt: Callable[[Stores], Stores],
    sock: socket.socket,
    started: Future[tuple[House, asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    async with (
        opened_stores(settings) as stores,
        opened_house(settings, url_of(sock), adapt(stores)) as house,
    ):
        server = uvicorn.Server(
            uvicorn_config(house.app, server_limits(settings), house.app.at_once, house.app.strangers, house.app.counts)
        )
        running = asyncio.ensure_future(server.serve([sock]))
        stop = asyncio.Event()
        started.set_result((house, asyncio.get_running_loop(), stop))
        await stop.wait()
        try:
            await house.drain(1.0)
        finally:
            server.should_exit = True
            await running


def _with(stores: Stores, given: CanvasStore | None) -> Stores:
    return stores if given is None else stores._replace(canvases=given)
