"""A server as a process of its own, as an operator runs it: its lines, its files, its address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
STOP_S: Final = 15


@dataclass(frozen=True)
class Process:
    """A server that runs."""

    url: str
    pid: int
    data: Path
    """Its data folder."""
    log: Path
    """What it wrote to standard error."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def credentials(self) -> dict[str, str]:
        """The header that the token file is for."""
        return {"Authorization": f"Bearer {(self.data / 'token').read_text().strip()}"}

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of its log, each of which must be one JSON object."""
        text = self.log.read_bytes().decode("ascii")
        assert text.endswith("\n") or not text
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
        assert all(isinstance(line, dict) for line in lines)
        return lines


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[Process]:
    """Run a server that logs JSON until the block ends.

    Args:
        folder: for its data and its log.
        environ: settings as variables, such as `CANVAS_LOG_ACCESS`.
    """
    data, log = folder / "data", folder / "log"
    command = [sys.executable, "-m", "canvas_server", "serve", "--port", "0", "--data-dir", str(data)]
    env = {**os.environ, "CANVAS_LOG_FORMAT": "json", **environ}
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=env) as process,
    ):
        assert process.stdout is not None
        try:
            told = process.stdout.readline()
            assert told.startswith("canvas-server listens on "), log.read_text()
            yield Process(told.split()[-1], process.pid, data, log)
        finally:
            process.terminate()
            process.wait(STOP_S)
