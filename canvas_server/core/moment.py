"""Moments as people and files read them: ISO 8601, UTC, to the millisecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso_from(unix_ms: int) -> str:
    """Return a moment as `2026-01-14T13:45:30.123Z`.

    Raises:
        OverflowError: it is not in the years 1 to 9999.
    """
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
