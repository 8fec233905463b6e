"""A server as people start it, at one address through several lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STARTS_MAX: Final = 5
"""For a moment another program may hold the port that was free."""


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass(frozen=True)
class Place:
    """Where a server lives."""

    data_dir: Path
    port: int = field(default_factory=_free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def started(place: Place, **environ: str) -> subprocess.Popen[str]:
    """Start a server that asks nobody for credentials, and wait until it listens."""
    for _ in range(STARTS_MAX):
        process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "canvas_server", "serve", "--no-auth"),
                *("--port", str(place.port), "--data-dir", str(place.data_dir)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        )
        assert process.stdout is not None
        if "listens" in process.stdout.readline():
            return process
        kill(process)
        time.sleep(1)
    raise AssertionError("it does not listen")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a server as a power cut would."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
