"""The real server in a process of its own, with a probe in front of it that the product does not have.

Run as `python -m tests.load.probed_process SETTINGS`, the settings in JSON; serves as `canvas-server serve` does and
tells on stdout where. A task wakes every 5 ms and notes how late it was: so late was everything else on the loop, too.
It also notes what processor time the process took meanwhile, since on a busy machine others make it late as well.

- `GET /probe/lag` tells all lags since the last time it was asked.
- `GET /probe/counts` tells how much there is of what a soak watches, without stopping for long.
- `GET /probe/held` collects garbage and tells what the process holds: tasks, threads, files, objects by type.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from array import array
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time
from typing import Final, NamedTuple

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from canvas_server import app
from canvas_server.config import Secret, Settings
from canvas_server.state.manager import CanvasStateManager

INTERVAL_S: Final = 0.005
_LAGS_MAX: Final = 200_000


class Lag(NamedTuple):
    """How late the probe woke."""

    late_ms: float
    own_ms: float
    """As far as this process was to blame: no later than it, and no more than the processor time it took."""


class _Lags:
    """The newest lags, in room that is there from the start: a soak would take what grows here for the server's."""

    def __init__(self) -> None:
        self._late_ms = array("f", bytes(4 * _LAGS_MAX))
        self._own_ms = array("f", bytes(4 * _LAGS_MAX))
        self._count = 0

    def add(self, late_ms: float, own_ms: float) -> None:
        index = self._count % _LAGS_MAX
        self._late_ms[index], self._own_ms[index] = late_ms, own_ms
        self._count += 1

    def told(self) -> list[Lag]:
        held = range(max(0, self._count - _LAGS_MAX), self._count)
        return [Lag(self._late_ms[at % _LAGS_MAX], self._own_ms[at % _LAGS_MAX]) for at in held]

    def clear(self) -> None:
        self._count = 0


class Held(msgspec.Struct, frozen=True):
    """What a process holds."""

    tasks: int
    threads: int
    files: int
    objects: dict[str, int]
    """By type, those that the collector sees and that came after the start."""


class Counts(msgspec.Struct, frozen=True):
    """How much there is, garbage and all."""

    tasks: int
    threads: int
    listeners: int
    objects: int
    """Those that the collector sees and that came after the start."""


class Probe:
    """ASGI application that answers `/probe/...` itself and leaves all else to the server's own.

    Args:
        served: the server's own.
        manager: of its canvases.
    """

    def __init__(self, served: ASGIApp, manager: CanvasStateManager) -> None:
        self._served = served
        self._manager = manager
        self._lags = _Lags()
        self._task = asyncio.ensure_future(self._watch())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/probe/lag":
            told = self._lags.told()
            self._lags.clear()
            await _answer(msgspec.json.encode(told), send)
        elif scope["path"] == "/probe/counts":
            await _answer(msgspec.json.encode(self._counts()), send)
        elif scope["path"] == "/probe/held":
            await _answer(msgspec.json.encode(held()), send)
            # What this took was no fault of the server's.
            asyncio.get_running_loop().call_later(2 * INTERVAL_S, self._lags.clear)
        else:
            await self._served(scope, receive, send)

    def _counts(self) -> Counts:
        tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
        return Counts(tasks, threading.active_count(), self._manager.listeners, objects)

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due_s, used_s = clock() + INTERVAL_S, process_time()
            await asyncio.sleep(INTERVAL_S)
            late_s = max(0.0, clock() - due_s)
            self._lags.add(late_s * 1000, min(late_s, process_time() - used_s) * 1000)


def held() -> Held:
    """Count what this process holds now."""
    gc.collect()
    objects = Counter(type(one).__qualname__ for one in gc.get_objects())
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Held(len(asyncio.all_tasks()), threading.active_count(), files, objects)


def revealed(secret: object) -> str:
    """Return a secret of a test's settings as JSON can hold it."""
    assert isinstance(secret, Secret)
    return secret.reveal()


def hidden(kind: type, text: object) -> Secret:
    """Return such a secret as settings hold it."""
    assert kind is Secret
    return Secret(str(text))


async def _answer(body: bytes, send: Send) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    # Everything else is as `serve` does it: the loop, the guard, the collector, the way down.
    real_house = app.opened_house

    @asynccontextmanager
    async def probed(
        settings: Settings, base_url: str, stores: app.Stores, public_url: str = ""
    ) -> AsyncIterator[app.House]:
        async with real_house(settings, base_url, stores, public_url) as house:
            house.app._app = Probe(house.app._app, house.manager)
            yield house

    app.opened_house = probed
    sys.exit(app.serve(msgspec.json.decode(sys.argv[1], type=Settings, dec_hook=hidden)))


if __name__ == "__main__":
    main()
