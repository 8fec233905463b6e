"""The canvases themselves: create, read, list, outline, history, presence, close, delete (PROTOCOL section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from canvas_server.core.access import Access
from canvas_server.core.errors import InvalidFieldError, NotFoundError
from canvas_server.core.event import Ack, Conflict, Failure, Presence, Selection
from canvas_server.core.ids import CanvasRef, is_any_op_id, is_canvas_ref
from canvas_server.core.operation import Unit
from canvas_server.core.ports import CanvasKey, CanvasPage, SavedCanvas
from canvas_server.core.splice import utf16_length
from canvas_server.core.text import Text
from canvas_server.core.version import Version, parse_cursor, parse_etag
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.presence import Sighting
from canvas_server.state.room import Room
from canvas_server.web.body import decode, expect_json
from canvas_server.web.canvas_bodies import (
    CanvasInfo,
    CanvasList,
    CanvasState,
    ClosedBody,
    CreateAnywhereBody,
    CreateBody,
    HistoryBody,
    PresenceBody,
    TitleBody,
)
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import Headers
from canvas_server.web.sections import outline_of, past_section, section_of

T = TypeVar("T")

_TEXT: Final = (b"text/markdown", b"text/plain")
_encode: Final = msgspec.json.Encoder().encode


_decode_create: Final = msgspec.json.Decoder(CreateBody).decode
_decode_create_anywhere: Final = msgspec.json.Decoder(CreateAnywhereBody).decode
_decode_title: Final = msgspec.json.Decoder(TitleBody).decode
_decode_presence: Final = msgspec.json.Decoder(PresenceBody).decode


class Canvases:
    """The handlers.

    Args:
        manager: the authority.
        list_limit_max: canvases on one page.
        history_limit_max: events in one answer of the history.
        presence_ttl_ms_max: how long one word about presence may hold.
        presence_bytes_max: how large it may be.
    """

    def __init__(
        self,
        manager: CanvasStateManager,
        *,
        list_limit_max: int = 200,
        history_limit_max: int = 1_000,
        presence_ttl_ms_max: int = 60_000,
        presence_bytes_max: int = 2_048,
    ) -> None:
        self._manager = manager
        self._list_limit_max = list_limit_max
        self._history_limit_max = history_limit_max
        self._presence_ttl_ms_max = presence_ttl_ms_max
        self._presence_bytes_max = presence_bytes_max

    async def create(self, exchange: Exchange) -> None:
        """Serve `PUT /api/v2/canvas/{ref}`."""
        body = await self._create_body(exchange, _decode_create, CreateBody())
        await self._create(exchange, exchange.ref, body.title, body.content)

    async def create_anywhere(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/canvas`."""
        body = await self._create_body(exchange, _decode_create_anywhere, CreateAnywhereBody())
        ref = body.ref or self._manager.ids.name()
        if not is_canvas_ref(ref):
            raise InvalidFieldError(
                "no canvas can have that name", pointer="/ref", hint="Use letters, digits, '.', '_' and '-'."
            )
        await self._create(exchange, CanvasRef(ref), body.title, body.content)

    async def change_title(self, exchange: Exchange) -> None:
        """Serve `PATCH /api/v2/canvas/{ref}`."""
        expect_json(exchange.headers)
        body = decode(_decode_title, await exchange.body(self._manager.settings.limits.body_bytes_max))
        await self._manager.set_title(exchange.ref, body.title, exchange.author().actor)
        saved = await self._manager.saved(exchange.ref)
        await exchange.answer(200, _encode(_info(saved)), headers=version_fields(saved.version))

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}`."""
        room = await self._manager.open(exchange.ref)
        await room.settled()
        at, section = exchange.parameter("at"), exchange.parameter("section")
        version, content = room.canvas.version, None
        if at is not None:
            version, content = await self._manager.past.text_at(room, parse_at(at, "at"))
        if not_modified(exchange, version):
            await exchange.answer(304, headers=version_fields(version))
        elif section is not None:
            await self._answer_section(exchange, room, section, version, content)
        elif _wants_text(exchange):
            text = str(room.canvas.document.text) if content is None else content
            await exchange.answer(200, text.encode(), b"text/markdown; charset=utf-8", version_fields(version))
        else:
            await exchange.answer(
                200, _encode(await self._state(room, exchange.unit, version, content)), headers=version_fields(version)
            )

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas`."""
        limit = _number(exchange, "limit", 50, 1, self._list_limit_max)
        before = _number(exchange, "cursor", 0, 1, 2**62) or None
        caller = exchange.caller()
        page = await self._manager.list_canvases(
            limit, None if before is None else CanvasKey(before), None if caller.everywhere else caller.user
        )
        if caller.canvases is not None:
            shown = tuple(saved for saved in page.canvases if saved.ref in caller.canvases)
            page = CanvasPage(shown, page.next_key)
        cursor = None if page.next_key is None else str(page.next_key)
        await exchange.answer(200, _encode(CanvasList(tuple(map(_info, page.canvases)), cursor)))

    async def outline(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}/outline`."""
        room = await self._manager.open(exchange.ref)
        await room.settled()
        document = room.canvas.document
        version = document.version
        if not_modified(exchange, version):
            await exchange.answer(304, headers=version_fields(version))
            return
        body = await outline_of(exchange.ref, document, exchange.unit)
        await exchange.answer(200, body, headers=version_fields(version))

    async def history(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}/ops`."""
        room = await self._manager.open(exchange.ref)
        await room.settled()
        limit = _number(exchange, "limit", 100, 1, self._history_limit_max)
        after = exchange.parameter("after")
        start = 0 if after is None else parse_at(after, "after")
        start_seq = start if isinstance(start, int) else start.seq
        current = room.canvas.version
        if start_seq > current.seq:
            raise NotFoundError("that version is not in the history", hint="Use a version of this canvas.")
        events = await self._manager.past.history(room, start_seq, limit, exchange.unit)
        if isinstance(start, Version):
            self._check_follows(room, start, events)
        more = start_seq + len(events) < current.seq
        body = HistoryBody(exchange.ref, current.etag, events, start_seq + len(events) if more else None)
        await exchange.answer(200, _encode(body))

    async def outcome(self, exchange: Exchange) -> None:
        """Serve `GET /api/v2/canvas/{ref}/ops/{op_id}`."""
        op_id: str = exchange.scope["path_params"]["op_id"]
        if not is_any_op_id(op_id):
            raise NotFoundError("no operation can have that name", hint="Use the op_id that was sent.")
        room = await self._manager.open(exchange.ref)
        await room.settled()
        event: Ack | Conflict | Failure | None = room.outcome_of(op_id, exchange.unit)
        event = event or await self._manager.past.find_outcome(room, op_id, exchange.unit)
        if event is None:
            raise NotFoundError(f"operation {op_id!r} was never seen here", hint="Send it, and listen for its outcome.")
        await exchange.answer(200, _encode(event))

    async def presence(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/canvas/{ref}/presence`."""
        expect_json(exchange.headers)
        body = decode(_decode_presence, await exchange.body(self._presence_bytes_max))
        if body.ttl_ms > self._presence_ttl_ms_max:
            raise InvalidFieldError(
                f"presence holds for at most {self._presence_ttl_ms_max} ms",
                pointer="/ttl_ms",
                hint="Say it again in time.",
            )
        author, unit = exchange.author(), exchange.unit
        if exchange.gate.drops_presence(exchange.caller(), author.client_id):
            await exchange.answer(204)
            return
        room = await self._manager.open(exchange.ref)
        await room.settled()
        text = room.canvas.document.text
        cursor = None if body.cursor is None else _place(text, body.cursor, unit, "/cursor")
        selection = None
        if body.selection is not None:
            start = _place(text, body.selection.start, unit, "/selection/from")
            selection = Selection(start, _place(text, body.selection.end, unit, "/selection/to"))
        presence = Presence(
            canvas=exchange.ref,
            client_id=author.client_id,
            actor=author.actor,
            kind=author.kind,
            name=body.name,
            section=body.section,
            cursor=cursor,
            selection=selection,
            ttl_ms=body.ttl_ms,
        )
        room.put_presence(Sighting(presence, _widen(presence, text)))
        await exchange.answer(204)

    async def close(self, exchange: Exchange) -> None:
        """Serve `POST /api/v2/canvas/{ref}:close`."""
        version = await self._manager.close(exchange.ref)
        await exchange.answer(200, _encode(ClosedBody(exchange.ref, version.etag)), headers=version_fields(version))

    async def delete(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v2/canvas/{ref}`."""
        await self._manager.delete(exchange.ref, exchange.author().actor)
        await exchange.answer(204)

    async def _create_body(self, exchange: Exchange, decoder: Callable[[bytes], T], empty: T) -> T:
        limits = self._manager.settings.limits
        # JSON may escape every character of the text in six.
        body = await exchange.body(limits.canvas_bytes_max * 6 + limits.body_bytes_max)
        if not body:
            return empty
        expect_json(exchange.headers)
        return decode(decoder, body)

    async def _create(self, exchange: Exchange, ref: CanvasRef, title: str | None, content: str) -> None:
        if "\0" in content:
            raise InvalidFieldError("content holds a NUL character", pointer="/content", hint="Remove U+0000.")
        caller, unit = exchange.caller(), exchange.unit
        if caller.canvases is not None and ref not in caller.canvases:
            caller.check_unbound()
        saved, content = await self._manager.create(ref, title or ref, content, Access(owner=caller.user))
        state = _state(saved, saved.version, unit, saved.version, content)
        location = (b"location", f"/api/v2/canvas/{ref}".encode())
        await exchange.answer(201, _encode(state), headers=[location, *version_fields(saved.version)])

    async def _state(self, room: Room, unit: Unit, version: Version, content: str | None) -> CanvasState:
        """Return a canvas as JSON shows it; the newest text unless `content` is a past one."""
        text = str(room.canvas.document.text) if content is None else content
        saved = await self._manager.saved(room.canvas.ref)
        return _state(saved, version, unit, room.checkpointer.saved, text)

    async def _answer_section(
        self, exchange: Exchange, room: Room, heading_id: str, version: Version, content: str | None
    ) -> None:
        """Answer with one section; of the newest text unless `content` is a past one."""
        ref, unit = exchange.ref, exchange.unit
        if content is None:
            state = section_of(ref, room.canvas.document, heading_id, unit)
        else:
            state = await past_section(ref, content, version, heading_id, unit)
        if _wants_text(exchange):
            await exchange.answer(200, state.content.encode(), b"text/markdown; charset=utf-8", version_fields(version))
        else:
            await exchange.answer(200, _encode(state), headers=version_fields(version))

    def _check_follows(self, room: Room, start: Version, events: Sequence[Ack]) -> None:
        known = events[0].base_version if events else room.canvas.version.etag
        if known != start.etag:
            raise NotFoundError("that version is not in the history", hint="Use a version of this canvas.")


