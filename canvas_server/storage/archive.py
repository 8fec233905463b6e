"""A backup read, which anybody may have made: nothing in it is believed before it was held against the manifest.

Rule: names are those that a backup has and no others, each once; of a file no more is unpacked than the manifest says.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.backup_format import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    PIECE_BYTES,
    FileEntry,
    JsonKind,
    Manifest,
    decode_manifest,
    is_content,
    unfit,
)
from canvas_server.storage.copying import Tell
from canvas_server.storage.folder import DATABASE_NAME, sync_folder

_BROKEN: Final = (
    BadZipFile,
    LargeZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What a zip that is damaged, or made to harm, raises while it is read."""
_ENCRYPTED: Final = 0x1


class Archive:
    """An open backup whose names and sizes fit its manifest; see `open_archive`.

    Attributes:
        file: its path.
        manifest: what it holds.
        digest: SHA-256 of the manifest, which names this backup.
    """

    def __init__(self, file: Path, packed: ZipFile, manifest: Manifest, digest: str) -> None:
        self.file = file
        self.manifest = manifest
        self.digest = digest
        self._packed = packed

    @property
    def size_bytes(self) -> int:
        """What all files take unpacked."""
        return sum(entry.size_bytes for entry in self.manifest.files)

    def verify(self, tell: Tell) -> None:
        """Read all files.

        Raises:
            StorageCorruptError: one is not what the manifest says.
        """
        done = 0
        for entry in self.manifest.files:
            for piece in self._pieces(entry):
                done += len(piece)
                tell("verifying", done, self.size_bytes)

    def unpack(self, folder: Path, kinds: Sequence[JsonKind], tell: Tell) -> None:
        """Write all files into an empty folder, with a folder for each kind; durable when this returns.

        Raises:
            StorageCorruptError: one is not what the manifest says.
            OSError: they cannot be written.
        """
        for kind in kinds:
            (folder / kind.folder).mkdir(mode=0o700)
        done = 0
        for entry in self.manifest.files:
            descriptor = os.open(folder / entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in self._pieces(entry):
                    file.write(piece)
                    done += len(piece)
                    tell("unpacking", done, self.size_bytes)
                file.flush()
                os.fsync(descriptor)
        for kind in kinds:
            sync_folder(folder / kind.folder)
        sync_folder(folder)

    def _pieces(self, entry: FileEntry) -> Iterator[bytes]:
        """Yield what a file holds, never more than the manifest says."""
        digest, size = hashlib.sha256(), 0
        with _translating(self.file), self._packed.open(entry.name) as file:
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                if size > entry.size_bytes:
                    break
                digest.update(piece)
                yield piece
        if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
            raise unfit(self.file, f"{entry.name} is not what the manifest says")


@contextmanager
def open_archive(file: Path, kinds: Sequence[JsonKind]) -> Iterator[Archive]:
    """Open a backup and hold its names and sizes against its manifest.

    The list of names takes memory in proportion to the size of the file; all else is bounded.

    Raises:
        StorageCorruptError: it is no backup, or damaged.
        StorageUnavailableError: it cannot be read, or was written by a newer program.
    """
    try:
        opened = file.open("rb")
    except OSError as error:
        raise StorageUnavailableError(
            f"{file} cannot be read: {error.strerror}", hint="Name a file that `canvas-server backup` has written."
        ) from error
    with opened:
        with _translating(file):
            packed = ZipFile(opened)
        with packed:
            content = _manifest(file, packed)
            manifest = decode_manifest(content, file)
            _check_names(file, packed.infolist(), manifest, kinds)
            yield Archive(file, packed, manifest, hashlib.sha256(content).hexdigest())


def verify_backup(file: Path, kinds: Sequence[JsonKind], tell: Tell) -> Manifest:
    """Read a backup to its end and return its manifest.

    Raises:
        StorageCorruptError: it is no backup, or damaged.
        StorageUnavailableError: it cannot be read, or was written by a newer program.
    """
    with open_archive(file, kinds) as archive:
        archive.verify(tell)
        return archive.manifest


def _manifest(file: Path, packed: ZipFile) -> bytes:
    infos = [info for info in packed.infolist() if info.filename == MANIFEST_NAME]
    if len(infos) != 1:
        raise unfit(file, "it is no backup: it has no manifest")
    _check_plain(file, infos[0])
    with _translating(file), packed.open(infos[0]) as member:
        content = member.read(MANIFEST_BYTES_MAX + 1)
    if len(content) > MANIFEST_BYTES_MAX:
        raise unfit(file, "its manifest is too large")
    return content


def _check_names(file: Path, infos: Sequence[ZipInfo], manifest: Manifest, kinds: Sequence[JsonKind]) -> None:
    """Refuse a zip that holds another set of files than the manifest names, or names that no backup has."""
    told = {entry.name: entry.size_bytes for entry in manifest.files}
    if len(told) != len(manifest.files) or DATABASE_NAME not in told:
        raise unfit(file, "its manifest names a file twice, or no database")
    if sorted(info.filename for info in infos) != sorted([*told, MANIFEST_NAME]):
        raise unfit(file, "it does not hold the files that its manifest names")
    for info in infos:
        _check_plain(file, info)
        if info.filename == MANIFEST_NAME:
            continue
        if not is_content(info.filename, kinds):
            raise unfit(file, f"a backup has no file {info.filename!r}")
        if info.file_size != told[info.filename]:
            raise unfit(file, f"{info.filename} has a wrong size")


def _check_plain(file: Path, info: ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    packed_as = info.compress_type in (ZIP_STORED, ZIP_DEFLATED) and not info.flag_bits & _ENCRYPTED
    if kind not in (0, stat.S_IFREG) or not packed_as or info.orig_filename != info.filename:
        raise unfit(file, f"{info.filename!r} is no plain file")


@contextmanager
def _translating(file: Path) -> Iterator[None]:
    """Raise what reading a zip ends in as an error that names it."""
    try:
        yield
    except _BROKEN as error:
        raise unfit(file, f"it is no backup, or damaged ({error})") from error
    except OSError as error:
        # A damaged zip may send its reader to a place before the beginning of the file.
        raise unfit(file, f"it cannot be read ({error.strerror})") from error
