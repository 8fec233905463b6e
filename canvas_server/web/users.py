"""Users over HTTP, for admins."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from canvas_server.core.errors import ExistsError, InvalidFieldError, NotFoundError
from canvas_server.core.identity import User, is_last_admin, is_user_name
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.identity_bodies import NewUserBody, UserChangeBody, UserList, user_body

_BODY_BYTES_MAX: Final = 4 * 1024

_encode: Final = msgspec.json.Encoder().encode
_decode_new: Final = msgspec.json.Decoder(NewUserBody).decode
_decode_change: Final = msgspec.json.Decoder(UserChangeBody).decode


class UserExistsError(ExistsError):
    """There is a user of that name."""

    code = "USER_EXISTS"


class LastAdminError(InvalidFieldError):
    """Without this user nobody could change anything any more."""

    code = "LAST_ADMIN"


class Users:
    """The handlers.

    Args:
        identity: has the users.
        clock: says when one was made.
    """

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._identity = identity
        self._clock = clock
        # One change at a time: two admins who take each other away must not both find the other one still there.
        self._turn = asyncio.Lock()

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/users`."""
        users = [user_body(user, settled=self._identity.is_settled(user.name)) for user in self._identity.users]
        await exchange.answer(200, _encode(UserList(users)))

    async def create(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/users`."""
        expect_json(exchange.headers)
        body = decode(_decode_new, await exchange.body(_BODY_BYTES_MAX))
        user = User(name=body.name, role=body.role, created_unix_ms=self._clock.now_ms())
        async with self._turn:
            if self._identity.user(body.name) is not None:
                raise UserExistsError(f"there is a user {body.name}", hint="Choose another name, or PATCH that user.")
            await self._identity.put_user(user)
        await exchange.answer(201, _encode(user_body(user, settled=False)))

    async def change(self, exchange: Exchange) -> None:
        """Serve `PATCH /api/v2/users/{name}`."""
        self._changeable(exchange)
        expect_json(exchange.headers)
        body = decode(_decode_change, await exchange.body(_BODY_BYTES_MAX))
        async with self._turn:
            user = self._changeable(exchange)
            changed = msgspec.structs.replace(
                user,
                role=user.role if body.role is None else body.role,
                active=user.active if body.active is None else body.active,
            )
            self._check_admin_is_left(user, changed)
            await self._identity.put_user(changed)
        await exchange.answer(200, _encode(user_body(changed, settled=False)))

    async def delete(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v2/users/{name}`: with all tokens; canvases stay, an admin's from then on."""
        async with self._turn:
            user = self._changeable(exchange)
            self._check_admin_is_left(user, None)
            await self._identity.delete_user(user.name)
        await exchange.answer(204)

    def _changeable(self, exchange: Exchange) -> User:
        name: str = exchange.scope["path_params"]["name"]
        user = self._identity.user(name) if is_user_name(name) else None
        if user is None:
            raise NotFoundError("there is no user of that name", hint="See GET /api/v2/users.")
        if self._identity.is_settled(name):
            raise InvalidFieldError(f"the settings name {name}", hint="Change the settings, then restart the server.")
        return user

    def _check_admin_is_left(self, user: User, changed: User | None) -> None:
        """Refuse to take the last admin away."""
        if changed is not None and changed.active and changed.role == "admin":
            return
        if is_last_admin(user, self._identity.users):
            raise LastAdminError(f"{user.name} is the last admin", hint="Make somebody else an admin first.")
