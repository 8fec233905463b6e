"""A process that replaces a file for ever, until it is killed.

Run as `python -m tests.storage.replacing_process FILE`; the contents are `whole(0)`, `whole(1)` ..., and the number of
each is told on stdout before it is written.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from canvas_server.storage.whole_file import replace_file


def whole(number: int) -> bytes:
    """Return a content that differs from all others in every line, and in length."""
    return f"{number}\n".encode() * (2_000 + number % 5_000)


def main() -> None:
    for number in itertools.count():
        print(number, flush=True)
        replace_file(Path(sys.argv[1]), whole(number))


if __name__ == "__main__":
    main()
