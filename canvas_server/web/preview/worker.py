"""A process that renders canvases, one after the other: `python -m canvas_server.web.preview.worker LIMITS`.

It knows no keys, opens nothing, and takes what it needs from standard input: a text's size in 4 bytes and the text. It
answers with the outcome in one byte, the size of what follows in 4 bytes, and what follows: HTML as a JSON string, or
the name of an error. The kernel kills it when a text takes more processor time than it may; a text that takes too much
memory is refused. When the other end hangs up it ends.
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from canvas_server.web.preview.markdown import Markdown
from canvas_server.web.preview.sanitise import sanitise

HEADER: Final = struct.Struct("!BI")
SIZE: Final = struct.Struct("!I")
_STATM: Final = Path("/proc/self/statm")
_NICENESS: Final = 10
"""Whoever listens or writes comes first."""


class Outcome(IntEnum):
    """What became of a text."""

    RENDERED = 0
    TOO_LARGE = 1
    """Its HTML, or what it takes to make it. The worker ends."""
    FAILED = 2
    """Our mistake. The worker ends."""
    RENDERED_LAST = 3
    """Rendered, and the worker ends: it holds so much memory that a fresh one is better."""


class WorkerLimits(msgspec.Struct, frozen=True):
    """What one text may take."""

    cpu_s: float
    html_bytes_max: int
    memory_bytes_max: int = 1024 * 1024 * 1024
    """Of addresses, which is more than what is used of them."""
    kept_bytes_max: int = 128 * 1024 * 1024
    """A worker that still holds more after a text ends after its answer."""


def serve(source: BinaryIO, sink: BinaryIO, limits: WorkerLimits) -> None:
    """Render until there is nothing more to render."""
    markdown = Markdown()
    while header := source.read(SIZE.size):
        text = source.read(SIZE.unpack(header)[0]).decode()
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)
        outcome, told = _render(markdown, text, limits)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(HEADER.pack(outcome, len(told)) + told)
        sink.flush()
        if outcome is not Outcome.RENDERED:
            return


def _render(markdown: Markdown, text: str, limits: WorkerLimits) -> tuple[Outcome, bytes]:
    try:
        html = markdown.render(text)
        if len(html) > limits.html_bytes_max:
            return Outcome.TOO_LARGE, b""
        told = msgspec.json.encode(sanitise(html))
    except MemoryError:
        return Outcome.TOO_LARGE, b""
    except Exception as error:  # noqa: BLE001 - told to whoever asked, without the text that may stand in its message
        return Outcome.FAILED, type(error).__name__.encode()
    if len(told) > limits.html_bytes_max:
        return Outcome.TOO_LARGE, b""
    return (Outcome.RENDERED_LAST if _held_bytes() > limits.kept_bytes_max else Outcome.RENDERED), told


def _held_bytes() -> int:
    """Return what is held in memory now; where the system does not tell, the most that ever was.

    On Linux the most that ever was counts what the server held when it started this process.
    """
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Serve standard input, within limits."""
    limits = msgspec.json.decode(sys.argv[1], type=WorkerLimits)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes_max, limits.memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the server decides when to stop
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    serve(sys.stdin.buffer, sys.stdout.buffer, limits)


if __name__ == "__main__":
    main()
