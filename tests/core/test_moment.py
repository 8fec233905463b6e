from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.moment import iso_from


def test_a_moment_is_told_in_utc_to_the_millisecond() -> None:
    assert iso_from(1_768_398_330_123) == "2026-01-14T13:45:30.123Z"
    assert iso_from(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(-(10**13), 10**14))
def test_no_millisecond_is_lost(unix_ms: int) -> None:
    moment = datetime.fromisoformat(iso_from(unix_ms))
    assert (moment - datetime.fromisoformat("1970-01-01T00:00:00Z")) / timedelta(milliseconds=1) == unix_ms
