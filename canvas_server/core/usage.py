"""Tokens as counted, prices as listed, and what the ones cost at the others.

Money is a whole number of millionths of the currency; it is rounded up once a call, never a token.
"""

from __future__ import annotations

from typing import Final

import msgspec

TOKENS_PER_PRICE: Final = 1_000_000
"""Prices are told for this many tokens."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used, in tokens."""

    input_tokens: int
    """The prompt, cached tokens included."""
    output_tokens: int
    """The answer, reasoning included."""
    cached_tokens: int = 0
    """Of the input, what the provider had seen before and bills at another price."""
    estimated: bool = False
    """Counted here, because the provider did not tell."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs from a day on, in millionths of the currency for 1,000,000 tokens."""

    provider: str
    model: str
    valid_from: str
    """The first day it holds, `YYYY-MM-DD`, in the configured time zone."""
    input_micros: int
    cached_micros: int
    output_micros: int

    @property
    def free(self) -> bool:
        """Whether nothing is paid."""
        return not (self.input_micros or self.cached_micros or self.output_micros)


def cost_micros(usage: Usage, price: Price) -> int:
    """Return the cost of a call in millionths of the currency, rounded up once.

    Args:
        usage: `cached_tokens` are part of `input_tokens`; more of them than that count as all of it.
        price: the one in force when the call was sent.
    """
    cached = min(usage.cached_tokens, usage.input_tokens)
    millionths = (
        (usage.input_tokens - cached) * price.input_micros
        + cached * price.cached_micros
        + usage.output_tokens * price.output_micros
    )
    return -(-millionths // TOKENS_PER_PRICE)
