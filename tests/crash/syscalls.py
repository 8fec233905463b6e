"""What a server asks of the system, in order, as strace saw it: writes to the log, syncs, and words to clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

Step = Literal["written", "synced", "told"]

_CALL: Final = re.compile(r"(?P<pid>[0-9]+) +(?P<resumed><\.\.\. )?(?P<name>\w+)(?P<rest>.*)")
_SYNCS: Final = ("fsync", "fdatasync")
_TELLS: Final = ("write", "writev", "sendto", "sendmsg")


def traced(command: Sequence[str], to: Path) -> list[str]:
    """Return a command that runs another and writes down what `steps` reads."""
    names = ",".join(("pwrite64", *_SYNCS, *_TELLS))
    return ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={names}", "-o", str(to), *command]


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
