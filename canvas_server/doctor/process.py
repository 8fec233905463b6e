"""What this machine knows of a running server: its process, its files, how many more it may open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from canvas_server.address_file import ADDRESS_NAME, Running
from canvas_server.doctor.finding import Finding
from canvas_server.doctor.place import LOCK_NAME, holder

_FILES_LOOKED_AT: Final = 20_000
_OFFENDERS_TOLD: Final = 3
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SHARE_MAX: Final = 0.8
_INODES_MIN: Final = 1_000


def process(folder: Path, running: Running) -> Iterator[Finding]:
    """Yield whether the server that wrote the address lives and has the folder, and how many files it has open."""
    if not _lives(running.pid):
        detail = f"process {running.pid} is gone, and left {ADDRESS_NAME} behind"
        yield Finding("process", "fail", detail, "start the server again, and look in its log for why it ended")
        return
    try:
        held_by = holder(folder / LOCK_NAME)
    except OSError as error:
        yield Finding("process", "fail", f"{LOCK_NAME}: {error.strerror}", "run as the owner of the data folder")
        return
    if held_by is None:
        detail = f"process {running.pid} lives, but no server holds {folder}"
        yield Finding("process", "fail", detail, f"start the server; remove {folder / ADDRESS_NAME} if it is another's")
    elif held_by not in (str(running.pid), "unknown"):
        detail = f"{folder} is held by process {held_by}, not by {running.pid}"
        yield Finding("process", "fail", detail, "stop the server that should not be there, and start this one again")
    else:
        yield Finding("process", "ok", f"process {running.pid} lives and holds {folder}")
    yield _open_files(running.pid)


def files(folder: Path) -> Iterator[Finding]:
    """Yield whether nobody but the owner gets at what is in the data folder, and whether more files can be made."""
    yield _privacy(folder)
    yield _inodes(folder)


def _privacy(folder: Path) -> Finding:
    if not (_mode(folder) or 0) & _OTHERS:
        return Finding("files", "ok", f"nobody else gets into {folder}")
    modes = ((path, _mode(path)) for path in islice(_below(folder), _FILES_LOOKED_AT))
    offenders = [f"{path} ({mode:o})" for path, mode in modes if mode is not None and mode & _OTHERS]
    more = f" and {len(offenders) - _OFFENDERS_TOLD} more" if len(offenders) > _OFFENDERS_TOLD else ""
    detail = f"others may get at {', '.join(offenders[:_OFFENDERS_TOLD])}{more}"
    return Finding("files", "warn", detail, f"run `chmod -R go= {folder}`")


def _mode(path: Path) -> int | None:
    """Return who may do what with a file or folder; None for one that is gone meanwhile, and for a link."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return None if stat.S_ISLNK(mode) else stat.S_IMODE(mode)


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            yield Path(root) / name


def _inodes(folder: Path) -> Finding:
    told = os.statvfs(folder)
    if not told.f_files:
        return Finding("inodes", "ok", "the file system does not count them")
    if told.f_favail < _INODES_MIN:
        detail = f"{told.f_favail} files more can be made on this file system"
        return Finding("inodes", "fail", detail, "remove files that are not needed: SQLite makes some as it works")
    return Finding("inodes", "ok", f"{told.f_favail} files more can be made")


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _open_files(pid: int) -> Finding:
    """Count through /proc, where there is one."""
    try:
        count = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        limits = Path(f"/proc/{pid}/limits").read_text()
        told = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    except (OSError, StopIteration):
        return Finding("open files of the server", "ok", "not looked at: this system does not tell")
    soft = told.split()[3]
    if soft.isdecimal() and count > int(soft) * _SHARE_MAX:
        mend = "raise the limit (`ulimit -n`, LimitNOFILE) and start again, or lower limits.connections_max"
        return Finding("open files of the server", "fail", f"{count} of {soft}", mend)
    return Finding("open files of the server", "ok", f"{count} of {soft}")
