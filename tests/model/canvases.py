"""The canvases on the simulated disk, and the lineage of each: created and deleted as the disk says."""

from __future__ import annotations

from typing import Final

from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import Operation
from canvas_server.core.ports import CanvasKey, SavedCanvas
from canvas_server.core.version import Version
from tests.model.disk import SimDisk
from tests.model.lineage import Lineage

REFS: Final = (CanvasRef("notes"), CanvasRef("plan"))
"""Enough for one to be busy while something happens to the other."""


class CanvasLineage(Lineage[Operation]):
    """The lineage of one life of a canvas, from its creation to its deletion."""

    def __init__(self, key: CanvasKey, ref: CanvasRef, version: Version, text: str) -> None:
        super().__init__(version, text)
        self.key = key
        self.ref = ref
        self.payloads: dict[str, str] = {}
        """By op id, the digest of every operation that was applied."""


class Canvases:
    """All canvases that there are or were.

    Attributes:
        living: those on the disk now, by ref.
        by_key: all that ever were.
    """

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.living: dict[CanvasRef, CanvasLineage] = {}
        self.by_key: dict[CanvasKey, CanvasLineage] = {}
        self._seen = 0

    def saved(self, ref: CanvasRef) -> SavedCanvas:
        """Return what is on the disk of a living canvas."""
        saved = self.disk.saved(ref)
        assert saved is not None
        return saved

    def look(self) -> None:
        """Take in what was created and deleted since."""
        if self._seen != self.disk.births_and_deaths:
            self._seen = self.disk.births_and_deaths
            for ref in REFS:
                self._look_at(ref)

    def _look_at(self, ref: CanvasRef) -> None:
        saved = self.disk.saved(ref)
        if saved is None:
            self.living.pop(ref, None)
        elif ref not in self.living or self.living[ref].key != saved.key:
            lineage = CanvasLineage(saved.key, ref, saved.version, self.disk.text_of(saved))
            self.living[ref] = self.by_key[saved.key] = lineage
