"""Presets: kept as files, changed one at a time, held against the world only when they are read.

Rule: a preset that refers to what is no longer there is a preset with warnings, never an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from canvas_server.core.errors import InvalidRequestError, NotFoundError, StorageCorruptError
from canvas_server.core.job_ports import JsonFiles
from canvas_server.core.moment import iso_from
from canvas_server.core.ports import Clock, Ids
from canvas_server.core.preset import Configuration, Metadata, Preset, PresetId, find_obsolete, is_preset_id
from canvas_server.core.words import Lang, say
from canvas_server.generation.gdd import GameDesignFile, Reading
from canvas_server.generation.prompt import build_prompt

log = logging.getLogger(__name__)


class PresetsFullError(InvalidRequestError):
    """There are as many presets as there may be."""

    code = "PRESETS_FULL"


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a preset that whoever loads it should know."""

    code: str
    field: str
    """Of the configuration; `""` where it is not about one."""
    id: str
    message: str
    """In the reader's language."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What the world says to a preset."""

    valid: bool
    """Whether everything it refers to is known to be there, or could not be checked."""
    warnings: tuple[Warned, ...] = ()


class Draft(NamedTuple):
    """What somebody wants a preset to be."""

    name: str
    icon: str
    configuration: Configuration


class Presets:
    """All presets of a server.

    Args:
        files: where they are kept, by their ids.
        design_file: the world they refer to.
        clock: tells when they were made and changed.
        ids: names them.
        presets_max: how many there may be.
    """

    def __init__(
        self, files: JsonFiles, design_file: GameDesignFile, clock: Clock, ids: Ids, *, presets_max: int = 1_000
    ) -> None:
        self._files = files
        self._design_file = design_file
        self._clock = clock
        self._ids = ids
        self._presets_max = presets_max
        self._changing = asyncio.Lock()

    async def list(self) -> tuple[Sequence[Preset], Sequence[PresetId]]:
        """Return all presets by name, and the ids of those that cannot be read.

        Raises:
            StorageUnavailableError: the folder cannot be read now.
        """
        presets: list[Preset] = []
        damaged: list[PresetId] = []
        for name in await self._files.names():
            try:
                presets.append(await self.load(PresetId(name)))
            except StorageCorruptError as error:
                log.warning("preset damaged", extra={"preset": name, "why": str(error)})
                damaged.append(PresetId(name))
            except NotFoundError:
                continue  # removed since the names were read
        return sorted(presets, key=lambda preset: (preset.name.casefold(), preset.id)), damaged

    async def load(self, preset_id: PresetId) -> Preset:
        """Return a preset.

        Raises:
            NotFoundError: there is none.
            StorageCorruptError: its file cannot be read, or is no preset.
            StorageUnavailableError: it cannot be read now.
        """
        value = await self._files.load(preset_id) if is_preset_id(preset_id) else None
        if value is None:
            raise NotFoundError("there is no such preset", hint="List them with GET /api/v1/presets.")
        return _preset_of(preset_id, value)

    async def create(self, draft: Draft) -> Preset:
        """Store a new preset under an id of the server's choice.

        Raises:
            PresetsFullError: there are as many as there may be.
            StorageUnavailableError: it cannot be written.
        """
        async with self._changing:
            return await self._create(PresetId(self._ids.name()), draft)

    async def replace(self, preset_id: PresetId, draft: Draft) -> tuple[Preset, bool]:
        """Put a preset under an id; return it, and whether there was none before.

        Raises:
            PresetsFullError, StorageUnavailableError: as of `create`.
        """
        async with self._changing:
            try:
                before = await self.load(preset_id)
            except NotFoundError:
                return await self._create(preset_id, draft), True
            except StorageCorruptError:
                return await self._write(preset_id, draft, None), False
            return await self._write(preset_id, draft, before.metadata.created), False

    async def delete(self, preset_id: PresetId) -> None:
        """Remove a preset, readable or not.

        Raises:
            NotFoundError: there is none.
            StorageUnavailableError: it cannot be removed now.
        """
        async with self._changing:
            if not await self._files.delete(preset_id):
                raise NotFoundError("there is no such preset", hint="List them with GET /api/v1/presets.")
        log.info("preset deleted", extra={"preset": preset_id})

    async def validate(self, preset: Preset, lang: Lang) -> Validation:
        """Hold a preset against the world as it is now; never fails."""
        return _validation(preset.configuration, await self._design_file.load(), lang)

    async def prompt_for(self, preset_id: PresetId, request: str, lang: Lang) -> tuple[str, Validation]:
        """Return the prompt that a preset makes of a request, and what there is to warn about.

        Raises:
            NotFoundError, StorageCorruptError, StorageUnavailableError: as of `load`.
        """
        preset = await self.load(preset_id)
        reading = await self._design_file.load()
        prompt = build_prompt(preset.configuration, reading.design, request, lang)
        return prompt, _validation(preset.configuration, reading, lang)

    async def _create(self, preset_id: PresetId, draft: Draft) -> Preset:
        if len(await self._files.names()) >= self._presets_max:
            raise PresetsFullError(f"there may be {self._presets_max} presets", hint="Delete one first.")
        return await self._write(preset_id, draft, None)

    async def _write(self, preset_id: PresetId, draft: Draft, created: str | None) -> Preset:
        now = iso_from(self._clock.now_ms())
        preset = Preset(
            id=preset_id,
            name=draft.name,
            icon=draft.icon,
            metadata=Metadata(created=created or now, modified=now),
            configuration=draft.configuration,
        )
        await self._files.save(preset_id, msgspec.to_builtins(preset))
        log.info("preset saved", extra={"preset": preset_id})
        return preset


def _preset_of(preset_id: PresetId, value: Mapping[str, object]) -> Preset:
    """Return the preset that a file holds; its name says which it is, whatever stands in it."""
    try:
        return msgspec.convert({**value, "id": preset_id}, Preset)
    except msgspec.ValidationError as error:
        raise StorageCorruptError(
            f"{preset_id}.json is no preset: {error}", hint="Correct the file, or put the preset again."
        ) from error


def _validation(configuration: Configuration, reading: Reading, lang: Lang) -> Validation:
    if reading.trouble is not None:
        message = say(reading.trouble, lang, id=reading.file)
        return Validation(
            valid=True, warnings=(Warned(code=reading.trouble, field="", id=reading.file, message=message),)
        )
    warnings = tuple(
        Warned(code=found.code, field=found.field, id=found.id, message=say(found.code, lang, id=found.id))
        for found in find_obsolete(configuration, reading.design)
    )
    return Validation(valid=not warnings, warnings=warnings)
