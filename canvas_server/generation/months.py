"""Days and months where the operator lives: money is counted in calendar months of one time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


class Months:
    """The calendar of a time zone.

    Args:
        zone: where days and months begin.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def day(self, unix_ms: int) -> date:
        """Return the day of a moment."""
        return datetime.fromtimestamp(unix_ms // 1000, self._zone).date()

    def month(self, unix_ms: int) -> str:
        """Return the month of a moment, `YYYY-MM`."""
        return self.day(unix_ms).isoformat()[:7]

    def end(self, month: str) -> datetime:
        """Return when a month is over: the first moment of the next one, with its offset from UTC."""
        following = (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1)
        return datetime(following.year, following.month, 1, tzinfo=self._zone)
