"""A backup made: everything that cannot be made again, in one file, beside a running server or without one.

Rule: what is damaged is told and not backed up, and the file has its name only when it was read back and is right.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from canvas_server.core.errors import ExistsError, StorageCorruptError, StorageUnavailableError
from canvas_server.core.moment import iso_from
from canvas_server.storage.archive import verify_backup
from canvas_server.storage.backup_format import (
    FORMAT,
    MANIFEST_NAME,
    PIECE_BYTES,
    FileEntry,
    JsonKind,
    Manifest,
    encode_manifest,
    kind_of,
)
from canvas_server.storage.check import DAMAGES_MAX, check_database
from canvas_server.storage.copying import REST_S, Tell, copy_database
from canvas_server.storage.failures import corrupt
from canvas_server.storage.folder import DATABASE_NAME, database_path, sync_folder
from canvas_server.storage.json_folder import parse_object
from canvas_server.storage.switch import refuse_unfinished
from canvas_server.storage.work_folder import work_folder

_UNNAMED: Final = "backup.zip"
_ZIP_EPOCH_S: Final = 315_532_800
"""1980: a zip knows no time before."""
_COMPRESSION: Final = 1
"""A text gets hardly smaller by the levels above, and the server waits longer for the processor."""
_NO_FILE: Final = (errno.ENOENT, errno.ELOOP, errno.ENXIO)
"""What opening a name ends in that is gone, a link, or a socket."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class BackedUp(NamedTuple):
    """A backup that was made.

    Attributes:
        size_bytes: of its file.
        manifest: what it holds.
    """

    size_bytes: int
    manifest: Manifest


class Origin(NamedTuple):
    """Where a backup comes from.

    Attributes:
        data_dir: the data folder.
        kinds: the folders of JSON files in it.
        server_version: of this program.
        now_unix_ms: the time.
    """

    data_dir: Path
    kinds: Sequence[JsonKind]
    server_version: str
    now_unix_ms: int


def write_backup(origin: Origin, file: Path, tell: Tell, *, replace: bool) -> BackedUp:
    """Back up a data folder into a new file, for its owner alone; durable when this returns.

    The database is that of one moment. Each JSON file is whole, but they may be of moments around it. Beside the file
    there must be room for the database and the backup. Leftovers of runs that were killed are removed there.

    Args:
        origin: what is backed up.
        file: its folder must be there.
        tell: told of progress.
        replace: a file of that name gives way, at once and only when the new one is whole.

    Raises:
        ExistsError: there is such a file, and it is not to be replaced.
        StorageCorruptError: something in the data folder is damaged; the message names it, and nothing was written.
        StorageUnavailableError: there is no database, or no room, or a folder cannot be used.
    """
    _check_target(file, replace=replace)
    refuse_unfinished(origin.data_dir)
    source = database_path(origin.data_dir)
    if not source.is_file():
        raise StorageUnavailableError(
            f"there is no database in {origin.data_dir}", hint="Name the folder of the server with --data-dir."
        )
    try:
        inode = source.stat().st_ino
        with work_folder(file.absolute().parent) as folder:
            _check_room(folder, source)
            copy_database(source, folder / DATABASE_NAME, tell)
            made = folder / _UNNAMED
            _write(origin, folder / DATABASE_NAME, made, tell)
            manifest = verify_backup(made, origin.kinds, tell)
            _check_same(origin.data_dir, source, inode)
            _name(made, file, replace=replace)
            return BackedUp(file.stat().st_size, manifest)
    except OSError as error:
        raise StorageUnavailableError(
            f"{file} cannot be written: {error.strerror}",
            hint="Choose a file on a disk with room for twice the database, in a folder that this user may write to.",
        ) from error


def _check_target(file: Path, *, replace: bool) -> None:
    if not os.path.lexists(file):
        return
    if not replace or not file.is_file():
        raise ExistsError(f"{file} exists", hint="Choose another name, or say --force to replace a file.")


def _check_same(data_dir: Path, source: Path, inode: int) -> None:
    """Refuse to pair a database with the JSON files of another: a restore came in between."""
    refuse_unfinished(data_dir)
    if source.stat().st_ino != inode:
        raise StorageUnavailableError(
            f"{data_dir} was restored while it was backed up", hint="Back it up again as it is now."
        )


