"""A document is the text of a canvas at one version, with its outline.

It changes only by `apply`, which takes changes that were decided elsewhere and advances the version.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from canvas_server.core.outline import Outline
from canvas_server.core.splice import Changes, Span, splice_span
from canvas_server.core.text import Text, widened_span
from canvas_server.core.version import Version, next_version, parse_etag


class Step(msgspec.Struct, frozen=True, gc=False):
    """What applying some changes came to."""

    version: Version
    spans: tuple[Span, ...]
    wide_spans: tuple[Span, ...]
    removed: tuple[str, ...]


class Document:
    """The text, the outline and the version of a canvas.

    Args:
        content: the text, LF line ends.
        version: names it.
        sections_changed: for each section of the outline, the ETag at which it last changed; `version` where that
            is not known.
    """

    def __init__(self, content: str, version: Version, sections_changed: Sequence[str] = ()) -> None:
        self.text = Text(content)
        self.version = version
        self.outline = Outline.parse(self.text, version)
        known = [parse_etag(etag) or version for etag in sections_changed]
        if len(known) == len(self.outline.changed):
            self.outline.changed = known

    def copy(self) -> Document:
        """Return a document that goes its own way from here."""
        twin = Document.__new__(Document)
        twin.text = self.text.copy()
        twin.version = self.version
        twin.outline = self.outline.copy()
        return twin

    def sections_changed(self) -> tuple[str, ...]:
        """Return for each section the ETag at which it last changed."""
        return tuple(version.etag for version in self.outline.changed)

    def apply(self, op_id: str, changes: Changes) -> Step:
        """Change the text and take the version that `op_id` makes.

        Args:
            op_id: of the operation that was decided.
            changes: in code points, inside the text.
        """
        text, version = self.text, next_version(self.version, op_id, changes)
        spans, wide_spans, removed = [], [], []
        for splice in changes:
            start, insert = splice.start, splice.insert
            span = splice_span(splice)
            spans.append(span)
            wide_spans.append(widened_span(text, splice) if text.is_wide or not insert.isascii() else span)
            gone = text.splice(start, splice.end, insert)
            self.outline.update(text, start, gone, insert, version)
            removed.append(gone)
        self.version = version
        return Step(version, tuple(spans), tuple(wide_spans), tuple(removed))

    def undo(self, changes: Changes, removed: Sequence[str], version: Version) -> None:
        """Take back the changes applied last, so that `version` is the version again."""
        for splice, gone in zip(reversed(changes), reversed(removed), strict=True):
            end = splice.start + len(splice.insert)
            self.text.splice(splice.start, end, gone)
            self.outline.update(self.text, splice.start, splice.insert, gone, version)
        self.version = version
