"""What a data folder holds, put in the place of what it held: all of it, whatever comes between.

What is new lies ready in `restore-<time>.tmp/new`. A file beside it, `decided.json`, is the moment of truth: before it
the folder is removed, after it names are changed until all are, by this run or by the next one that holds the lock.
Nothing old is removed: it goes to `before-restore-<time>`.

Rule: nobody opens a folder in which a decision is not carried out.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from canvas_server.core.errors import StorageCorruptError, StorageUnavailableError
from canvas_server.storage.folder import DATABASE_NAME, sync_folder
from canvas_server.storage.whole_file import replace_name

log = logging.getLogger(__name__)

_STAGE: Final = re.compile(r"restore-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.tmp")
_BEFORE: Final = re.compile(r"before-restore-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")
_DECIDED: Final = "decided.json"
_NEW: Final = "new"
_COMPANIONS: Final = tuple(f"{DATABASE_NAME}{end}" for end in ("-wal", "-shm", "-journal", ".new"))
"""What belongs to a database and to no other."""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That what lies ready takes the place of what is there.

    Attributes:
        before: the name of the folder for what was there.
        digest: names the backup that it comes from.
    """

    before: str
    digest: str


class Finished(NamedTuple):
    """What became of a switch that was cut off.

    Attributes:
        outcome: `new` if it was carried out, `old` if it was given up.
        decision: that was found, if any.
    """

    outcome: Literal["old", "new"]
    decision: Decision | None


class Stage(NamedTuple):
    """Where the new content lies until it has its place.

    Attributes:
        path: of the folder.
        before: the name of the folder for the old content.
    """

    path: Path
    before: str

    @property
    def new(self) -> Path:
        """The folder of the new content, with the names that it will have in the data folder."""
        return self.path / _NEW


def make_stage(data_dir: Path, stamp: str) -> Stage:
    """Make a stage in a data folder whose lock is held.

    Args:
        data_dir: the folder.
        stamp: the time, as in the names of the folders.

    Raises:
        OSError: it cannot be made.
    """
    for number in count(1):
        name = stamp if number == 1 else f"{stamp}-{number}"
        stage = Stage(data_dir / f"restore-{name}.tmp", f"before-restore-{name}")
        if not os.path.lexists(stage.path) and not os.path.lexists(data_dir / stage.before):
            break
    stage.new.mkdir(mode=0o700, parents=True)
    stage.path.chmod(0o700)
    return stage


def decide(data_dir: Path, stage: Stage, digest: str) -> None:
    """Decide for what lies on a stage, all of which is durable, and carry it out.

    Raises:
        OSError: a name cannot be changed. If the decision stands, the next run that holds the lock carries it out.
    """
    sync_folder(stage.path)
    sync_folder(data_dir)
    decision = Decision(stage.before, digest)
    try:
        replace_name(stage.path / _DECIDED, msgspec.json.encode(decision))
    except OSError:
        if not (stage.path / _DECIDED).exists():
            give_up(stage)
        raise
    _carry_out(data_dir, stage, decision)


def give_up(stage: Stage) -> None:
    """Remove a stage that was not decided for; what cannot be removed now is when the next run finds it."""
    shutil.rmtree(stage.path, ignore_errors=True)


def finish_switch(data_dir: Path) -> Finished | None:
    """Carry out or give up what a run that was cut off has left in a folder whose lock is held; tell what was done.

    Raises:
        StorageUnavailableError: a name cannot be changed; nothing may be opened before it is.
        StorageCorruptError: the decision cannot be read.
    """
    finished = None
    for path in _stages(data_dir):
        try:
            decision = _decision(path)
            if decision is not None:
                _carry_out(data_dir, Stage(path, decision.before), decision)
                finished = Finished("new", decision)
            else:
                shutil.rmtree(path)
                finished = finished or Finished("old", None)
        except OSError as error:
            raise StorageUnavailableError(
                f"{path.name}: a restore that was cut off cannot be finished: {error.strerror}",
                hint="Make room on the disk, make the data folder writable, and start again.",
            ) from error
        log.warning("restore that was cut off %s", "finished" if decision else "given up", extra={"folder": path.name})
    return finished


def refuse_unfinished(data_dir: Path) -> None:
    """Refuse to read from a folder in which a decision is not carried out.

    Raises:
        StorageUnavailableError: there is one.
    """
    if any((path / _DECIDED).exists() for path in _stages(data_dir)):
        raise StorageUnavailableError(
            f"a restore into {data_dir} was cut off, or is being done",
            hint="Wait for it; if none runs, start the server or restore again: that finishes it.",
        )


def _stages(data_dir: Path) -> list[Path]:
    try:
        paths = sorted(path for path in data_dir.iterdir() if _STAGE.fullmatch(path.name))
    except FileNotFoundError:
        return []
    return [path for path in paths if path.is_dir() and not path.is_symlink()]


def _decision(stage: Path) -> Decision | None:
    try:
        content = (stage / _DECIDED).read_bytes()
    except FileNotFoundError:
        return None
    try:
        decision = msgspec.json.decode(content, type=Decision)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decision = None
    if decision is None or not _BEFORE.fullmatch(decision.before):
        raise StorageCorruptError(
            f"{stage.name}/{_DECIDED} cannot be read",
            hint="Look into that folder: `new` in it holds what was to be restored.",
        )
    return decision


def _carry_out(data_dir: Path, stage: Stage, decision: Decision) -> None:
    """Change the names that are not changed yet; the database comes last, so that a server cannot start before."""
    before = data_dir / decision.before
    before.mkdir(mode=0o700, exist_ok=True)
    if (stage.new / DATABASE_NAME).exists():
        for name in (DATABASE_NAME, *_COMPANIONS):
            _move_aside(data_dir / name, before)
    for folder in _folders(stage.new):
        _move_aside(data_dir / folder.name, before)
        folder.rename(data_dir / folder.name)
    sync_folder(before)
    sync_folder(data_dir)
    if (stage.new / DATABASE_NAME).exists():
        (stage.new / DATABASE_NAME).rename(data_dir / DATABASE_NAME)
        sync_folder(data_dir)
    if not any(before.iterdir()):
        before.rmdir()
    # In this order: while there is a decision, there is nothing that it could do to the new content.
    if stage.new.exists():
        stage.new.rmdir()
    sync_folder(stage.path)
    (stage.path / _DECIDED).unlink()
    shutil.rmtree(stage.path)
    sync_folder(data_dir)


def _folders(new: Path) -> Iterator[Path]:
    if new.exists():
        yield from sorted(path for path in new.iterdir() if path.is_dir())


def _move_aside(path: Path, before: Path) -> None:
    if not os.path.lexists(path):
        return
    for number in count(1):
        to = before / (path.name if number == 1 else f"{path.name}-{number}")
        if not os.path.lexists(to):
            path.rename(to)
            return
