"""Starts servers in processes of their own, signals them, and tells how they ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from tests.crash.serving_process import Life

ROOT: Final = Path(__file__).parents[2]
LISTENS: Final = re.compile(r"canvas-server listens on http://127\.0\.0\.1:([0-9]+)\n")


class Ending(NamedTuple):
    """How a server ended.

    Attributes:
        code: its exit code, negative for the signal that killed it.
        told: the lines that it told before, which are not empty.
    """

    code: int
    told: list[str]


class Server:
    """A running server."""

    def __init__(self, pid: int, port: int, told: IO[str]) -> None:
        self.pid = pid
        self.port = port
        self.killed_s = 0.0
        """When it was killed, by the monotonic clock; 0 if it was not, or died by itself."""
        self._told = told
        self._ending: Ending | None = None

    def kill(self) -> None:
        """Kill it, unless that was done."""
        if not self.killed_s and self._ending is None:
            self.killed_s = time.monotonic()
            self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ending(self) -> Ending:
        """Wait until it has ended."""
        if self._ending is None:
            self._ending = _ending(self._told)
        return self._ending


class Servers:
    """Starts servers, one at a time.

    Args:
        to: takes the lives that are to be lived.
        told: what the processes tell.
        log: the file in which they complain.
    """

    def __init__(self, to: IO[str], told: IO[str], log: Path) -> None:
        self._to = to
        self._told = told
        self.log = log
        self._last: Server | None = None

    @contextmanager
    def running(self, life: Life) -> Iterator[Server]:
        """Start a server; it is killed at the end of the block, if it lives."""
        server = self.start(life)
        try:
            yield server
        finally:
            server.kill()
            server.ending()

    def start(self, life: Life) -> Server:
        """Start a server; whoever asks sees to its end."""
        server = self.try_to_start(life)
        assert isinstance(server, Server), self.log.read_text()[-2000:]
        return server

    def try_to_start(self, life: Life) -> Server | Ending:
        """Start a server, which may refuse to serve; whoever asks sees to its end."""
        print(msgspec.json.encode(life).decode(), file=self._to, flush=True)
        pid = int(self._told.readline())
        line = self._told.readline()
        listens = LISTENS.fullmatch(line)
        if listens is None:
            return _ending(self._told)
        self._last = Server(pid, int(listens[1]), self._told)
        return self._last

    def end(self) -> None:
        """Kill what still runs."""
        if self._last is not None:
            self._last.kill()


def _ending(told: IO[str]) -> Ending:
    lines = []
    while not (line := told.readline()).startswith("ended "):
        assert line, "the process that starts servers is gone"
        lines.append(line.strip())
    return Ending(int(line.split()[1]), [line for line in lines if line])


@contextmanager
def starting_servers(log: Path, *under: str) -> Iterator[Servers]:
    """Give what starts servers, under a program if one is named; their standard error goes to `log`."""
    with (
        log.open("w") as complaints,
        subprocess.Popen(
            [*under, sys.executable, "-m", "tests.crash.serving_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            # What a dead disk does not take of the log must not be waited for at the end, or the exit code is Python's.
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        servers = Servers(process.stdin, process.stdout, log)
        try:
            yield servers
        finally:
            servers.end()
