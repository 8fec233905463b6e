"""Servers that serve until they are killed.

Run as `python -m tests.crash.killed_process`: for each line on stdin, a folder and a durability mode, a process is
forked that serves that folder as `canvas-server serve --port 0` does, with short checkpoint intervals. It tells its id
and where it listens on stdout; when it has been killed, `killed` is told. (Forked and not started, because the imports
would take most of the time.)
"""

from __future__ import annotations

import os
import sys

import msgspec

from canvas_server import app
from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, ServerSettings, StorageSettings

_CHECKPOINT = CheckpointSettings(interval_s=0.05, ops=50)


def settings(data_dir: str, durability: str) -> Settings:
    """Return how the server runs: as by default, but that checkpoints come often."""
    storage = msgspec.convert({"data_dir": data_dir, "durability": durability}, StorageSettings)
    return Settings(server=ServerSettings(port=0), storage=storage, checkpoint=_CHECKPOINT)


def main() -> None:
    for line in sys.stdin:
        data_dir, durability = line.rstrip("\n").split("\t")
        process = os.fork()
        if process == 0:
            print(os.getpid(), flush=True)
            sys.exit(app.serve(settings(data_dir, durability)))
        os.waitpid(process, 0)
        print("\nkilled", flush=True)


if __name__ == "__main__":
    main()
