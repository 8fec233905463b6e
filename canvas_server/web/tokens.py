"""Tokens over HTTP: for oneself, and for anybody by an admin."""

from __future__ import annotations

from typing import Final

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
        terms = Terms(
            label=body.label,
            canvases=None if body.canvases is None else frozenset(body.canvases),
            lasts_s=body.expires_in_s,
            ops_per_s=body.ops_per_s,
        )
        minted = mint(name, rights, self._clock.now_ms(), terms)
        await self._identity.put_token(minted.token)
        made = MadeTokenBody(token=minted.secret, about=token_body(minted.token))
        await exchange.answer(201, _encode(made), headers=[(b"cache-control", b"no-store")])

    async def revoke(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v2/tokens/{id}`: it is good for nothing more, and what was opened with it ends."""
        token = self._find(exchange.caller(), exchange.scope["path_params"]["id"])
        await self._identity.delete_tokens([token.id])
        await exchange.answer(204)

    def _find(self, caller: Caller, name: str) -> Token:
        tokens = {token.id: token for token in self._identity.tokens}
        token = tokens.get(TokenId(name)) if is_token_id(name) else None
        if token is None or (token.user != caller.user and not caller.admin):
            raise NotFoundError("there is no token of that id", hint="See GET /api/v2/tokens.")
        return token
