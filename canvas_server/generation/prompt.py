"""The prompt that a preset makes: a scene in words, from a configuration and the world it refers to.

Rule: what comes from the game design document is data. It stands between two tags that it cannot close, and the model
is told so. What the world does not have any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from canvas_server.core.game_design import Entry, GameDesign
from canvas_server.core.preset import Configuration, find_obsolete
from canvas_server.core.words import Lang, say


def build_prompt(configuration: Configuration, design: GameDesign, request: str, lang: Lang = "fr") -> str:
    """Return the prompt for a scene.

    Args:
        configuration: of the preset.
        design: the world; whatever it does not have is left out of the data.
        request: what is asked for besides; may be empty.
        lang: of the words between; French is what the authors write.
    """
    tag = say("prompt.data_tag", lang)
    data = "\n".join(_data(configuration, design, lang))
    parts = [say("prompt.task", lang)]
    if data:
        parts.append(f"{say('prompt.data', lang)}\n\n<{tag}>\n{_unclosable(data)}\n</{tag}>")
    if instructions := configuration.instructions.strip():
        parts.append(f"{say('prompt.instructions', lang)}\n{instructions}")
    if wanted := request.strip():
        parts.append(f"{say('prompt.request', lang)}\n{wanted}")
    return "\n\n".join(parts) + "\n"


def _data(configuration: Configuration, design: GameDesign, lang: Lang) -> Iterator[str]:
    """Iterate over the lines that describe the scene and who and what is in it."""
    yield from _scene(configuration, design, lang)
    yield from _entries("prompt.characters", configuration.characters, design.characters, lang)
    yield from _entries("prompt.locations", configuration.locations, design.locations, lang)


def _scene(configuration: Configuration, design: GameDesign, lang: Lang) -> Iterator[str]:
    obsolete = {finding.field for finding in find_obsolete(configuration, design)}
    if configuration.scene_type and "sceneType" not in obsolete:
        yield say("prompt.scene_type", lang, name=configuration.scene_type)
    if configuration.region and "region" not in obsolete:
        yield say("prompt.region", lang, name=configuration.region)
        if description := design.regions[configuration.region].description:
            yield f"  {description}"
    if configuration.sub_location and "subLocation" not in obsolete:
        yield say("prompt.sub_location", lang, name=configuration.sub_location)


def _entries(heading: str, names: Sequence[str], entries: Mapping[str, Entry], lang: Lang) -> Iterator[str]:
    found = [entries[name] for name in dict.fromkeys(names) if name in entries]
    if found:
        yield say(heading, lang)
    for entry in found:
        yield f"- {entry.name}"
        if entry.description:
            yield f"  {entry.description}"
        yield from (f"  {say('prompt.detail', lang, label=label, told=told)}" for label, told in entry.details.items())


def _unclosable(data: str) -> str:
    return data.replace("<", "&lt;")
