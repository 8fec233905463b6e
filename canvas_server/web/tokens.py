"""Tokens over HTTP: for oneself, and for anybody by an admin."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from canvas_server.core.errors import NotFoundError
from canvas_server.core.identity import Token, TokenId, is_token_id
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.state.minting import Terms, mint, rights_for
from canvas_server.web.auth import Caller
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.identity_bodies import MadeTokenBody, NewTokenBody, TokenList, token_body
from canvas_server.web.problems import ForbiddenError

N = TypeVar("N", int, float)

_BODY_BYTES_MAX: Final = 64 * 1024

_encode: Final = msgspec.json.Encoder().encode
_decode_new: Final = msgspec.json.Decoder(NewTokenBody).decode


class Tokens:
    """The handlers.

    Args:
        identity: keeps tokens.
        clock: says when one was made.
    """

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._identity = identity
        self._clock = clock

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/tokens`: one's own; with `all` those of everybody, for an admin."""
        caller = exchange.caller()
        everybodys = exchange.flag("all", default=False)
        if everybodys:
            caller.check("admin")
        tokens = [token_body(token) for token in self._identity.tokens if everybodys or token.user == caller.user]
        await exchange.answer(200, _encode(TokenList(tokens)))

    async def create(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/tokens`; what was made is told once."""
        caller = exchange.caller()
        caller.check_unbound()
        exchange.gate.identification.check_required()
        expect_json(exchange.headers)
        body = decode(_decode_new, await exchange.body(_BODY_BYTES_MAX))
        name = body.user or caller.user
        if name != caller.user:
            caller.check("admin")
        user = self._identity.user(name)
        if user is None:
            raise NotFoundError(f"there is no user {name}", hint="Make one: POST /api/v2/users.")
        rights = rights_for(user.role, body.rights)
        if name == caller.user and body.rights is None:
            rights &= caller.rights
        if name == caller.user and not rights <= caller.rights:
            raise ForbiddenError("a token may not do more than the one that makes it", hint="Ask for fewer rights.")
        now_unix_ms = self._clock.now_ms()
        terms = Terms(
            label=body.label,
            canvases=None if body.canvases is None else frozenset(body.canvases),
            lasts_s=body.expires_in_s,
            ops_per_s=body.ops_per_s,
        )
        minted = mint(name, rights, now_unix_ms, self._within(caller, name, terms, now_unix_ms))
        await self._identity.put_token(minted.token)
        made = MadeTokenBody(token=minted.secret, about=token_body(minted.token))
        await exchange.answer(201, _encode(made))

    async def revoke(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v2/tokens/{id}`: it is good for nothing more, and what was opened with it ends."""
        token = self._find(exchange.caller(), exchange.scope["path_params"]["id"])
        await self._identity.delete_tokens([token.id])
        await exchange.answer(204)

    def _within(self, caller: Caller, user: str, terms: Terms, now_unix_ms: int) -> Terms:
        """Return terms that go no further than the token they are asked with; a session is a person, who may."""
        known = None if caller.token is None else self._identity.find_by_id(caller.token)
        if known is None or known.token.purpose == "session":
            return terms
        maker = known.token
        left_s = None if maker.expires_unix_ms is None else (maker.expires_unix_ms - now_unix_ms) / 1000
        return terms._replace(
            lasts_s=_least(terms.lasts_s, left_s),
            ops_per_s=_least(terms.ops_per_s, maker.ops_per_s),
            parent=maker.id if maker.purpose == "token" and user == caller.user else None,
        )

    def _find(self, caller: Caller, name: str) -> Token:
        tokens = {token.id: token for token in self._identity.tokens}
        token = tokens.get(TokenId(name)) if is_token_id(name) else None
        if token is None or (token.user != caller.user and not caller.admin):
            raise NotFoundError("there is no token of that id", hint="See GET /api/v2/tokens.")
        return token


def _least(one: N | None, other: N | None) -> N | None:
    """Return the lower of two bounds; None is no bound."""
    return min((bound for bound in (one, other) if bound is not None), default=None)
