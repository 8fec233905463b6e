"""What a terminal is shown: text that cannot drive it, columns, and marks of progress.

Rule: text of a canvas is written by others. Control characters in it reach no terminal; a pipe or a file gets the text
as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

import click

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL_OR_BREAK: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NAMES: Final = {"\n": "⏎", "\t": " "}


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person sees what is written to a stream."""
    return stream.isatty()


def put(text: str) -> None:
    """Write text of a canvas to stdout, at once and as it is; to a terminal without what would drive it."""
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text) if is_terminal(sys.stdout) else text
    left = memoryview(shown.encode())
    # A stream without a buffer writes what fits, and says only the next time that nobody reads.
    while left:
        left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.flush()


def one_line(text: str, width: int | None = None) -> str:
    """Return text for one line: its line ends as signs, nothing that drives a terminal, cut off at a width."""
    if width is not None and len(text) > width:
        text = text[: max(width - 1, 1)] + "…"
    return _CONTROL_OR_BREAK.sub(lambda found: _NAMES.get(found[0], "\N{REPLACEMENT CHARACTER}"), text)


def moment(unix_ms: int) -> str:
    """Return a moment in the time of this machine: of today only the time."""
    at = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone()
    is_today = at.date() == datetime.now(UTC).astimezone().date()
    return at.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def width_left(taken: int) -> int | None:
    """Return what is left of a line of the terminal; None where a line may have any length."""
    return max(shutil.get_terminal_size().columns - taken, 0) if is_terminal(sys.stdout) else None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under their head, in columns as wide as they have to be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def note(text: str) -> None:
    """Say on stderr, in one line, what whoever reads the output need not see."""
    click.echo(f"note: {text}", err=True)


def hint(text: str) -> None:
    """Say on stderr what to do next."""
    click.echo(f"hint: {text}", err=True)


def wants_colour(environ: os._Environ[str]) -> bool | None:
    """Tell whether colours are wanted: never with NO_COLOR; None leaves it to whether there is a terminal."""
    return False if environ.get("NO_COLOR") else None


class Counter:
    """A line on stderr that counts while something is under way; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._is_shown = is_terminal(sys.stderr)
        self._width = 0

    def tell(self, text: str) -> None:
        """Put a text in the place of the one before."""
        if self._is_shown:
            click.echo(f"\r{text:{self._width}}", err=True, nl=False)
            self._width = len(text)

    def clear(self) -> None:
        """Leave the line empty."""
        if self._width:
            click.echo(f"\r{'':{self._width}}\r", err=True, nl=False)
            self._width = 0
