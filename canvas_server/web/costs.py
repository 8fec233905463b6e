"""Money over HTTP: what was spent and held, line by line too, and the quota that an admin sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.job_ports import Entry
from canvas_server.core.quota import TOTAL, Account
from canvas_server.generation.cost import CostControl, amount_of, micros_of
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.job_bodies import QuotaBody, quota_of
from canvas_server.web.problems import ForbiddenError

_encode: Final = msgspec.json.Encoder().encode

_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_YEARS: Final = ("1970", "9999")
_USER_CHARS_MAX: Final = 128
_QUOTA_BYTES_MAX: Final = 1_024


class ProviderUsage(msgspec.Struct, frozen=True):
    """What a user has spent with one provider."""

    provider: str
    spent: float
    reserved: float
    updated_unix_ms: int


class UsageBody(msgspec.Struct, frozen=True):
    """A user's month."""

    user: str
    month: str
    total: QuotaBody
    providers: Sequence[ProviderUsage]


class PriceBody(msgspec.Struct, frozen=True):
    """A price, for 1,000,000 tokens."""

    input: float
    cached: float
    output: float
    valid_from: str


class EntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the bill: one call."""

    job_id: str
    call: int
    provider: str
    model: str
    state: str
    """reserved, settled or released."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    estimated: bool
    cost: float
    price: PriceBody
    created_unix_ms: int
    settled_unix_ms: int | None


class EntriesBody(msgspec.Struct, frozen=True):
    """The newest lines of a user's month, newest first."""

    user: str
    month: str
    currency: str
    entries: Sequence[EntryBody]


class NewQuotaBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that sets a quota."""

    quota: Annotated[float, Meta(ge=0, le=1_000_000)]


_decode_quota: Final = msgspec.json.Decoder(NewQuotaBody).decode


class Costs:
    """The handlers.

    Args:
        control: joins prices, quota and ledger.
        entries_limit_max: lines in one answer.
    """

    def __init__(self, control: CostControl, *, entries_limit_max: int = 200) -> None:
        self._control = control
        self._entries_limit_max = entries_limit_max

    async def usage(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/costs/usage`."""
        user, month = _user(exchange), self._month(exchange)
        standing = await self._control.standing(user, month)
        accounts = await self._control.accounts(user, month)
        providers = [_provider_usage(account) for account in accounts if account.provider != TOTAL]
        await exchange.answer(200, _encode(UsageBody(user, month, quota_of(standing, self._control), providers)))

    async def entries(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/costs/entries`."""
        user, month = _user(exchange), self._month(exchange)
        limit = self._limit(exchange)
        entries = await self._control.entries(user, month, exchange.parameter("provider"), limit)
        body = EntriesBody(user, month, self._control.currency, [_entry_body(entry) for entry in entries])
        await exchange.answer(200, _encode(body))

    async def set_quota(self, exchange: Exchange) -> None:
        """Serve `PUT /api/v1/costs/quota/{user}`."""
        caller = exchange.caller()
        user = _checked_user(exchange.scope["path_params"]["user"])
        expect_json(exchange.headers)
        body = decode(_decode_quota, await exchange.body(_QUOTA_BYTES_MAX))
        standing = await self._control.set_quota(user, micros_of(body.quota), caller.name)
        await exchange.answer(200, _encode(UsageBody(user, standing.month, quota_of(standing, self._control), ())))

    def _month(self, exchange: Exchange) -> str:
        month = exchange.parameter("month")
        if month is None:
            return self._control.this_month()
        if not _MONTH.fullmatch(month) or not _YEARS[0] <= month[:4] < _YEARS[1]:
            raise InvalidFieldError("month is a year and a month", pointer="/month", hint="Say month=2026-11.")
        return month

    def _limit(self, exchange: Exchange) -> int:
        text = exchange.parameter("limit")
        if text is None:
            return min(50, self._entries_limit_max)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= self._entries_limit_max):
            raise InvalidFieldError(
                f"limit is a whole number from 1 to {self._entries_limit_max}",
                pointer="/limit",
                hint="Leave it out, or say less.",
            )
        return int(text)


def _user(exchange: Exchange) -> str:
    """Return whose money is asked about.

    Raises:
        ForbiddenError: it is somebody else's, and the caller is no admin.
    """
    caller = exchange.caller()
    asked = exchange.parameter("user")
    if asked is None or asked == caller.name:
        return caller.name
    if not caller.admin:
        raise ForbiddenError("only an admin sees what others spend", hint="Leave user out to see your own.")
    return _checked_user(asked)


def _checked_user(name: str) -> str:
    if not (1 <= len(name) <= _USER_CHARS_MAX and name.isprintable()):
        raise InvalidFieldError(
            f"a user's name is 1 to {_USER_CHARS_MAX} printable characters",
            pointer="/user",
            hint="Use the name of an actor, or local.",
        )
    return name


def _provider_usage(account: Account) -> ProviderUsage:
    spent, reserved = amount_of(account.amount_micros), amount_of(account.reserved_micros)
    return ProviderUsage(account.provider, spent, reserved, account.updated_unix_ms)


def _entry_body(entry: Entry) -> EntryBody:
    price = entry.price
    prices = (amount_of(price.input_micros), amount_of(price.cached_micros), amount_of(price.output_micros))
    return EntryBody(
        job_id=entry.job_id,
        call=entry.call,
        provider=price.provider,
        model=price.model,
        state=entry.state,
        input_tokens=entry.usage.input_tokens,
        cached_tokens=entry.usage.cached_tokens,
        output_tokens=entry.usage.output_tokens,
        estimated=entry.usage.estimated,
        cost=amount_of(entry.cost_micros),
        price=PriceBody(*prices, price.valid_from),
        created_unix_ms=entry.created_unix_ms,
        settled_unix_ms=entry.settled_unix_ms,
    )
