"""The rights to a canvas over HTTP: told to whoever may read it, changed by whoever owns it."""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.access import Access, Level
from canvas_server.core.errors import InvalidFieldError
from canvas_server.state.identity import Identity
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.identity_bodies import AccessBody, AccessState
from canvas_server.web.streams import Streams

_BODY_BYTES_MAX: Final = 16 * 1024

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(AccessBody).decode


class Sharing:
    """The handlers.

    Args:
        manager: has the canvases.
        identity: has the users.
        streams: are looked through when somebody lost a right.
    """

    def __init__(self, manager: CanvasStateManager, identity: Identity, streams: Streams) -> None:
        self._manager = manager
        self._identity = identity
        self._streams = streams

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}/access`."""
        await self._answer(exchange, await self._manager.access(exchange.ref))

    async def change(self, exchange: Exchange) -> None:
        """Serve `PUT /api/v2/canvas/{ref}/access`; in force, and durable, when it answers."""
        expect_json(exchange.headers)
        body = decode(_decode, await exchange.body(_BODY_BYTES_MAX))
        owner = body.owner or (await self._manager.access(exchange.ref)).owner
        for name in (*body.shared_with, *(() if body.owner is None else (body.owner,))):
            if self._identity.user(name) is None:
                raise InvalidFieldError(
                    f"there is no user {name}", pointer=f"/shared_with/{name}", hint="Ask an admin to make that user."
                )
        access = msgspec.convert({"owner": owner, "link": body.link, "shared": {**body.shared_with}}, Access)
        await self._manager.set_access(exchange.ref, access)
        self._streams.review()
        await self._answer(exchange, access)

    async def _answer(self, exchange: Exchange, access: Access) -> None:
        caller = exchange.caller()
        levels: tuple[Level, ...] = ("own", "write")
        level: Level = next((one for one in levels if caller.reaches(exchange.ref, access, one)), "read")
        state = AccessState(
            ref=exchange.ref,
            level=level,
            owner=access.owner,
            link=access.link,
            shared_with=access.shared if level == "own" else None,
        )
        await exchange.answer(200, _encode(state))
