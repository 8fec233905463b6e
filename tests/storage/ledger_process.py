"""A process that reserves until it is refused: `python -m tests.storage.ledger_process FILE NAME`.

It works on the database file itself, beside whoever else does; the store's own lock on the folder is left out on
purpose. It tells `ready`, waits for a line, and then tells how many calls it was allowed. With `kill` as a third
argument it dies after its first reservation.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from canvas_server.storage.connection import ConnectionThread
from canvas_server.storage.ledger import SqliteLedgerStore
from tests.storage.billing import call


async def reserve_all(path: Path, name: str, *, dies: bool) -> int:
    """Reserve until it is refused; return how many times it was not."""
    thread = await ConnectionThread.open(path, readonly=False, name="ledger")
    try:
        ledger, allowed = SqliteLedgerStore(thread), 0
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        while await ledger.reserve(call(f"{name}-{allowed}", estimate_micros=7, quota_micros=1_000)):
            allowed += 1
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
        return allowed
    finally:
        await thread.close()


if __name__ == "__main__":
    print(asyncio.run(reserve_all(Path(sys.argv[1]), sys.argv[2], dies="kill" in sys.argv[3:])), flush=True)