def _check_room(folder: Path, source: Path) -> None:
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < source.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(origin: Origin, database: Path, made: Path, tell: Tell) -> None:
    """Write the zip, unless something is damaged."""
    damages: list[str] = []
    tell("checking", 0, 1)
    try:
        checked = check_database(database)
    except StorageCorruptError as error:
        checked, damages = None, [str(error)]
    with os.fdopen(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
        with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
            writer = _Writer(archive, file, origin.now_unix_ms)
            entries = list(_json_entries(origin, writer, damages))
            if damages or checked is None:
                raise _damaged(damages)
            entries.insert(0, writer.add_file(DATABASE_NAME, database, tell))
            manifest = Manifest(
                format=FORMAT,
                server_version=origin.server_version,
                schema=checked.schema,
                created=iso_from(origin.now_unix_ms),
                counts=checked.counts,
                files=entries,
            )
            writer.add(MANIFEST_NAME, encode_manifest(manifest))
        file.flush()
        os.fsync(file.fileno())


def _damaged(damages: Sequence[str]) -> StorageCorruptError:
    more = f"; and {len(damages) - DAMAGES_MAX} more" if len(damages) > DAMAGES_MAX else ""
    return StorageCorruptError(
        f"nothing was backed up, because there is damage: {'; '.join(damages[:DAMAGES_MAX])}{more}",
        hint="Stop the server, keep a copy of its data folder, and restore the last backup.",
    )


class _Writer:
    """Puts files into a zip, and says what it put there.

    Args:
        archive: open for writing.
        file: that it is written to, which is synced by and by: one sync of all at the end would hold up the server's.
        now_unix_ms: the time of all files in it.
    """

    def __init__(self, archive: ZipFile, file: IO[bytes], now_unix_ms: int) -> None:
        self._archive = archive
        self._file = file
        self._moment = time.gmtime(max(now_unix_ms // 1000, _ZIP_EPOCH_S))[:6]

    def add(self, name: str, content: bytes) -> FileEntry:
        """Add a small file."""
        with self._archive.open(self._info(name), "w") as packed:
            packed.write(content)
        return FileEntry(name, len(content), hashlib.sha256(content).hexdigest())

    def add_file(self, name: str, path: Path, tell: Tell) -> FileEntry:
        """Add a large file, piece by piece."""
        digest, size, total = hashlib.sha256(), 0, path.stat().st_size
        with path.open("rb") as file, self._archive.open(self._info(name), "w", force_zip64=True) as packed:
            while piece := file.read(PIECE_BYTES):
                packed.write(piece)
                digest.update(piece)
                size += len(piece)
                self._file.flush()
                os.fdatasync(self._file.fileno())
                tell("packing", size, total)
                time.sleep(REST_S)
        return FileEntry(name, size, digest.hexdigest())

    def _info(self, name: str) -> ZipInfo:
        info = ZipInfo(name, self._moment)
        info.compress_type = ZIP_DEFLATED
        info.external_attr = (stat.S_IFREG | 0o600) << 16
        return info


def _json_entries(origin: Origin, writer: _Writer, damages: list[str]) -> Iterator[FileEntry]:
    """Add the JSON files; what is wrong with one goes to `damages`."""
    for kind in origin.kinds:
        for file in _names(origin.data_dir / kind.folder):
            name = f"{kind.folder}/{file}"
            if kind_of(name, [kind]) is None:
                continue
            try:
                content = _read(origin.data_dir / name, kind.bytes_max)
            except StorageCorruptError as error:
                damages.append(f"{kind.folder}/{error}")
                continue
            if content is not None:
                yield writer.add(name, content)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _read(path: Path, bytes_max: int) -> bytes | None:
    """Return what a plain file holds; None if it is none, or was removed meanwhile: the server has none there either.

    Raises:
        StorageCorruptError: the server could not read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise StorageUnavailableError(
            f"{path} cannot be read: {error.strerror}", hint="Check the disk, and that this user may read the folder."
        ) from error
    if len(content) > bytes_max:
        raise corrupt(path, f"it is larger than {bytes_max} bytes")
    parse_object(path, content)
    return content


def _name(made: Path, file: Path, *, replace: bool) -> None:
    """Give a whole backup its name, durably."""
    if replace:
        made.replace(file)
    else:
        try:
            # Unlike a rename it never replaces what came there meanwhile.
            os.link(made, file)
        except FileExistsError:
            _check_target(file, replace=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _check_target(file, replace=False)
            made.rename(file)
    sync_folder(file.absolute().parent)
