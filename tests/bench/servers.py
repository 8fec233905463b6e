"""Servers to measure, each in a process of its own, held to one core; the load has another one to itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]

_CORES: Final = sorted(os.sched_getaffinity(0))


class Used(NamedTuple):
    """What a process has had of its core."""

    cpu_s: float
    """All threads together."""
    waited_s: float
    """How long its main thread could have run, but something else had the core."""

    def __sub__(self, other: Used) -> Used:
        return Used(self.cpu_s - other.cpu_s, self.waited_s - other.waited_s)


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory."""
        return int(self._told("statm")[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_s(self) -> float:
        """How much processor time it has used, all threads together."""
        return self.used().cpu_s

    def used(self) -> Used:
        """Return what it has had of its core until now."""
        fields = self._told("stat")
        cpu_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return Used(cpu_s, int(self._told("schedstat")[1]) / 1e9)

    def _told(self, name: str) -> list[str]:
        return Path(f"/proc/{self.pid}/{name}").read_text().split()


def hold_load_to_its_core() -> None:
    """Keep this process, which makes the load, off the servers' core."""
    os.sched_setaffinity(0, {_CORES[-1]})


def cores() -> str:
    """Say which core is whose."""
    if len(_CORES) == 1:
        return "servers and load share one core"
    return f"servers on core {_CORES[0]}, load on core {_CORES[-1]}"


@contextmanager
def running(kind: str, options: Mapping[str, str | int | float] | None = None) -> Iterator[Server]:
    """Run a server of a kind that `target_process` knows.

    Args:
        kind: of server.
        options: settings by their dotted names, for a whole server only.
    """
    told = [f"{name}={value}" for name, value in (options or {}).items()]
    with TemporaryDirectory() as data_dir:
        command = [sys.executable, "-m", "tests.bench.target_process", kind, data_dir, *told]
        with started(command) as server:
            yield server


@contextmanager
def started(command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a program on the servers' core; the first line that it prints ends in a colon and its port.

    Args:
        command: to run.
        variables: of the environment, besides those that there are.
    """
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, {_CORES[0]}),  # noqa: PLW1509 - there are no threads here
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield Server(int(line.rpartition(":")[2]), process.pid)
        finally:
            process.kill()
