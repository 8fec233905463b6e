"""Processes that save until they are killed.

Run as `python -m tests.storage.saving_process`: for each folder named on stdin a process is forked that saves there.
It tells its id on stdout, then each seq after it was told durable; when it has been killed, `killed` is told. (Forked
and not started, because the imports would take most of the time.)
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from canvas_server.core.errors import NotFoundError
from canvas_server.storage.canvases import open_store
from tests.storage.author import REF, Author, create


async def save_for_ever(data_dir: Path) -> None:
    """Go on from what the folder holds."""
    async with open_store(data_dir) as store:
        author = Author()
        try:
            canvas = (await store.load(REF, 0)).canvas
            key = canvas.key
            author.write(canvas.version.seq)
        except NotFoundError:
            key = await create(store)
        print(author.version.seq, flush=True)
        while True:
            count = author.version.seq % 7 + 1
            await store.save(author.checkpoint(key, count, full=count > 4))
            print(author.version.seq, flush=True)


def main() -> None:
    for data_dir in sys.stdin:
        process = os.fork()
        if process == 0:
            print(os.getpid(), flush=True)
            asyncio.run(save_for_ever(Path(data_dir.rstrip("\n"))))
        os.waitpid(process, 0)
        print("\nkilled", flush=True)


if __name__ == "__main__":
    main()
