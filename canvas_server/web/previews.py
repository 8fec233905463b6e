"""The preview of a canvas: `GET /api/v2/canvas/{ref}/preview`."""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.version import Version
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.web.canvases import not_modified, parse_at, version_fields
from canvas_server.web.exchange import Exchange
from canvas_server.web.preview.press import Manuscript, Press

_encode: Final = msgspec.json.Encoder().encode


class Previews:
    """The handler.

    Args:
        manager: the authority.
        press: renders.
    """

    def __init__(self, manager: CanvasStateManager, press: Press) -> None:
        self._manager = manager
        self._press = press

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}/preview`; refuses as `Press.sheet` does."""
        room = await self._manager.open(exchange.ref)
        await room.settled()
        at = exchange.parameter("at")
        past = None if at is None else await self._past(room, at)
        version = room.canvas.version if past is None else past.version
        if not_modified(exchange, version):
            await exchange.answer(304, headers=version_fields(version))
            return

        async def take() -> Manuscript:
            return past or await _newest(room)

        sheet = await self._press.sheet(room.canvas.key, take, is_newest=version == room.canvas.version)
        body = _encoded(exchange.ref, sheet.version, sheet.html_json)
        await exchange.answer(200, body, headers=version_fields(sheet.version))

    async def _past(self, room: Room, at: str) -> Manuscript:
        return Manuscript(*await self._manager.past.text_at(room, parse_at(at, "at")))


async def _newest(room: Room) -> Manuscript:
    await room.settled()
    document = room.canvas.document
    return Manuscript(document.version, str(document.text))


def _encoded(ref: str, version: Version, html_json: bytes) -> bytes:
    """Return a `PreviewBody` as JSON; its HTML is JSON already."""
    return _encode({"ref": ref, "version": version.etag, "html": msgspec.Raw(html_json)})
