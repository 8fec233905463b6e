"""A process that saves one JSON object after the other under one name, for ever, until it is killed.

Run as `python -m tests.storage.json_saving_process FOLDER NAME`; the objects are `whole(0)`, `whole(1)` ..., and the
number of each is told on stdout once it is durable.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from canvas_server.storage.json_folder import open_json_folder
from canvas_server.system import SystemClock

BYTES_MAX = 1_000_000


def whole(number: int) -> dict[str, object]:
    """Return an object that says its number in every part, and whose length differs."""
    return {"number": number, "parts": [number] * (1_000 + number % 3_000)}


async def main() -> None:
    async with open_json_folder(Path(sys.argv[1]), str.isalnum, BYTES_MAX, SystemClock()) as folder:
        for number in itertools.count():
            await folder.save(sys.argv[2], whole(number))
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