def parse_at(text: str, name: str) -> int | Version:
    """Read a version as a client may write it in a URL: a count of operations, an ETag, or `<seq>-<chain>`.

    Raises:
        InvalidFieldError: it is none of these.
    """
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    version = parse_cursor(text) or parse_etag(text)
    if version is None:
        raise InvalidFieldError(
            f"{name} is a version or a count of operations",
            pointer=f"/{name}",
            hint="Use a server_version you were told.",
        )
    return version


def _info(saved: SavedCanvas) -> CanvasInfo:
    return CanvasInfo(
        ref=saved.ref,
        title=saved.title,
        version=saved.version.etag,
        size_bytes=saved.size_bytes,
        created_unix_ms=saved.created_unix_ms,
        updated_unix_ms=saved.updated_unix_ms,
    )


def _state(saved: SavedCanvas, version: Version, unit: Unit, durable: Version, content: str) -> CanvasState:
    encoded = content.encode()
    return CanvasState(
        ref=saved.ref,
        title=saved.title,
        version=version.etag,
        checkpoint_version=durable.etag,
        size_bytes=len(encoded),
        created_unix_ms=saved.created_unix_ms,
        updated_unix_ms=saved.updated_unix_ms,
        unit=unit,
        length=len(content) if unit == "codepoint" else utf16_length(content),
        content=content,
    )


