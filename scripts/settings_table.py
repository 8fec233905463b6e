"""Print the table of all settings, in Markdown, as the manual contains it.

    python -m scripts.settings_table

It is made from the types of the settings, so the manual cannot tell another default than the code.
"""

from __future__ import annotations

from collections.abc import Iterator

from canvas_server.config import Secret
from canvas_server.config.schema import Key, actor_keys, keys

HEADER = ("setting", "default", "takes", "meaning")


def table() -> str:
    """Return the table, one line per setting in the order of declaration, with a final newline."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _line(HEADER)
    yield _line(("---",) * len(HEADER))
    for key in (*keys().values(), *actor_keys("<name>")):
        yield _line((f"`{key.name}`", _default(key), key.expected, key.description))


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _default(key: Key) -> str:
    match key.default:
        case None:
            return "must be given"
        case Secret():
            return "none"
        case bool(flag):
            return f"`{str(flag).lower()}`"
        case ():
            return "`[]`"
        case int() | float() as number:
            return f"`{number:g}`" if isinstance(number, float) else f"`{number}`"
        case other:
            return f'`"{other}"`'


if __name__ == "__main__":
    print(table(), end="")
