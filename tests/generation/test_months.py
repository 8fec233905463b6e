"""Months of a time zone: their edges, summer time and far offsets included."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.generation.months import Months


@pytest.mark.parametrize(
    ("zone", "moment", "month", "resets_at"),
    [
        ("Europe/Paris", "2026-10-31T22:59:59+00:00", "2026-10", "2026-11-01T00:00:00+01:00"),
        ("Europe/Paris", "2026-10-31T23:00:00+00:00", "2026-11", "2026-12-01T00:00:00+01:00"),
        ("Europe/Paris", "2026-03-15T00:00:00+00:00", "2026-03", "2026-04-01T00:00:00+02:00"),
        ("Europe/Paris", "2026-12-31T22:59:59+00:00", "2026-12", "2027-01-01T00:00:00+01:00"),
        ("Europe/Paris", "2026-12-31T23:00:00+00:00", "2027-01", "2027-02-01T00:00:00+01:00"),
        ("Pacific/Kiritimati", "2026-11-30T09:59:59+00:00", "2026-11", "2026-12-01T00:00:00+14:00"),
        ("Pacific/Kiritimati", "2026-11-30T10:00:00+00:00", "2026-12", "2027-01-01T00:00:00+14:00"),
        ("America/Los_Angeles", "2028-03-01T07:59:59+00:00", "2028-02", "2028-03-01T00:00:00-08:00"),
        ("UTC", "1970-01-01T00:00:00+00:00", "1970-01", "1970-02-01T00:00:00+00:00"),
    ],
)
def test_months_are_those_of_the_zone(zone: str, moment: str, month: str, resets_at: str) -> None:
    months = Months(ZoneInfo(zone))

    assert months.month(round(datetime.fromisoformat(moment).timestamp() * 1000)) == month
    assert months.end(month).isoformat() == resets_at


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - given its zone below
    st.sampled_from(["Europe/Paris", "Pacific/Kiritimati", "America/Sao_Paulo", "Asia/Kathmandu", "UTC"]),
)
def test_a_moment_lies_in_its_month_and_the_month_after_begins_when_it_resets(moment: datetime, zone: str) -> None:
    months = Months(ZoneInfo(zone))
    now = round(moment.replace(tzinfo=UTC).timestamp() * 1000)
    month = months.month(now)
    end = round(months.end(month).timestamp() * 1000)

    assert now < end
    assert months.month(end - 1) == month
    assert months.month(end) > month
    assert months.day(now).isoformat().startswith(month)
