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
from pathlib import Path
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
from canvas_server.storage.database import Database
from tests.crash.faults import HEMMED
from tests.crash.kill_points import DeadlyStore, Point

Durability = Literal["checkpoint", "journal"]

LIFE_S_MAX: Final = 300
"""No server outlives a test that was cut off by more than that."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """How a server lives; all that is not told here is as by default.

    Attributes:
        point: where it dies by itself.
        at_save: in which save it does, from 1.
        hems: whether SIGUSR1 keeps the database from growing, until SIGUSR2.
    """

    data_dir: str
    durability: Durability = "checkpoint"
    interval_s: float = 0.05
    retry_max_s: float = 10.0
    point: Point | None = None
    at_save: int = 1
    hems: bool = False

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
        return asyncio.run(_live_watched(life)) if life.point or life.hems else app.serve(life.settings())
    except CanvasError as error:
        print(error, file=sys.stderr)
        return 2


async def _live_watched(life: Life) -> int:
    """Serve as `app.serve` does, on a store that dies at a save, or whose database may be kept from growing."""
    settings = life.settings()
    sock = bind("127.0.0.1", 0)
    async with app.opened_stores(settings) as stores:
        assert isinstance(stores.canvases, SqliteCanvasStore)
        database = stores.canvases._database
        canvases = DeadlyStore(database, life.point, life.at_save) if life.point else stores.canvases
        if life.hems:
            _heed_hems(database, Path(life.data_dir) / HEMMED)
        async with app.opened_house(settings, url_of(sock), stores._replace(canvases=canvases)) as house:
            welcome = f"canvas-server listens on {url_of(sock)}\n"
            durable = await run_server(house.app, [Listening(sock)], server_limits(settings), house.drain, welcome)
    return 0 if durable else 1


def _heed_hems(database: Database, told: Path) -> None:
    """Have signals bound and free the database; a file is there as long as it is bound."""
    loop, writer = asyncio.get_running_loop(), database._writer

    def bind_pages() -> None:
        pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
        writer._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        told.touch()

    def free_pages() -> None:
        writer._connection.execute("PRAGMA max_page_count = 1073741823").fetchone()
        told.unlink()

    loop.add_signal_handler(signal.SIGUSR1, writer._executor.submit, bind_pages)
    loop.add_signal_handler(signal.SIGUSR2, writer._executor.submit, free_pages)


if __name__ == "__main__":
    main()
