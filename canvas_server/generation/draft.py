"""The text of a job so far: what was told, and where the provider's stream goes on."""

from __future__ import annotations

from collections.abc import Iterable

from canvas_server.core.job import JobEvent
from canvas_server.core.job_event import text_of


class Draft:
    """Grows piece by piece; starts over with each attempt."""

    def __init__(self) -> None:
        self.cursor: int | None = None
        """Of the provider's stream, after the newest piece."""
        self.tokens = 0
        """Counted piece by piece, so an upper bound of what the whole text has."""
        self.chars = 0
        self._pieces: list[str] = []

    def add(self, text: str, cursor: int | None) -> None:
        """Add a piece."""
        self._pieces.append(text)
        self.chars += len(text)
        self.cursor = cursor

    def clear(self) -> None:
        """Start over."""
        self._pieces.clear()
        self.cursor, self.tokens, self.chars = None, 0, 0

    @property
    def text(self) -> str:
        """All of it."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @classmethod
    def of(cls, events: Iterable[JobEvent], attempt: int) -> Draft:
        """Return what the stored events of an attempt hold."""
        draft = cls()
        for event in events:
            if event.kind == "chunk" and event.attempt == attempt:
                draft.add(text_of(event), event.cursor)
        return draft
