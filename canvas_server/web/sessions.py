"""Signing in: links that are good once, sessions, the cookie that can only read, and tickets.

The page comes in by a link whose fragment holds a code: a fragment is never sent, so it stands in no log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec

from canvas_server.core.errors import InvalidFieldError, NotFoundError
from canvas_server.core.identity import RIGHTS_OF, Right, Token, TokenId, User
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.state.minting import Terms, mint
from canvas_server.web.auth import Caller
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.identity_bodies import (
    CodeBody,
    LinkBody,
    MeBody,
    SessionBody,
    SignInBody,
    TicketBody,
    TicketRequestBody,
)
from canvas_server.web.problems import AuthRequiredError, ForbiddenError
from canvas_server.web.secrets import OneUse

T = TypeVar("T")

BODY_BYTES_MAX: Final = 16 * 1024
CODE_S: Final = 600.0

_READING: Final[frozenset[Right]] = frozenset({"read"})
_GENERATING: Final[frozenset[Right]] = frozenset({"read", "write", "generate"})

_encode: Final = msgspec.json.Encoder().encode
_decode_code: Final = msgspec.json.Decoder(CodeBody).decode
_decode_sign_in: Final = msgspec.json.Decoder(SignInBody).decode
_decode_ticket: Final = msgspec.json.Decoder(TicketRequestBody).decode


class SignInCode(NamedTuple):
    """What the code in a link is good for."""

    user: str
    rights: frozenset[Right]
    here_only: bool
    """Only for a browser on this machine."""
    maker: TokenId | None = None
    """The token it was made with: it is good for nothing any more once that is not."""


class Sessions:
    """The handlers.

    Args:
        identity: keeps sessions, as tokens.
        clock: says when they end.
        lasts_s: how long a session lasts.
        url: the address under which people reach this server.
    """

    def __init__(self, identity: Identity, clock: Clock, lasts_s: float, url: str) -> None:
        self._identity = identity
        self._clock = clock
        self._lasts_s = lasts_s
        self._url = url
        self._codes = OneUse[SignInCode](clock, CODE_S)

    def link(self, code: SignInCode, url: str | None = None) -> str:
        """Return a link to the page that signs a user in, once, within ten minutes; `url` if not that of people."""
        return f"{url or self._url}/#t={self._codes.give(code)}"

    async def me(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/me`."""
        caller = exchange.caller()
        token = None if caller.token is None else self._identity.find_by_id(caller.token)
        body = MeBody(
            name=caller.name,
            kind=caller.kind,
            rights=sorted(caller.rights),
            canvases=None if caller.canvases is None else sorted(caller.canvases),
            expires_unix_ms=None if token is None else token.token.expires_unix_ms,
            signed_in=caller.token is not None,
        )
        await exchange.answer(200, _encode(body))

    async def make_link(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/links`."""
        caller = exchange.caller()
        exchange.gate.identification.check_required()
        asked = await _body(exchange, _decode_code)
        self._check_unbounded(caller)
        name = asked.user or caller.user
        if name != caller.user:
            caller.check("admin")
        user = self._identity.user(name)
        if user is None or not user.active:
            raise NotFoundError(f"there is no user {name}", hint="Make one: POST /api/v2/users.")
        rights = _session_rights(user) if name != caller.user else _session_rights(user) & caller.rights
        code = SignInCode(name, rights, here_only=False, maker=caller.token)
        body = LinkBody(self.link(code), name, CODE_S)
        await exchange.answer(201, _encode(body))

    async def sign_in(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/sessions`."""
        exchange.gate.identification.check_required()
        exchange.gate.check_failures(exchange.scope, exchange.headers)
        code = self._codes.take((await _body(exchange, _decode_sign_in)).code)
        is_here = exchange.gate.proxies.is_here(exchange.scope)
        user = None if code is None else self._identity.user(code.user)
        if code is None or user is None or not self._is_good(code, is_here=is_here) or not user.active:
            exchange.gate.count_failure(exchange.scope, exchange.headers)
            raise AuthRequiredError("this link was used before, or is too old", hint="Run `canvas-server open`.")
        rights = _session_rights(user) & code.rights
        minted = mint(user.name, rights, self._clock.now_ms(), Terms(purpose="session", lasts_s=self._lasts_s))
        await self._identity.put_token(minted.token)
        body = SessionBody(token=minted.secret, user=user.name, expires_unix_ms=minted.token.expires_unix_ms or 0)
        await exchange.answer(201, _encode(body))

    async def sign_out(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v2/sessions`: the session of the request, and its cookies, are good for nothing more."""
        known = self._known(exchange.caller())
        if known.purpose not in ("session", "cookie"):
            raise ForbiddenError("this token is no session", hint="Revoke it: DELETE /api/v2/tokens/{id}.")
        await self._identity.delete_tokens([known.id])
        await exchange.answer(204, headers=[(b"set-cookie", self._cookie(exchange, "", 0))])

    async def give_cookie(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/sessions/cookie`."""
        known = self._known(exchange.caller())
        terms = Terms(purpose="cookie", canvases=known.canvases, lasts_s=self._left_s(known), parent=known.id)
        minted = mint(known.user, known.rights & _READING, self._clock.now_ms(), terms)
        await self._identity.put_token(minted.token)
        cookie = self._cookie(exchange, minted.secret, round(self._left_s(known)))
        await exchange.answer(204, headers=[(b"set-cookie", cookie)])

    async def give_ticket(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/tickets`."""
        caller = exchange.caller()
        asked = await _body(exchange, _decode_ticket)
        if (asked.refs is None) == (not asked.generate):
            raise InvalidFieldError(
                "a ticket is for canvases or for generation", hint='Send {"refs": [...]} or {"generate": true}.'
            )
        if asked.refs is not None:
            for ref in asked.refs:
                await exchange.gate.check_canvas(caller, CanvasRef(ref), "read")
            holder = caller._replace(rights=caller.rights & _READING, canvases=frozenset(asked.refs))
        else:
            caller.check("generate")
            holder = caller._replace(rights=caller.rights & _GENERATING)
        tickets = exchange.gate.identification.tickets
        await exchange.answer(201, _encode(TicketBody(tickets.give(holder), tickets.lasts_s)))

    def _is_good(self, code: SignInCode, *, is_here: bool) -> bool:
        if code.here_only and not is_here:
            return False
        return code.maker is None or self._identity.find_by_id(code.maker) is not None

    def _check_unbounded(self, caller: Caller) -> None:
        """Refuse a token that ends, or is slow: the session that it made would be neither."""
        known = None if caller.token is None else self._identity.find_by_id(caller.token)
        if known is None or known.token.purpose == "session":
            return
        if known.token.expires_unix_ms is not None or known.token.ops_per_s is not None:
            raise ForbiddenError(
                "a token with a bound makes no session", hint="Use one without, or `canvas-server open`."
            )

    def _known(self, caller: Caller) -> Token:
        known = None if caller.token is None else self._identity.find_by_id(caller.token)
        if known is None or known.token.purpose == "settings":
            raise ForbiddenError("these credentials are no session", hint="Sign in with a link: `canvas-server open`.")
        return known.token

    def _left_s(self, token: Token) -> float:
        """Return how long a cookie may last: no longer than the token it is made with, nor than a session."""
        if token.expires_unix_ms is None:
            return self._lasts_s
        return min(self._lasts_s, (token.expires_unix_ms - self._clock.now_ms()) / 1000)

    def _cookie(self, exchange: Exchange, value: str, age_s: int) -> bytes:
        scheme = exchange.gate.proxies.scheme_of(exchange.scope, exchange.headers)
        secure = "; Secure" if scheme == "https" else ""
        name = exchange.gate.identification.cookie
        return f"{name}={value}; Max-Age={age_s}; Path=/api; HttpOnly; SameSite=Strict{secure}".encode()


def session_code(user: User, *, here_only: bool) -> SignInCode:
    """Return what a link for a user is good for."""
    return SignInCode(user.name, _session_rights(user), here_only)


def _session_rights(user: User) -> frozenset[Right]:
    """Return the rights of a person at the page: what the page spends is held to a quota, whoever it is."""
    return RIGHTS_OF[user.role] - {"unmetered"}


async def _body(exchange: Exchange, decoder: Callable[[bytes], T]) -> T:
    expect_json(exchange.headers)
    return decode(decoder, await exchange.body(BODY_BYTES_MAX))
