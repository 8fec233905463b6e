"""JSON objects as files of one folder, `<name>.json`: implements `JsonFiles`.

Rule: only plain files under good names are ours. Links are never followed, and whatever else lies there is left alone
and warned about once. One thread does all work in the order it was asked for, so of two at once the later one stays.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from canvas_server.core.errors import ExistsError, StorageCorruptError, StorageUnavailableError, TooLargeError
from canvas_server.core.json_value import DEPTH_MAX, is_too_deep
from canvas_server.core.ports import Clock
from canvas_server.storage.failures import corrupt
from canvas_server.storage.folder import sync_folder
from canvas_server.storage.whole_file import UNFINISHED_PREFIX, replace_name

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SUFFIX: Final = ".json"
_KEPT: Final = f"{SUFFIX}.corrupt-"
_NO_FILE: Final = (errno.ELOOP, errno.ENXIO)
"""What opening a link, or a socket, ends in."""
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class JsonFolder:
    """The objects of one folder, which is made when something is saved; see `open_json_folder`.

    Args:
        path: the folder; one server uses it at a time.
        is_name: tells what may be the name of an object; no such name leads out of the folder.
        bytes_max: of one file.
        clock: tells when a bad file was found.
        executor: of one thread.
    """

    def __init__(
        self, path: Path, is_name: Callable[[str], bool], bytes_max: int, clock: Clock, executor: ThreadPoolExecutor
    ) -> None:
        self._path = path
        self._is_name = is_name
        self._bytes_max = bytes_max
        self._clock = clock
        self._executor = executor
        self._told: set[str] = set()

    async def names(self) -> Sequence[str]:
        """Return the names there are, sorted."""
        return await self._in_thread(self._names)

    async def load(self, name: str) -> Mapping[str, object] | None:
        """Return an object; None if there is none."""
        path = self._file(name)
        return await self._in_thread(lambda: self._load(path))

    async def save(self, name: str, value: Mapping[str, object]) -> None:
        """Put an object under a name; durable when this returns.

        A file that is there and cannot be read is kept beside it as `<name>.json.corrupt-<ms since 1970>`.

        Raises:
            ExistsError: there is a name that differs only in case; on some file systems that is the same.
            TooLargeError: the file would be larger than it may be.
            StorageUnavailableError: it cannot be written; nothing was changed.
        """
        path = self._file(name)
        await self._in_thread(lambda: self._save(path, value))

    async def delete(self, name: str) -> bool:
        """Remove an object, readable or not; return whether there was one."""
        path = self._file(name)
        return await self._in_thread(lambda: self._delete(path))

    async def clean(self) -> None:
        """Remove what writes that were cut off have left."""
        await self._in_thread(self._clean)

    def _file(self, name: str) -> Path:
        if not self._is_name(name):
            raise ValueError(f"{name!r} was to be checked before it came here")
        return self._path / f"{name}{SUFFIX}"

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Run `work` after all that was asked for before; it runs to its end even if nobody waits any more."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))

    def _names(self) -> Sequence[str]:
        with _translating(self._path, "read"):
            return sorted(self._own_names())

    def _own_names(self) -> Iterator[str]:
        for entry in self._entries():
            name = entry.name.removesuffix(SUFFIX)
            if entry.name.endswith(SUFFIX) and self._is_name(name) and entry.is_file(follow_symlinks=False):
                yield name
            elif _KEPT not in entry.name:
                self._warn(entry.name)

    def _entries(self) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(self._path) as entries:
                return list(entries)
        except FileNotFoundError:
            return ()

    def _warn(self, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("file ignored", extra={"folder": self._path.name, "file": name})

    def _load(self, path: Path) -> Mapping[str, object] | None:
        content = self._read(path)
        return None if content is None else parse_object(path, content)

    def _read(self, path: Path) -> bytes | None:
        """Return what a plain file holds; None if there is none."""
        with _translating(path, "read"):
            descriptor = self._open(path)
            if descriptor is None:
                return None
            with os.fdopen(descriptor, "rb") as file:
                content = file.read(self._bytes_max + 1)
        if len(content) > self._bytes_max:
            raise corrupt(path, f"it is larger than {self._bytes_max} bytes")
        return content

    def _open(self, path: Path) -> int | None:
        """Open a plain file to read it; None, with a warning, if something else has the name."""
        try:
            # Not waiting, because a pipe may have the name.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            self._warn(path.name)
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        self._warn(path.name)
        return None

    def _save(self, path: Path, value: Mapping[str, object]) -> None:
        content = self._encoded(value)
        with _translating(path, "written"):
            self._make_folder()
            self._check_twins(path)
            self._keep_if_bad(path)
            replace_name(path, content)

    def _encoded(self, value: Mapping[str, object]) -> bytes:
        """Return the object as people like to read it, or in less room where that would be too large."""
        content = msgspec.json.encode(value)
        indented = msgspec.json.format(content, indent=2)
        if len(indented) < self._bytes_max:
            return indented + b"\n"
        if len(content) > self._bytes_max:
            raise TooLargeError(f"a file holds at most {self._bytes_max} bytes", hint="Save less under one name.")
        return content

    def _make_folder(self) -> None:
        if not self._path.exists():
            self._path.mkdir(mode=0o700, parents=True)
            sync_folder(self._path.parent)

    def _check_twins(self, path: Path) -> None:
        names = {entry.name for entry in self._entries()}
        if path.name in names:
            return
        twin = next((name for name in names if name.lower() == path.name.lower()), None)
        if twin is not None:
            raise ExistsError(
                f"{path.name} differs from {twin} only in case", hint="Choose a name that differs in more than that."
            )

    def _keep_if_bad(self, path: Path) -> None:
        try:
            self._load(path)
        except StorageCorruptError as error:
            kept = path.with_name(f"{path.name}.corrupt-{self._clock.now_ms()}")
            # The name leads to the bad file until the very moment in which it leads to the good one.
            os.link(path, kept, follow_symlinks=False)
            log.warning("bad file kept", extra={"file": path.name, "kept": kept.name, "why": str(error)})

    def _delete(self, path: Path) -> bool:
        with _translating(path, "removed"):
            if not _is_plain(path):
                return False
            path.unlink()
            sync_folder(self._path)
        return True

    def _clean(self) -> None:
        with _translating(self._path, "cleaned"):
            for entry in self._entries():
                if entry.name.startswith(UNFINISHED_PREFIX) and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink(missing_ok=True)


@asynccontextmanager
async def open_json_folder(
    path: Path, is_name: Callable[[str], bool], bytes_max: int, clock: Clock
) -> AsyncIterator[JsonFolder]:
    """Use a folder of JSON objects; what was asked for until the end of the block is done when it ends.

    Raises:
        StorageUnavailableError: the folder is there and cannot be used.
    """
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{path.name}-files")
    folder = JsonFolder(path, is_name, bytes_max, clock, executor)
    try:
        await folder.clean()
        yield folder
    finally:
        await asyncio.to_thread(executor.shutdown)


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def parse_object(path: Path, content: bytes) -> Mapping[str, object]:
    """Return the object in a file.

    Raises:
        StorageCorruptError: it holds none.
    """
    try:
        value = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8, or nested too deep"
        raise corrupt(path, f"it is not a JSON object: {reason}") from error
    if is_too_deep(value):
        raise corrupt(path, f"it nests deeper than {DEPTH_MAX}")
    return value


@contextmanager
def _translating(path: Path, done: str) -> Iterator[None]:
    """Raise what the system refused in this block as an error that names the file, but not its folder."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(
            f"{path.name} cannot be {done}: {error.strerror}",
            hint="Check the disk, and that the server's user may use the folder.",
        ) from error
