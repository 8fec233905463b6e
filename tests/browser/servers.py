"""A server in a process of its own, as people start it: it can be killed, and started again where it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx2

ROOT: Final = Path(__file__).parents[2]
STARTS_MAX: Final = 5
"""For a moment another program may hold the port that a server had."""


class Server:
    """Serves one data folder, until it is killed or the block ends.

    Attributes:
        url: of the server, the same in all its lives.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        for _ in range(STARTS_MAX):
            if told := self._told_at_start():
                self.url = told.split()[-1]
                return
            self.kill()
            time.sleep(1)
        raise AssertionError("it does not listen")

    def _told_at_start(self) -> str:
        """Start it once; return what it says when it listens."""
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "canvas_server", "serve", "--no-auth", "--port", port]
        self._process = subprocess.Popen(
            [*command, "--data-dir", str(self._folder), *self._options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> None:
        """Kill it, so that it can save nothing."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.kill()

    def create(self, ref: str, content: str, title: str) -> None:
        """Make a canvas."""
        body = {"content": content, "title": title}
        httpx2.put(f"{self.url}/api/v2/canvas/{ref}", json=body).raise_for_status()

    def delete(self, ref: str) -> None:
        """Delete a canvas, with its history."""
        httpx2.delete(f"{self.url}/api/v2/canvas/{ref}").raise_for_status()

    def text(self, ref: str) -> str:
        """Return the text of a canvas."""
        answer = httpx2.get(f"{self.url}/api/v2/canvas/{ref}", headers={"Accept": "text/markdown"})
        return answer.raise_for_status().content.decode()
