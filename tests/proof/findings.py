"""What the proofs measured, one line of JSON each, in the file that the environment variable CANVAS_FINDINGS names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.proof.lane import BY_HAND

VARIABLE = "CANVAS_FINDINGS"


class Finding(msgspec.Struct, frozen=True):
    """One figure of one promise.

    Attributes:
        promise: its name, R1 to R36.
        what: what was counted or measured: "rounds of kill -9", "lag p99.9".
        value: with its unit: "60", "31 ms".
        goal: what it was held to: "0 violations", "under 50 ms"; empty if it is only told.
        by_hand: whether it was found in the long lane.
    """

    promise: str
    what: str
    value: str
    goal: str = ""
    by_hand: bool = False


class Findings:
    """Takes findings; forgets them unless it is asked to keep them."""

    def __init__(self) -> None:
        self._path = os.environ.get(VARIABLE)

    def tell(self, promise: str, what: str, value: object, goal: str = "") -> None:
        """Keep what was measured."""
        if self._path:
            line = msgspec.json.encode(Finding(promise, what, str(value), goal, BY_HAND)) + b"\n"
            with Path(self._path).open("ab") as file:
                file.write(line)


def read(path: Path) -> Iterator[Finding]:
    """Yield what was kept."""
    decode = msgspec.json.Decoder(Finding).decode
    return map(decode, path.read_bytes().splitlines())
