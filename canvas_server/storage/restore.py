"""A backup put back into a data folder that no server uses.

Rule: what is there stays whole until all of the new is unpacked, checked and on disk; then it is moved aside, never
removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from canvas_server.core.errors import ExistsError, StorageUnavailableError
from canvas_server.storage.archive import Archive, open_archive
from canvas_server.storage.backup_format import JsonKind, Manifest, unfit
from canvas_server.storage.check import check_database
from canvas_server.storage.copying import Tell
from canvas_server.storage.folder import DATABASE_NAME, lock_folder, unlock_folder
from canvas_server.storage.switch import Finished, Stage, decide, finish_switch, give_up, make_stage

_SPARE_BYTES: Final = 64 * 1024
"""For what a file system takes beside the content."""


class Restored(NamedTuple):
    """What a restore did.

    Attributes:
        manifest: of the backup that is in place.
        before: the name of the folder with what was there before, None if there was nothing.
        earlier: what became of an earlier restore that was cut off, if there was one.
    """

    manifest: Manifest
    before: str | None
    earlier: Finished | None


class Target(NamedTuple):
    """Where a backup is restored to.

    Attributes:
        data_dir: made when missing.
        kinds: the folders of JSON files in it.
        now_unix_ms: the time, for the names of folders.
    """

    data_dir: Path
    kinds: Sequence[JsonKind]
    now_unix_ms: int


def restore_backup(file: Path, target: Target, tell: Tell, *, force: bool) -> Restored:
    """Make a backup the content of a data folder; durable when this returns.

    One that was cut off before it decided leaves the old, one that was cut off later is finished by the next start or
    restore; if it was of this very backup, this call finishes it and is done.

    Args:
        file: a backup.
        target: where to.
        tell: told of progress.
        force: what is there is moved aside.

    Raises:
        ExistsError: there is something, and `force` is not given.
        StorageCorruptError: the backup is damaged; nothing was changed.
        StorageUnavailableError: a server uses the folder, the backup is of a newer program, there is no room, or the
            folder cannot be written to.
    """
    lock = lock_folder(target.data_dir)
    try:
        earlier = finish_switch(target.data_dir)
        with open_archive(file, target.kinds) as archive:
            decision = earlier.decision if earlier else None
            if decision is not None and decision.digest == archive.digest:
                return Restored(archive.manifest, decision.before, earlier)
            _check_place(target, force=force)
            before = _restore(archive, target, tell)
            return Restored(archive.manifest, before, earlier)
    finally:
        unlock_folder(lock)


def _check_place(target: Target, *, force: bool) -> None:
    there = list(_content(target))
    if there and not force:
        raise ExistsError(
            f"{target.data_dir} holds {', '.join(there)} already",
            hint="Choose another folder with --data-dir, or say --force to have what is there moved aside.",
        )
    for name in (DATABASE_NAME, *(kind.folder for kind in target.kinds)):
        # It could not be moved once that is decided.
        if os.path.ismount(target.data_dir / name):
            raise StorageUnavailableError(
                f"{target.data_dir / name} is a file system of its own", hint="Unmount it for the restore."
            )


def _content(target: Target) -> Iterator[str]:
    yield from sorted(path.name for path in target.data_dir.iterdir() if path.name.startswith(DATABASE_NAME))
    for kind in target.kinds:
        folder = target.data_dir / kind.folder
        if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            yield kind.folder


def _restore(archive: Archive, target: Target, tell: Tell) -> str | None:
    """Restore a backup and return the name of the folder with what was there before."""
    stamp = datetime.fromtimestamp(target.now_unix_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    with _translating(target.data_dir):
        _check_room(archive, target.data_dir)
        stage = make_stage(target.data_dir, stamp)
        with _giving_up(stage):
            archive.unpack(stage.new, target.kinds, tell)
            tell("checking", 0, 1)
            _check_whole(archive, stage.new / DATABASE_NAME)
        decide(target.data_dir, stage, archive.digest)
    return stage.before if (target.data_dir / stage.before).exists() else None


def _check_room(archive: Archive, data_dir: Path) -> None:
    # Each file takes a block at least, and a name.
    needed = archive.size_bytes + len(archive.manifest.files) * 4096 + _SPARE_BYTES
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise StorageUnavailableError(
            f"{data_dir} has room for {free} bytes, and {needed} are needed", hint="Make room, or choose another disk."
        )


def _check_whole(archive: Archive, database: Path) -> None:
    checked = check_database(database)
    if checked.schema != archive.manifest.schema or checked.counts != archive.manifest.counts:
        raise unfit(archive.file, "the database in it is not the one that its manifest tells of")


@contextmanager
def _giving_up(stage: Stage) -> Iterator[None]:
    """Remove the stage if the block fails: nothing is decided yet."""
    try:
        yield
    except BaseException:
        give_up(stage)
        raise


@contextmanager
def _translating(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(
            f"{data_dir} cannot be written to: {error.strerror}",
            hint="Make room there and make it writable, then restore again: what was decided is finished then.",
        ) from error
