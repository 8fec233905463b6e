"""What a user may spend in a month, and what is spent: an account per user, month and provider.

The account of provider `TOTAL` sums the others and is the one the quota holds for.
"""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError

TOTAL: Final = "*"
"""Stands for all providers together."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has spent with a provider in a month, in millionths of the currency."""

    user: str
    month: str
    """`YYYY-MM` in the configured time zone."""
    provider: str
    amount_micros: int
    """Settled."""
    reserved_micros: int
    """Held for calls that are not settled yet."""
    quota_micros: int
    updated_unix_ms: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a user stands against the quota of a month, all providers together."""

    user: str
    month: str
    spent_micros: int
    reserved_micros: int
    quota_micros: int

    @property
    def percentage(self) -> float:
        """How much of the quota is spent or held, in percent with one decimal; 100 where the quota is nothing."""
        if not self.quota_micros:
            return 100.0
        return round((self.spent_micros + self.reserved_micros) * 100 / self.quota_micros, 1)

    @property
    def remaining_micros(self) -> int:
        """What is left, never below nothing."""
        return max(0, self.quota_micros - self.spent_micros - self.reserved_micros)


class QuotaExceededError(CanvasError):
    """The month's quota does not cover what a call may cost at most; nothing was called.

    Attributes:
        standing: how it was when the call was refused.
        resets_at: when the next month begins, ISO 8601 with its offset.
        retry_after_s: until then.
    """

    code = "QUOTA_EXCEEDED"

    def __init__(self, message: str, *, standing: Standing, resets_at: str, retry_after_s: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.standing = standing
        self.resets_at = resets_at
        self.retry_after_s = retry_after_s
