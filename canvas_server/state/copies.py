"""The saved copies of canvases and dialogues: whoever writes one, it is by these rules.

Rule: last write wins, in the order in which writes were taken. What is saved already is not written again, and nothing
empty goes over content unless that is forced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from canvas_server.core.dialogue import EmptyOverContentError, OfAnotherError, is_empty, without_stamps
from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.job_ports import JsonFiles
from canvas_server.core.json_value import digest_of
from canvas_server.core.moment import iso_from
from canvas_server.core.ports import Clock
from canvas_server.core.version import parse_etag

log = logging.getLogger(__name__)


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What lies under a name."""

    value: Mapping[str, object]
    """As it is on disk, stamps included."""
    version: str
    """Its ETag: of the canvas, or made from the content."""

    @property
    def owner(self) -> str | None:
        """The user it was saved for; None if it does not say."""
        told = self.value.get("saved_for")
        return told if isinstance(told, str) else None

    @property
    def is_of_canvas(self) -> bool:
        """Whether it was made of a canvas, and not put by somebody."""
        told = self.value.get("version")
        return isinstance(told, str) and parse_etag(told) is not None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a copy that was to be saved."""

    version: str
    """Of what is saved now."""
    saved_at: str | None
    """When that was written, ISO 8601; None if the file does not say."""
    saved_unix_ms: int | None
    """When it was written just now; None where the same lay there already."""


class Copies:
    """The one door to the files of copies.

    Args:
        files: where they lie.
        clock: tells when they were saved.
    """

    def __init__(self, files: JsonFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def load(self, name: str) -> Copy | None:
        """Return a copy; None if there is none.

        Raises:
            StorageUnavailableError: it cannot be read now.
            StorageCorruptError: it cannot be read at all.
        """
        value = await self._files.load(name)
        return None if value is None else Copy(value=value, version=await _version_of(value))

    async def put(
        self,
        name: str,
        content: Mapping[str, object],
        *,
        version: str | None = None,
        owner: str | None = None,
        force: bool = False,
    ) -> Receipt:
        """Save a copy; durable when this returns, and so it will be if whoever waits for it goes away.

        Args:
            name: checked by the caller.
            content: what to save; stamps in it are replaced.
            version: its ETag; made from the content if None.
            owner: the user it is saved for, if anybody.
            force: an empty copy may go over content.

        Raises:
            EmptyOverContentError: it is empty and what is there is not; nothing was changed.
            OfAnotherError: somebody else put what is there; nothing was changed.
            StorageUnavailableError, TooLargeError, ExistsError: it cannot be saved; nothing was changed.
        """
        async with self._turn(name):
            digest = await asyncio.to_thread(_digest, content)
            current = await self._load_readable(name)
            if current is not None:
                if await asyncio.to_thread(_digest, current.value) == digest:
                    return Receipt(version=current.version, saved_at=_saved_at(current.value), saved_unix_ms=None)
                if owner is not None and current.owner not in (None, owner) and not current.is_of_canvas:
                    raise _of_another(name)
                if is_empty(content) and not is_empty(current.value) and not force:
                    raise _empty_over_content(name)
            return await self._save(name, without_stamps(content), version or f'"{digest}"', owner)

    async def _save(self, name: str, content: Mapping[str, object], version: str, owner: str | None) -> Receipt:
        now_unix_ms = self._clock.now_ms()
        saved_at = iso_from(now_unix_ms)
        stamps = {"version": version, "saved_at": saved_at, **({} if owner is None else {"saved_for": owner})}
        await self._files.save(name, {**content, **stamps})
        log.info("copy saved", extra={"copy": name, "version": version})
        return Receipt(version=version, saved_at=saved_at, saved_unix_ms=now_unix_ms)

    async def _load_readable(self, name: str) -> Copy | None:
        """Return what is there, but for what cannot be read: that is kept aside when the name is written to."""
        try:
            return await self.load(name)
        except StorageCorruptError:
            return None

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Wait until all who came before for a name are done."""
        turn = self._turns.setdefault(name, asyncio.Lock())
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with turn:
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._turns[name]


async def _version_of(value: Mapping[str, object]) -> str:
    """Return the ETag of a copy: what it says of itself if it is of a canvas, else made from the content.

    A dialogue that was edited by hand thus has another.
    """
    told = value.get("version")
    version = parse_etag(told) if isinstance(told, str) else None
    return f'"{await asyncio.to_thread(_digest, value)}"' if version is None else version.etag


def _digest(value: Mapping[str, object]) -> str:
    return digest_of(without_stamps(value))


def _saved_at(value: Mapping[str, object]) -> str | None:
    told = value.get("saved_at")
    return told if isinstance(told, str) else None


def _of_another(name: str) -> OfAnotherError:
    return OfAnotherError(f"{name!r} is a dialogue of somebody else", hint="Choose another name.")


def _empty_over_content(name: str) -> EmptyOverContentError:
    return EmptyOverContentError(
        f"{name!r} is saved with content, and what was sent is empty",
        hint="Send it with ?force=true if it is to be emptied.",
    )
