"""What an HTTP status of a provider means, whichever SDK tells it.

Rule: the messages are our own sentences. What a provider writes may echo the key or the prompt, so it goes nowhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from canvas_server.generation.providers.failures import (
    CredentialsError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusedError,
    RejectedError,
    UnavailableError,
    UnknownModelError,
)

log = logging.getLogger(__name__)

DELAY_S_MAX: Final = 120.0
_REFUSALS: Final = frozenset({"content_filter", "content_policy_violation", "image_content_policy_violation"})
_NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


def of_status(provider: str, model: str, status: int, code: str | None, headers: Mapping[str, str]) -> ProviderError:
    """Return the error for an answer that is no success.

    Args:
        provider: who answered.
        model: what was asked.
        status: 300 and above.
        code: the provider's own word for it, if it has one.
        headers: by name in lower case.
    """
    if code in _REFUSALS or code in _NO_CREDIT:
        return of_code(provider, model, code)
    told = f"{provider} answered with status {status}"
    match status:
        case 401 | 403:
            return CredentialsError(told, hint=f"Check the key of {provider} and what it may do.")
        case 404:
            return UnknownModelError(
                f"{provider} does not know the model {model!r}", hint="Choose another model, or check the base URL."
            )
        case 408:
            return ProviderTimeoutError(told, hint="Try again later.")
        case 429:
            return RateLimitError(told, hint="Try again later.", delay_s=retry_after_s(headers))
        case 409:
            return UnavailableError(told, hint="Try again later.")
        case _ if status >= 500:
            return UnavailableError(told, hint="Try again later.", delay_s=retry_after_s(headers))
        case _:
            return RejectedError(told, hint="Change the request: its length, its schema, or the model.")


def of_code(provider: str, model: str, code: str | None) -> ProviderError:
    """Return the error for a failure that a provider tells by its own word, without a status."""
    if code is None:
        return unavailable(provider)
    if code in _NO_CREDIT:
        return CredentialsError(f"the account at {provider} has no credit left", hint="See to the account.")
    if code in _REFUSALS or code.endswith(("_policy", "_policy_violation")):
        return refused(provider)
    if code == "rate_limit_exceeded":
        return RateLimitError(f"{provider} wants to be asked less often", hint="Try again later.")
    if code.startswith("invalid_") or code == "context_length_exceeded":
        return RejectedError(
            f"{provider} cannot read the request", hint=f"Change the prompt, or ask another than {model!r}."
        )
    return unavailable(provider)


def misread(provider: str, error: Exception) -> None:
    """Log that an answer is so odd that its SDK, or we, failed over it; what the error says may quote the answer."""
    log.warning("a provider's answer cannot be understood", extra={"provider": provider, "error": type(error).__name__})


def unavailable(provider: str) -> UnavailableError:
    """Return the error for a provider that failed and said so."""
    return UnavailableError(f"{provider} failed", hint="Try again later.")


def refused(provider: str) -> RefusedError:
    """Return the error for a provider that does not want to answer."""
    return RefusedError(f"{provider} refuses to answer this", hint="Change the prompt.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long `Retry-After` asks to wait, 0 to `DELAY_S_MAX`; None where it says nothing that can be read.

    A date is measured from the answer's own `Date`, so that neither clock needs to be right.
    """
    told = headers.get("retry-after", "")
    try:
        delay_s = float(told)
    except ValueError:
        delay_s = _seconds_between(headers.get("date", ""), told)
    return None if math.isnan(delay_s) else min(max(delay_s, 0.0), DELAY_S_MAX)


def _seconds_between(start: str, end: str) -> float:
    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start)).total_seconds()
    except (ValueError, TypeError):
        return math.nan
