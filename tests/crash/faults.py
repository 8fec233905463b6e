"""What can befall the disk of a running server; each is a block at whose end all is well again, dead server or not.

Some need root, a file system or a program that not every machine has: these raise `UnableError`, and the test is
skipped.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.listener import PATIENCE_S

DISK_BYTES: Final = 1 << 20
"""The size of the disk that can be filled."""
HEMMED: Final = "hemmed"
"""A file beside the database that is there while it may not grow; see `serving_process`."""


class UnableError(Exception):
    """This machine cannot be made to have that fault."""


class Ground(NamedTuple):
    """Where a server stands.

    Attributes:
        data_dir: on a small file system of its own.
        pid: of its process.
    """

    data_dir: Path
    pid: int

    @property
    def files(self) -> tuple[Path, Path]:
        """The database and its write-ahead log."""
        return self.data_dir / "canvas.db", self.data_dir / "canvas.db-wal"


Fault = Callable[[Ground], AbstractContextManager[None]]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Make a folder a file system of 1 MiB."""
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(ground: Ground) -> Iterator[None]:
    """Fill the disk up; only for a small one."""
    ballast = ground.data_dir / "ballast"
    assert shutil.disk_usage(ground.data_dir).total <= DISK_BYTES
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def bounded(ground: Ground) -> Iterator[None]:
    """Have the system fail each write behind the first byte of a file."""
    free = resource.prlimit(ground.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(ground.pid, resource.RLIMIT_FSIZE, free)


@contextmanager
def locked(ground: Ground) -> Iterator[None]:
    """Write beside the server, and come to no end."""
    with closing(sqlite3.connect(ground.files[0], isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def read_only(ground: Ground) -> Iterator[None]:
    """Let nobody write to the files, not even who has them open."""
    names = [str(file) for file in ground.files]
    _run("chattr", "+i", *names)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *names], check=True)


@contextmanager
def replaced(ground: Ground) -> Iterator[None]:
    """Put garbage in the place of the database."""
    database = ground.files[0]
    away = database.with_name("away")
    database.rename(away)
    database.write_bytes(b"garbage" * 10_000)
    try:
        yield
    finally:
        away.rename(database)


@contextmanager
def moved(ground: Ground) -> Iterator[None]:
    """Move the whole folder away."""
    away = ground.data_dir.with_name("away")
    ground.data_dir.rename(away)
    try:
        yield
    finally:
        away.rename(ground.data_dir)


@contextmanager
def hemmed(ground: Ground) -> Iterator[None]:
    """Let the database have no page more than it has; the server must live a life with `hems`."""
    told = ground.data_dir / HEMMED
    os.kill(ground.pid, signal.SIGUSR1)
    _wait(told.exists)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(ground.pid, signal.SIGUSR2)
            _wait(lambda: not told.exists())


@contextmanager
def deleted(ground: Ground) -> Iterator[None]:
    """Take the names of the files away; the server has them open all the same."""
    kept = ground.data_dir.with_name("kept")
    kept.mkdir()
    for file in ground.files:
        os.link(file, kept / file.name)
        file.unlink()
    try:
        yield
    finally:
        for file in ground.files:
            (kept / file.name).rename(file)


def unwritable(ground: Ground) -> AbstractContextManager[None]:
    """Have each write to a file fail, not those to sockets; like those below under `fiu-run -x`."""
    return _injected(ground, "posix/io/rw/pwrite", "enable")


def unopenable(ground: Ground) -> AbstractContextManager[None]:
    """Have no file be opened any more."""
    return _injected(ground, "posix/io/oc/open", "enable")


def unsynced(ground: Ground) -> AbstractContextManager[None]:
    """Have each sync of a file fail."""
    return _injected(ground, "posix/io/sync/*", "enable")


def seldom_unsynced(ground: Ground) -> AbstractContextManager[None]:
    """Have one sync in ten fail."""
    return _injected(ground, "posix/io/sync/*", "enable_random", ",probability=0.1")


@contextmanager
def _injected(ground: Ground, calls: str, how: str, more: str = "") -> Iterator[None]:
    _run("fiu-ctrl", "-c", f"{how} name={calls},failinfo=5{more}", str(ground.pid))
    try:
        yield
    finally:
        # A server that was killed meanwhile hears no more of it.
        subprocess.run(["fiu-ctrl", "-c", f"disable name={calls}", str(ground.pid)], check=False, capture_output=True)


def _wait(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, "the server does not do as it was told"
        time.sleep(0.005)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnableError(f"cannot {' '.join(command[:2])} here, which takes root and Linux's own disks") from error
