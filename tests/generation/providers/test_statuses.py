from __future__ import annotations

import pytest

from canvas_server.generation.providers.failures import (
    CredentialsError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusedError,
    RejectedError,
    UnavailableError,
)
from canvas_server.generation.providers.statuses import of_code, of_status, retry_after_s


def test_a_date_to_come_back_at_is_measured_from_the_answers_own_date() -> None:
    headers = {"date": "Sat, 21 Nov 2026 22:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 22:00:42 GMT"}
    assert retry_after_s(headers) == 42.0


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({}, None),
        ({"retry-after": "Sat, 21 Nov 2026 22:00:42 GMT"}, None),
        ({"date": "Sat, 21 Nov 2026 22:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 22:00:42"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, 120.0),
        ({"date": "Sat, 21 Nov 2026 22:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 21:00:00 GMT"}, 0.0),
    ],
)
def test_what_cannot_be_read_or_waited_for_is_bounded(headers: dict[str, str], delay_s: float | None) -> None:
    assert retry_after_s(headers) == delay_s


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, None, CredentialsError),
        (408, None, ProviderTimeoutError),
        (409, None, UnavailableError),
        (413, None, RejectedError),
        (429, "insufficient_quota", CredentialsError),
        (400, "content_filter", RefusedError),
        (529, None, UnavailableError),
    ],
)
def test_a_status_with_a_word_beside_it_is_the_error_it_means(
    status: int, code: str | None, error: type[ProviderError]
) -> None:
    assert type(of_status("openai", "m", status, code, {})) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (None, UnavailableError),
        ("server_error", UnavailableError),
        ("rate_limit_exceeded", RateLimitError),
        ("invalid_prompt", RejectedError),
        ("context_length_exceeded", RejectedError),
        ("bio_policy", RefusedError),
        ("misalignment_policy_violation", RefusedError),
        ("insufficient_quota", CredentialsError),
    ],
)
def test_a_word_without_a_status_is_the_error_it_means(code: str | None, error: type[ProviderError]) -> None:
    assert type(of_code("openai", "m", code)) is error
