"""A process that saves until it is killed: tells on stdout each `seq` after it was told durable.

Run as `python -m tests.storage.saving_process DATA_DIR`; goes on from what the folder holds.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from canvas_server.core.errors import NotFoundError
from canvas_server.storage.canvases import open_store
from tests.storage.author import REF, Author, create


async def main(data_dir: Path) -> None:
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


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
