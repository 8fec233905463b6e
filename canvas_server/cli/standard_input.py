"""Text that comes on stdin: whole, or piece by piece as it is written by whoever is before in the pipe.

Rule: what is no text becomes replacement characters, so that no program's output can stop a canvas.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from canvas_server.cli.terminal import is_terminal, note
from canvas_server.core.errors import InvalidFieldError

_READ_BYTES: Final = 64 * 1024
_WAITING_MAX: Final = 8
"""Pieces that wait to be sent; then whoever writes has to wait, as in any pipe."""


class Decoder:
    """Makes text of bytes, wherever they were cut: UTF-8, LF line ends, no NUL."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._is_cut = False
        self.is_damaged = False
        """Whether something was no text."""

    def take(self, piece: bytes, *, is_last: bool = False) -> str:
        """Return the text that a piece completes."""
        text = ("\r" if self._is_cut else "") + self._decode.decode(piece, is_last)
        # What ends in half of a line end waits for the other half.
        self._is_cut = text.endswith("\r") and not is_last
        text = text[:-1] if self._is_cut else text
        cleaned = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")
        self.is_damaged |= "\N{REPLACEMENT CHARACTER}" in cleaned
        return cleaned


def greet() -> None:
    """Say to a person at a terminal that it is their turn."""
    if is_terminal(sys.stdin):
        note("reading what you type; Ctrl-D at the beginning of a line ends it")


def whole_of(stream: IO[bytes]) -> str:
    """Return all that is on a stream, as text."""
    greet()
    return Decoder().take(stream.read(), is_last=True)


def text_of(file: Path) -> str:
    """Return the text of a file, or of stdin if it is `-`.

    Raises:
        InvalidFieldError: the file cannot be read.
    """
    if str(file) == "-":
        return whole_of(sys.stdin.buffer)
    try:
        return Decoder().take(file.read_bytes(), is_last=True)
    except OSError as error:
        raise InvalidFieldError(f"{file} cannot be read: {error.strerror}", hint="Name a file of text.") from error


class Joiner:
    """Keeps the line ends at the end of a text back until more of it comes.

    What is put into a section loses those at its ends, and gets what blank lines it needs; so those between two pieces
    must go with the second.

    Args:
        ends: those at the end of what was written before; None if nothing was.
    """

    def __init__(self, ends: str | None = None) -> None:
        self._ends = ends or ""
        self._has_begun = ends is not None

    def take(self, text: str) -> str:
        """Return what of the text so far can be written now."""
        body = text.rstrip("\n")
        if not body:
            self._ends += text
            return ""
        ready = (self._ends if self._has_begun else "") + (body if self._has_begun else body.lstrip("\n"))
        self._ends, self._has_begun = text[len(body) :], True
        return ready


async def pieces_of(stream: IO[bytes], decoder: Decoder) -> AsyncGenerator[str]:
    """Yield text as it arrives.

    It is read in a thread, because stdin may be a file, and a loop cannot wait for those.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_WAITING_MAX)
    loop = asyncio.get_running_loop()

    def read() -> None:
        piece = b"-"
        while piece:
            room.acquire()
            try:
                piece = os.read(stream.fileno(), _READ_BYTES)
            except OSError:
                piece = b""
            # The command may have ended meanwhile, and its loop with it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, piece)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while piece := await queue.get():
        room.release()
        if text := decoder.take(piece):
            yield text
    if text := decoder.take(b"", is_last=True):
        yield text
