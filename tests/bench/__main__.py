"""Measures the server, each figure beside a ceiling of the same run: `python -m tests.bench`.

Figures drift from machine to machine and with what else runs there; the shares drift less. Nothing here is a test.

    python -m tests.bench                                     all of it, to the terminal and to bench.json
    python -m tests.bench --only writing --what single --seconds 3
    python -m tests.bench --docs                              and into the manual
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench import (
    checkpoints,
    command,
    hearing,
    journal,
    memory,
    page,
    rebasing,
    reconnecting,
    rules,
    sessions,
    windows,
    writing,
)
from tests.bench.generation import cancelling, overhead, quotas, replaying

GROUPS: Final[command.Makers] = {
    "writing": writing.writing,
    "journal": journal.journal,
    "fan-out": hearing.fan_out,
    "delays": hearing.delays,
    "documents": hearing.documents,
    "memory": memory.memory,
    "reconnects": reconnecting.reconnects,
    "felt": checkpoints.felt,
    "checkpoints": checkpoints.checkpoints,
    "sizes": rules.sizes,
    "sessions": sessions.sessions,
    "rebasing": rebasing.rebasing,
    "keystrokes": windows.keystrokes,
    "first-paint": windows.first_paint,
    "following": windows.following,
    "overhead": overhead.overhead,
    "parallel": overhead.parallel,
    "cancel": cancelling.cancelling,
    "stuck": cancelling.stuck,
    "replay": replaying.replaying,
    "quota": quotas.quotas,
}
PARTS: Final[Mapping[str, Sequence[str]]] = {
    "http": ("writing", "journal", "fan-out", "delays", "documents", "memory", "reconnects", "felt"),
    "core": ("checkpoints", "sizes", "sessions"),
    "client": ("rebasing", "keystrokes", "first-paint", "following"),
    "generation": ("overhead", "parallel", "cancel", "stuck", "replay", "quota"),
}


if __name__ == "__main__":
    command.run("tests.bench", __doc__, GROUPS, PARTS, page.OURS)
