"""Servers that serve until they are killed or stopped.

Run as `python -m tests.crash.serving_process`: for each line on stdin, a `Life` as JSON, a process is forked that
serves as `canvas-server serve --port 0` does. It tells its id and where it listens on stdout; when it has ended,
`ended` and its exit code are told, negative if it was killed. (Forked and not started, because the imports would take
most of the time.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Final, Literal

import msgspec

from canvas_server import app
from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, ServerSettings, StorageSettings
from canvas_server.core.errors import CanvasError
from canvas_server.listening import Listening, bind, url_of
from canvas_server.plan import server_limits
from canvas_server.server import run_server
from canvas_server.storage.canvases import SqliteCanvasStore
from tests.crash.kill_points import DeadlyStore, Point

Durability = Literal["checkpoint", "journal"]

LIFE_S_MAX: Final = 300
"""No server outlives a test that was cut off by more than that."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """How a server lives; all that is not told here is as by default.

    Attributes:
        point: where it dies by itself.
        at_save: in which save it does, from 1.
    """

    data_dir: str
    durability: Durability = "checkpoint"
    interval_s: float = 0.05
    retry_max_s: float = 10.0
    point: Point | None = None
    at_save: int = 1

    def settings(self) -> Settings:
        """Return the settings of the server."""
        return Settings(
            server=ServerSettings(port=0, auth=False),
            storage=StorageSettings(data_dir=self.data_dir, durability=self.durability),
            checkpoint=CheckpointSettings(interval_s=self.interval_s, retry_max_s=self.retry_max_s),
        )


def main() -> None:
    decode = msgspec.json.Decoder(Life).decode
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            signal.alarm(LIFE_S_MAX)
            print(os.getpid(), flush=True)
            sys.exit(_live(decode(line)))
        _, status = os.waitpid(process, 0)
        print("\nended", os.waitstatus_to_exitcode(status), flush=True)


def _live(life: Life) -> int:
    try:
        return app.serve(life.settings()) if life.point is None else asyncio.run(_die_at(life, life.point))
    except CanvasError as error:
        print(error, file=sys.stderr)
        return 2


async def _die_at(life: Life, point: Point) -> int:
    """Serve as `app.serve` does, on a store of which one save kills the process."""
    settings = life.settings()
    sock = bind("127.0.0.1", 0)
    async with app.opened_stores(settings) as stores:
        assert isinstance(stores.canvases, SqliteCanvasStore)
        deadly = DeadlyStore(stores.canvases._database, point, life.at_save)
        async with app.opened_house(settings, url_of(sock), stores._replace(canvases=deadly)) as house:
            durable = await run_server(
                house.app,
                [Listening(sock)],
                server_limits(settings),
                house.drain,
                f"canvas-server listens on {url_of(sock)}\n",
            )
    return 0 if durable else 1


if __name__ == "__main__":
    main()
