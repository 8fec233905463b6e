"""Sections by the name that people give them: a title, titles down to it, or the id of its heading.

`Ideas`, `Notes > Ideas` and `#ideas` may all name the same section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from canvas_server.cli.endings import NotDoneError

if TYPE_CHECKING:
    from canvas_server.core.outline import Outline

NAME_HELP: Final = "its title (`Ideas`), titles down to it (`Notes > Ideas`) or id (`#ideas`)."
_CANDIDATES: Final = 3


def heading_of(name: str) -> dict[str, object]:
    """Return the target of an operation that names a section."""
    if name.startswith("#") and not name.startswith(("# ", "##")):
        return {"type": "heading", "heading": {"heading_id": name[1:]}}
    return {"type": "heading", "heading": {"path": _path(name)}}


def section_of(text: str, name: str) -> str:
    """Return a section of a text: its heading and all that is under it.

    Raises:
        NotDoneError: there is none of that name, or several.
    """
    from canvas_server.core.outline import Outline  # noqa: PLC0415 - it takes long to import
    from canvas_server.core.text import Text  # noqa: PLC0415 - as above

    outline = Outline.parse(Text(text), None)
    found = [index for index in range(len(outline)) if _is_named(outline, index, name)]
    if not found:
        raise NotDoneError(f"there is no section {name}", hint=_near(outline, name))
    if len(found) > 1:
        ids = ", ".join(f"'#{outline.id(index)}'" for index in found)
        raise NotDoneError(f"there are {len(found)} sections {name}", hint=f"Name one by its id: {ids}")
    return text[outline.heading(found[0]).start : outline.section_end(found[0])]


def _is_named(outline: Outline[None], index: int, name: str) -> bool:
    if name == f"#{outline.id(index)}":
        return True
    path = _path(name)
    return outline.path(index)[-len(path) :] == path


def _path(name: str) -> tuple[str, ...]:
    titles = (" ".join(title.lstrip("#").split()) for title in name.split(" > "))
    return tuple(titles)


def _near(outline: Outline[None], name: str) -> str:
    from rapidfuzz import process  # noqa: PLC0415 - as above

    titles = {outline.heading(index).title: None for index in range(len(outline))}
    if not titles:
        return "It has no headings."
    near = process.extract(name, list(titles), limit=_CANDIDATES)
    return f"There is {', '.join(repr(title) for title, _score, _index in near)}."
