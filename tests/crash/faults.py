"""What can befall the disk of a running server; each is a block at whose end all is well again.

Some need root, a file system or a program that not every machine has: these raise `UnableError`, and the test is
skipped.
"""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

DISK_BYTES: Final = 1 << 20
"""The size of the disk that can be filled."""


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


def unsynced(ground: Ground) -> AbstractContextManager[None]:
    """Have each sync of a file fail; the server must have been started under `fiu-run -x`."""
    return _injected(ground, "enable name=posix/io/sync/*,failinfo=5")


def seldom_unsynced(ground: Ground) -> AbstractContextManager[None]:
    """Have one sync in ten fail, likewise."""
    return _injected(ground, "enable_random name=posix/io/sync/*,failinfo=5,probability=0.1")


@contextmanager
def _injected(ground: Ground, failure: str) -> Iterator[None]:
    _run("fiu-ctrl", "-c", failure, str(ground.pid))
    try:
        yield
    finally:
        subprocess.run(["fiu-ctrl", "-c", "disable name=posix/io/sync/*", str(ground.pid)], check=True)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnableError(f"cannot {' '.join(command[:2])} here, which takes root and Linux's own disks") from error
