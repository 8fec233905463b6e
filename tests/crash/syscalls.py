"""What a server asks of the system, in order, as strace saw it: writes to the log, syncs, and words to clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

Step = Literal["written", "synced", "told"]

_CALL: Final = re.compile(r"(?P<pid>[0-9]+) +(?P<resumed><\.\.\. )?(?P<name>\w+)(?P<rest>.*)")
_PLACE: Final = re.compile(r"pwrite64\(.*, (?P<size>[0-9]+), (?P<offset>[0-9]+)(?:\)| <unfinished)")
_SYNCS: Final = ("fsync", "fdatasync")
_TELLS: Final = ("write", "writev", "sendto", "sendmsg")


def traced(command: Sequence[str], to: Path) -> list[str]:
    """Return a command that runs another and writes down what `steps` reads."""
    names = ",".join(("pwrite64", *_SYNCS, *_TELLS))
    return ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={names}", "-o", str(to), *command]


class Writes:
    """What of a log would be on a disk that forgets what it was given when a sync fails, as Linux does."""

    def __init__(self) -> None:
        self._since_sync: dict[int, int] = {}
        self._forgotten: dict[int, int] = {}
        self._end = 0

    @property
    def holes(self) -> list[int]:
        """The offsets below the end of the newest commit whose bytes were forgotten and not written since."""
        return [offset for offset in self._forgotten if offset < self._end]

    @property
    def forgotten(self) -> int:
        """How many writes are forgotten and were not done again."""
        return len(self._forgotten)

    def write(self, offset: int, size: int) -> None:
        """Take in a write; the log is written from its beginning to its end, again and again."""
        self._since_sync[offset] = size
        self._forgotten.pop(offset, None)
        self._end = offset + size

    def sync(self) -> None:
        """Take in a sync that succeeded."""
        self._since_sync.clear()

    def fail(self) -> None:
        """Take in one that failed."""
        self._forgotten.update(self._since_sync)
        self._since_sync.clear()


def place_of(line: str) -> tuple[int, int] | None:
    """Return offset and size of the write that a line shows, if it is one and all in the line."""
    found = _PLACE.search(line)
    return (int(found["offset"]), int(found["size"])) if found else None


def steps(lines: Iterable[str], log: Path, words: str) -> Iterator[Step]:
    """Yield the steps that matter, in order.

    Args:
        lines: as strace wrote them.
        log: the database's write-ahead log.
        words: of what is told; strace shows a quote with a backslash before it.
    """
    syncing: dict[str, bool] = {}
    for line in lines:
        call = _CALL.match(line)
        if call is None:
            continue
        pid, name, rest = call["pid"], call["name"], call["rest"]
        if name in _SYNCS:
            # A call that takes long has two lines, and its file is on the first.
            if not call["resumed"]:
                syncing[pid] = f"<{log}>" in rest
            if rest.endswith("= 0") and syncing[pid]:
                yield "synced"
        elif name in _TELLS and words in rest:
            yield "told"
        elif name == "pwrite64" and f"<{log}>" in rest:
            yield "written"
