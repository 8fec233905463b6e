"""The application for one thread, in memory, and a loop to run it and other coroutines in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any, Final, TypeVar

from starlette.types import ASGIApp

from canvas_server.app import opened_house, opened_stores
from canvas_server.config import Secret
from canvas_server.config.settings import (
    ActorSettings,
    DemoSettings,
    GenerationSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from tests.door import Answer, Asked, through_the_door
from tests.web.answers import judged

T = TypeVar("T")

TEXT: Final = "# One\n\nText 😀\n\n## Two\n\nMore.\n"
TOKEN: Final = "0123456789abcdef-token"
SETTINGS: Final = Settings(
    server=ServerSettings(auth=False),
    storage=StorageSettings(ephemeral=True),
    generation=GenerationSettings(provider="demo"),
    demo=DemoSettings(delay_ms=0),
    actors={"ada": ActorSettings(Secret(TOKEN)), "boss": ActorSettings(Secret("b" * 32), role="admin")},
)


class Rooms:
    """The application with one canvas, `asked`."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.new_event_loop()
        self._stop: Final = asyncio.Event()
        ready: asyncio.Future[ASGIApp] = self._loop.create_future()
        self._held: Final = self._loop.create_task(self._hold(ready))
        self._app: Final = self._loop.run_until_complete(ready)
        body = b'{"content": "# One\\n\\nText \\ud83d\\ude00\\n\\n## Two\\n\\nMore.\\n"}'
        json = ((b"content-type", b"application/json"),)
        assert self.ask(Asked("PUT", b"/api/v2/canvas/asked", json, body)).status == 201

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._loop.run_until_complete(work)

    def ask(self, asked: Asked) -> Answer:
        """Ask the application, and judge the answer: no fault, and a refusal that is listed."""
        answer = self.run(through_the_door(self._app, asked))
        judged(answer.status, answer.head, answer.body)
        return answer

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._loop.run_until_complete(self._held)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _hold(self, ready: asyncio.Future[ASGIApp]) -> None:
        # Opened and closed by one task, as it must be; the others come and go with each request.
        async with opened_stores(SETTINGS) as stores, opened_house(SETTINGS, "http://127.0.0.1:1", stores) as house:
            ready.set_result(house.app)
            await self._stop.wait()


@cache
def rooms() -> Rooms:
    """Return those of this process."""
    return Rooms()


def close_rooms() -> None:
    """End them, if they were ever opened."""
    if rooms.cache_info().currsize:
        rooms().close()
        rooms.cache_clear()
