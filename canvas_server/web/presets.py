"""Presets over HTTP: list, create, read with warnings, replace, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from canvas_server.core.errors import InvalidFieldError, NotFoundError
from canvas_server.core.preset import Configuration, Icon, Metadata, Name, Preset, PresetId, is_preset_id
from canvas_server.core.words import Lang, choose_language
from canvas_server.generation.presets import Draft, Presets, Validation
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import Headers

_encode: Final = msgspec.json.Encoder().encode
_IDS_ONLY: Final = ("/configuration/characters", "/configuration/locations")


class PresetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates or replaces a preset."""

    id: str | None = None
    """That of the path; nothing else can stand here."""
    name: Name
    icon: Icon = ""
    metadata: Metadata | None = None
    """Taken so that what was read can be sent back; the server writes its own."""
    configuration: Configuration


class CheckedPreset(Preset, frozen=True, kw_only=True):
    """A preset, and what the world says to it."""

    validation: Validation


class PresetList(msgspec.Struct, frozen=True):
    """All presets, by name."""

    presets: Sequence[Preset]
    damaged: Sequence[str]
    """Ids of those whose files cannot be read."""


_decode_preset: Final = msgspec.json.Decoder(PresetBody).decode


class PresetPages:
    """The handlers.

    Args:
        presets: all there are.
        preset_bytes_max: of one body.
    """

    def __init__(self, presets: Presets, *, preset_bytes_max: int = 64 * 1024) -> None:
        self._presets = presets
        self._preset_bytes_max = preset_bytes_max

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/presets`."""
        presets, damaged = await self._presets.list()
        await exchange.answer(200, _encode(PresetList(presets, damaged)))

    async def create(self, exchange: Exchange) -> None:
        """Serve `POST /api/v1/presets`."""
        body = await self._body(exchange)
        if body.id is not None:
            raise InvalidFieldError(
                "the server names a new preset", pointer="/id", hint="Leave it out, or PUT to the id of your choice."
            )
        preset = await self._presets.create(_draft(body))
        await self._answer(exchange, 201, preset, [_location(preset)])

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/presets/{id}`."""
        await self._answer(exchange, 200, await self._presets.load(_id_of(exchange)))

    async def replace(self, exchange: Exchange) -> None:
        """Serve `PUT /api/v1/presets/{id}`."""
        preset_id = _id_of(exchange)
        body = await self._body(exchange)
        if body.id not in (None, preset_id):
            raise InvalidFieldError("the id is not that of the path", pointer="/id", hint="Leave it out.")
        preset, is_new = await self._presets.replace(preset_id, _draft(body))
        await self._answer(exchange, 201 if is_new else 200, preset, [_location(preset)] if is_new else [])

    async def delete(self, exchange: Exchange) -> None:
        """Serve `DELETE /api/v1/presets/{id}`."""
        preset_id = _id_of(exchange)
        await self._presets.delete(preset_id)
        await exchange.answer(204)

    async def _body(self, exchange: Exchange) -> PresetBody:
        expect_json(exchange.headers)
        sent = await exchange.body(self._preset_bytes_max)
        try:
            return decode(_decode_preset, sent)
        except InvalidFieldError as error:
            if error.pointer.startswith(_IDS_ONLY):
                hint = "Send ids only, never whole objects: what they name stays in the game design document."
                raise InvalidFieldError(str(error), pointer=error.pointer, hint=hint) from error
            raise

    async def _answer(self, exchange: Exchange, status: int, preset: Preset, headers: Headers | None = None) -> None:
        validation = await self._presets.validate(preset, language_of(exchange))
        checked = CheckedPreset(**msgspec.structs.asdict(preset), validation=validation)
        fields = [(b"vary", b"Accept-Language"), *(headers or ())]
        await exchange.answer(status, _encode(checked), headers=fields)


def language_of(exchange: Exchange) -> Lang:
    """Return the language in which whoever asks wants to be told."""
    return choose_language(exchange.headers.get(b"accept-language", b"").decode("latin-1"))


def _id_of(exchange: Exchange) -> PresetId:
    sent: str = exchange.scope["path_params"]["id"]
    if not is_preset_id(sent):
        raise NotFoundError(
            "no preset can have that id", hint="Use a UUID in lower case, as GET /api/v1/presets lists it."
        )
    return PresetId(sent)


def _draft(body: PresetBody) -> Draft:
    return Draft(body.name, body.icon, body.configuration)


def _location(preset: Preset) -> tuple[bytes, bytes]:
    return b"location", f"/api/v1/presets/{preset.id}".encode()
