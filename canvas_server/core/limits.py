"""What one canvas and one request may be at most; every value is a setting, and all are told in `start`."""

from __future__ import annotations

import msgspec

KIB = 1024


EVENT_TEXT_BYTES_MIN = 480 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that the rules themselves apply (PROTOCOL section 8)."""

    content_bytes_max: int = 256 * KIB
    """UTF-8 bytes of `content` in one operation."""
    ops_max: int = 100
    """Operations in one JSON request."""
    body_bytes_max: int = 1024 * KIB
    """Bytes of one JSON request."""
    canvas_bytes_max: int = 2048 * KIB
    """UTF-8 bytes of the text of one canvas."""
    retained_ops_max: int = 10_000
    """Operations kept in memory for scope, resume and revert."""
    regex_chars_max: int = 512
    """Characters of a `regex` pattern."""
    ndjson_line_bytes_max: int = 256 * KIB
    """Bytes of one line of a streamed request."""
    ndjson_idle_s: float = 30.0
    """Seconds a streamed request may stay silent."""
    snapshot_bytes_max: int = 256 * KIB
    """JSON bytes of a text that a `snapshot` event carries itself; a larger one is told by URL."""
    meta_keys_max: int = 16
    """Keys of `meta`."""
    meta_chars_max: int = 256
    """Characters of each key and each value of `meta`."""

    @property
    def event_text_bytes_max(self) -> int:
        """JSON bytes that inserted text may take in one event, so that no event passes 512 KiB by default."""
        return max(EVENT_TEXT_BYTES_MIN, 2 * self.content_bytes_max - 32 * KIB)
