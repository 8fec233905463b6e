"""The list of prices: a TOML file, by provider and model, each from a day on.

Rule: what is not listed is not called, unless its provider never costs anything. Amounts are exact: they are read as
decimals and kept as whole millionths of the currency, never as floating point.
"""

from __future__ import annotations

import datetime
import logging
import tomllib
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError, ConfigError
from canvas_server.core.usage import Price

log = logging.getLogger(__name__)

FREE_PROVIDERS: Final = frozenset({"local", "demo"})
"""Whoever runs them pays nothing for them."""

PRICE_MAX: Final = 1_000_000
"""The highest price for 1,000,000 tokens; more is taken for a typing error."""

_MICROS: Final = 1_000_000
_EVER: Final = "1970-01-01"


class PriceUnknownError(CanvasError):
    """The list has no price for a model, so nobody knows what a call would cost; nothing was called."""

    code = "PRICE_UNKNOWN"


class ListedPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A price, with the name that people know the model by."""

    label: str
    price: Price


class PriceTable:
    """The prices by provider, model and day.

    Args:
        listed: in any order; no two of a model hold from the same day on.
    """

    def __init__(self, listed: Iterable[ListedPrice] = ()) -> None:
        newest_first = sorted(listed, key=lambda one: one.price.valid_from, reverse=True)
        by_model = sorted(newest_first, key=lambda one: (one.price.provider, one.price.model))
        groups = groupby(by_model, key=attrgetter("price.provider", "price.model"))
        self._by_model = {model: tuple(prices) for model, prices in groups}

    def find(self, provider: str, model: str, day: datetime.date) -> Price:
        """Return the price of a model on a day of the configured time zone.

        Raises:
            PriceUnknownError: the list has none for that day, and the provider is not free.
        """
        if provider in FREE_PROVIDERS:
            return _free(provider, model, _EVER)
        found = self._on(provider, model, day)
        if found is None:
            raise PriceUnknownError(
                f"{provider} {model!r} has no price on {day}",
                hint="Choose a model of GET /api/v1/models, or add its price to the list of prices.",
            )
        return found.price

    def on(self, day: datetime.date) -> Sequence[ListedPrice]:
        """Return what is in force on a day, by provider and model."""
        found = (self._on(provider, model, day) for provider, model in self._by_model)
        return [one for one in found if one is not None]

    def _on(self, provider: str, model: str, day: datetime.date) -> ListedPrice | None:
        prices = self._by_model.get((provider, model), ())
        return next((one for one in prices if one.price.valid_from <= day.isoformat()), None)


def load_prices(path: Path, currency: str) -> PriceTable:
    """Read a list of prices; without the file only what is free can be called, and a warning is logged.

    Args:
        path: a TOML file; `data/pricing.toml` says how it is written.
        currency: that of the quota; the file must have the same.

    Raises:
        ConfigError: the file cannot be read, or an entry cannot be what it says; the message names both.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        log.warning("no list of prices: only free models can be asked", extra={"file": str(path)})
        return PriceTable()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", hint="name a readable file as cost.pricing_file"
        ) from error
    try:
        document = msgspec.convert(tomllib.loads(content, parse_float=Decimal), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, InvalidOperation) as error:
        # The last is of a number that no decimal can be, such as 1e99999999999999999999.
        raise ConfigError(
            f"{path} is not a list of prices: {error}", hint="compare it with the comment in it"
        ) from error
    if document.currency != currency:
        raise ConfigError(
            f"{path} is in {document.currency!r}, the quota (cost.currency) in {currency!r}",
            hint="write the prices in the currency of the quota",
        )
    return PriceTable(_listed(path, document.price))


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[price]]` of the file."""

    provider: str
    model: str
    valid_from: datetime.date = msgspec.field(name="from")
    label: str = ""
    input: Decimal | None = None
    cached: Decimal | None = None
    output: Decimal | None = None
    free: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: str
    price: tuple[_Entry, ...] = ()


def _listed(path: Path, entries: Iterable[_Entry]) -> Sequence[ListedPrice]:
    seen: set[tuple[str, str, datetime.date]] = set()
    listed = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, price {number} ({entry.provider} {entry.model} from {entry.valid_from})"
        key = (entry.provider, entry.model, entry.valid_from)
        if key in seen:
            raise ConfigError(f"{where} is there twice", hint="remove one of them")
        seen.add(key)
        listed.append(ListedPrice(label=entry.label or entry.model, price=_price(where, entry)))
    return listed


def _price(where: str, entry: _Entry) -> Price:
    day = entry.valid_from.isoformat()
    prices = (entry.input, entry.cached, entry.output)
    if entry.free:
        if any(price is not None for price in prices):
            raise ConfigError(f"{where} is free and has a price", hint="remove the one or the other")
        return _free(entry.provider, entry.model, day)
    if entry.input is None or entry.output is None:
        raise ConfigError(f"{where} lacks input or output", hint="write both prices, or free = true")
    cached = entry.input if entry.cached is None else entry.cached
    return Price(
        provider=entry.provider,
        model=entry.model,
        valid_from=day,
        input_micros=_micros(f"{where}: input", entry.input),
        cached_micros=_micros(f"{where}: cached", cached),
        output_micros=_micros(f"{where}: output", entry.output),
    )


def _micros(where: str, amount: Decimal) -> int:
    """Return an amount in millionths, exactly."""
    if not (amount.is_finite() and 0 <= amount <= PRICE_MAX) or (amount * _MICROS) % 1:
        raise ConfigError(
            f"{where} is {amount}, not a number from 0 to {PRICE_MAX} with at most 6 decimals",
            hint="write the price of 1,000,000 tokens",
        )
    return int(amount * _MICROS)


def _free(provider: str, model: str, day: str) -> Price:
    return Price(provider=provider, model=model, valid_from=day, input_micros=0, cached_micros=0, output_micros=0)
