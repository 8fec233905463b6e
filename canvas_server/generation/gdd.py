"""The game design document: one JSON file that others write, read when it is asked for.

Rule: it is never a reason to refuse anything. Without it, or with a broken one, there is only less to say.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from canvas_server.core.game_design import GameDesign

log = logging.getLogger(__name__)

SIZE_BYTES_MAX: Final = 16 * 1024 * 1024

Trouble: TypeAlias = Literal["preset.gdd_missing", "preset.gdd_broken"]
"""Why there is no document; a key of the catalogue."""

_decode: Final = msgspec.json.Decoder(GameDesign).decode


class Reading(NamedTuple):
    """What reading the document gave."""

    file: str
    """Its name, without its folder."""
    design: GameDesign
    """Empty where there is trouble."""
    trouble: Trouble | None


class GameDesignFile:
    """Reads the document again only when it has changed.

    Args:
        path: of the file; it may come and go.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int, int], Reading] | None = None

    async def load(self) -> Reading:
        """Return the document as it is now."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> Reading:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return Reading(self._path.name, GameDesign(), "preset.gdd_missing")
        except OSError as error:
            return self._broken(error)
        state = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._read is None or self._read[0] != state:
            self._read = (state, self._parse())
        return self._read[1]

    def _parse(self) -> Reading:
        try:
            with self._path.open("rb") as file:
                content = file.read(SIZE_BYTES_MAX + 1)
            if len(content) > SIZE_BYTES_MAX:
                return self._broken(f"larger than {SIZE_BYTES_MAX} bytes")
            return Reading(self._path.name, _decode(content), None)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._broken(error)

    def _broken(self, why: object) -> Reading:
        log.warning("game design document cannot be read", extra={"file": self._path.name, "why": str(why)})
        return Reading(self._path.name, GameDesign(), "preset.gdd_broken")
