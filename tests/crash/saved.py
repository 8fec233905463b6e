"""What a server that has ended left on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import LoadedCanvas
from canvas_server.core.saved import text_from
from canvas_server.storage.canvases import open_store

OPS_MAX: Final = 10_000
"""Operations of its history that come with a canvas."""


def saved_canvas(data_dir: Path, ref: str) -> LoadedCanvas:
    """Return a canvas as it is on disk."""
    return asyncio.run(_load(data_dir, ref))


def saved_text(data_dir: Path, ref: str) -> str:
    """Return its text."""
    return newest_text(saved_canvas(data_dir, ref))


def newest_text(loaded: LoadedCanvas) -> str:
    """Return the text of a canvas that was loaded."""
    return text_from(loaded.text, [op for op in loaded.recent if op.seq > loaded.text.version.seq])


async def _load(data_dir: Path, ref: str) -> LoadedCanvas:
    async with open_store(data_dir) as store:
        return await store.load(CanvasRef(ref), OPS_MAX)
