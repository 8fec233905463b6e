"""Clients, each in a process of its own: `python -m tests.order.crowd FOLDER` reads their `Orders` as JSON on stdin.

Each leaves its `Report` in the folder, under its name. (Forked and not started, because the imports would take most of
the time.) The exit code is the number of clients that failed; why, they tell on standard error.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from pathlib import Path

import msgspec

from tests.order.client import Client, Orders


def main() -> int:
    folder = Path(sys.argv[1])
    processes = []
    for orders in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Orders]):
        process = os.fork()
        if process == 0:
            os._exit(_run(orders, folder / orders.name))
        processes.append(process)
    return sum(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0 for process in processes)


def _run(orders: Orders, file: Path) -> int:
    try:
        file.write_bytes(pickle.dumps(Client(orders).run()))
    except BaseException:  # noqa: BLE001 - the process ends here, and says why
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
