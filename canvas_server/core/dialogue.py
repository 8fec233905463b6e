"""Saved dialogues: any JSON object under a name that is also that of a canvas, and copies of canvases beside them.

Rule: a name must be good on every file system, so that a folder of them can be copied anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from canvas_server.core.errors import ExistsError
from canvas_server.core.ids import is_canvas_ref

STAMPS: Final = frozenset({"saved_at", "saved_for", "version"})
"""Fields that the server writes itself."""

_LABELS: Final = STAMPS | {"id", "title"}
_PARTS: Final = ("nodes", "content")
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(10))})
"""Windows knows no files of these names, whatever follows after a dot."""


class EmptyOverContentError(ExistsError):
    """Something is saved under that name, and what was sent to replace it is empty."""

    code = "EMPTY_OVER_CONTENT"


class OfAnotherError(ExistsError):
    """Somebody else put a dialogue under that name."""

    code = "DIALOGUE_OF_ANOTHER"


def is_dialogue_id(text: str) -> bool:
    """Tell whether `text` can name a saved dialogue: as a canvas, but for the names of Windows' devices."""
    return is_canvas_ref(text) and text.partition(".")[0].lower() not in _DEVICES


def without_stamps(value: Mapping[str, object]) -> dict[str, object]:
    """Return an object without the fields that the server writes itself."""
    return {name: item for name, item in value.items() if name not in STAMPS}


def is_empty(value: Mapping[str, object]) -> bool:
    """Tell whether there is nothing in a dialogue that anybody could miss.

    So it is if its `nodes` and its `content`, whichever it has, are empty or blank; and where it has neither, if it has
    no other field than a label.
    """
    parts = [value[name] for name in _PARTS if name in value]
    if not parts:
        return value.keys() <= _LABELS
    return not any(part.strip() if isinstance(part, str) else part for part in parts)
