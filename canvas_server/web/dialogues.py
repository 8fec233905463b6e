"""Saved dialogues over HTTP: the files that the auto-save writes, too. Last write wins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from canvas_server.core.access import Level
from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.errors import InvalidJsonError, NotFoundError, StorageCorruptError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.json_value import flaw_of
from canvas_server.state.copies import Copies, Copy
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import Headers

_encode: Final = msgspec.json.Encoder().encode
_decode_object: Final = msgspec.json.Decoder(dict[str, object]).decode
_AT_ONCE_BYTES_MAX: Final = 64 * 1024
"""A body up to this is read in less than a ms; a larger one in a thread."""


class SavedBody(msgspec.Struct, frozen=True):
    """What became of a dialogue that was put."""

    id: str
    saved: bool
    """It was written just now, and is on disk."""
    unchanged: bool
    """The same lay there already."""
    version: str
    """The ETag of what is there now."""
    saved_at: str | None
    """When that was written, ISO 8601."""


class Dialogues:
    """The handlers.

    Args:
        copies: where dialogues lie.
        manager: has the rights to the canvases that copies are of.
        dialogue_bytes_max: of one body.
    """

    def __init__(
        self, copies: Copies, manager: CanvasStateManager, *, dialogue_bytes_max: int = 8 * 1024 * 1024
    ) -> None:
        self._copies = copies
        self._manager = manager
        self._dialogue_bytes_max = dialogue_bytes_max

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/dialogues/{id}`."""
        copy = await self._find(exchange, _id_of(exchange), "read")
        if copy is None:
            raise _not_saved()
        if copy.version in _etags(exchange):
            await exchange.answer(304, headers=_etag(copy.version))
            return
        body = await asyncio.to_thread(_encode, {**copy.value, "version": copy.version})
        await exchange.answer(200, body, headers=_etag(copy.version))

    async def put(self, exchange: Exchange) -> None:
        """Serve `PUT /api/v1/dialogues/{id}`; on disk when it answers."""
        name = _id_of(exchange)
        expect_json(exchange.headers)
        force = exchange.flag("force", default=False)
        found = await self._find(exchange, name, "write")
        body = await exchange.body(self._dialogue_bytes_max)
        value = _object(body) if len(body) <= _AT_ONCE_BYTES_MAX else await asyncio.to_thread(_object, body)
        owner = await self._owner_of(name, exchange) if found is None or found.is_of_canvas else found.owner
        receipt = await self._copies.put(name, value, owner=owner, force=force)
        saved = receipt.saved_unix_ms is not None
        answer = SavedBody(name, saved, not saved, receipt.version, receipt.saved_at)
        await exchange.answer(200, _encode(answer), headers=_etag(receipt.version))

    async def _find(self, exchange: Exchange, name: str, level: Level) -> Copy | None:
        """Return what is saved under a name; None if nothing is.

        Raises:
            NotFoundError: it is somebody else's, or of a canvas that whoever asks may not see.
            ForbiddenError: it is of a canvas that whoever asks may only read.
        """
        caller = exchange.caller()
        if caller.canvases is not None and name not in caller.canvases:
            raise _not_saved()
        copy = await self._load(name, level)
        is_mine = copy is not None and copy.owner == caller.user and not copy.is_of_canvas
        try:
            access = await self._manager.access(CanvasRef(name))
        except NotFoundError:
            access = None
        if access is not None and not is_mine:
            if not caller.reaches(CanvasRef(name), access, "read"):
                raise _not_saved()
            caller.check_canvas(CanvasRef(name), access, level)
        owner = None if access is None else access.owner
        # Whoever makes a canvas under the name of another's dialogue does not open that.
        if copy is not None and not caller.everywhere and copy.owner not in (caller.user, owner):
            raise _not_saved()
        return copy

    async def _load(self, name: str, level: Level) -> Copy | None:
        """Return what is saved; what cannot be read is nothing to whoever writes over it, and is kept aside."""
        try:
            return await self._copies.load(name)
        except StorageCorruptError:
            if level == "read":
                raise
            return None

    async def _owner_of(self, name: str, exchange: Exchange) -> str | None:
        try:
            return (await self._manager.access(CanvasRef(name))).owner
        except NotFoundError:
            return exchange.caller().user


def _not_saved() -> NotFoundError:
    return NotFoundError("no dialogue is saved under that id", hint="PUT it first.")


def _object(body: bytes) -> Mapping[str, object]:
    value = decode(_decode_object, body)
    flaw = flaw_of(value)
    if flaw is not None:
        raise InvalidJsonError(
            f"the dialogue cannot be kept as it is: {flaw}",
            hint="Refer to nodes by their ids instead of nesting them, write long numbers as strings, and remove NUL.",
        )
    return value


def _id_of(exchange: Exchange) -> str:
    sent: str = exchange.scope["path_params"]["id"]
    if not is_dialogue_id(sent):
        raise NotFoundError(
            "no dialogue can have that id", hint="Use letters, digits, '.', '_' and '-', and no name of a device."
        )
    return sent


def _etag(version: str) -> Headers:
    return [(b"etag", version.encode()), (b"cache-control", b"no-cache")]


def _etags(exchange: Exchange) -> list[str]:
    sent = exchange.headers.get(b"if-none-match", b"").decode("latin-1")
    return [etag.strip() for etag in sent.split(",")]