def _place(text: Text, offset: int, unit: Unit, pointer: str) -> int:
    """Return where somebody is, in code points.

    What they saw may be longer than the text is by now, and hold other signs: the nearest place in it is meant.
    """
    if offset < 0:
        raise InvalidFieldError("an offset is 0 or more", pointer=pointer, hint="Count from the start of the text.")
    if unit == "codepoint":
        return min(offset, len(text))
    offset = min(offset, text.utf16_length)
    found = text.from_utf16(offset)
    return found if found is not None else text.from_utf16(offset - 1) or 0


def _widen(presence: Presence, text: Text) -> Presence:
    """Return the same presence with offsets in UTF-16 code units."""
    selection = presence.selection
    if selection is not None:
        selection = Selection(text.to_utf16(selection.start), text.to_utf16(selection.end))
    cursor = None if presence.cursor is None else text.to_utf16(presence.cursor)
    return msgspec.structs.replace(presence, cursor=cursor, selection=selection)


def version_fields(version: Version) -> Headers:
    """Return the header fields of an answer that depends on the version alone."""
    return [(b"etag", version.etag.encode()), (b"cache-control", b"no-cache"), (b"vary", b"Accept")]


def not_modified(exchange: Exchange, version: Version) -> bool:
    """Tell whether the client says that it has this version."""
    wanted = exchange.headers.get(b"if-none-match", b"").decode("latin-1")
    return wanted.strip() == "*" or any(parse_etag(etag) == version for etag in wanted.split(","))


def _wants_text(exchange: Exchange) -> bool:
    accept = exchange.headers.get(b"accept", b"").lower()
    return any(kind in accept for kind in _TEXT) and b"application/json" not in accept


def _number(exchange: Exchange, name: str, default: int, low: int, high: int) -> int:
    value = exchange.parameter(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and low <= int(value) <= high):
        raise InvalidFieldError(
            f"{name} is a number from {low} to {high}", pointer=f"/{name}", hint=f"Say {name}={high}."
        )
    return int(value)
