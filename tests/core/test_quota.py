from __future__ import annotations

import pytest

from canvas_server.core.quota import QuotaExceededError, Standing


def standing(spent: int, reserved: int, quota: int) -> Standing:
    return Standing(user="anna", month="2026-11", spent_micros=spent, reserved_micros=reserved, quota_micros=quota)


@pytest.mark.parametrize(
    ("spent", "reserved", "quota", "percentage", "remaining"),
    [
        (0, 0, 10_000_000, 0.0, 10_000_000),
        (1, 0, 10_000_000, 0.0, 9_999_999),
        (8_000_000, 1_000_000, 10_000_000, 90.0, 1_000_000),
        (8_994_000, 0, 10_000_000, 89.9, 1_006_000),
        (10_000_000, 0, 10_000_000, 100.0, 0),
        (11_000_000, 1_000_000, 10_000_000, 120.0, 0),
        (0, 0, 0, 100.0, 0),
        (5, 0, 0, 100.0, 0),
    ],
)
def test_a_standing_tells_its_share_and_what_is_left(
    spent: int, reserved: int, quota: int, percentage: float, remaining: int
) -> None:
    told = standing(spent, reserved, quota)

    assert (told.percentage, told.remaining_micros) == (percentage, remaining)


def test_a_refusal_carries_how_it_was_and_when_to_come_back() -> None:
    error = QuotaExceededError(
        "no", standing=standing(1, 2, 3), resets_at="2026-12-01T00:00:00+01:00", retry_after_s=60, hint="Wait."
    )

    assert (error.code, error.standing.quota_micros, error.retry_after_s) == ("QUOTA_EXCEEDED", 3, 60)
