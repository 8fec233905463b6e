"""One answer in the making: produced, billed and read.

Without background an answer is produced as it is read, so that nothing is billed that was not sent; with background it
is produced by a task, whoever reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import repeat
from time import monotonic_ns
from typing import Final

from tests.double.ledger import Asked, Ledger, Line
from tests.double.script import FLOOD_WORD, FLOOD_WORDS_MAX, Plan


class Answer:
    """Words that come one after the other.

    Args:
        asked: what for.
        plan: how.
        line: where it is billed.
        ledger: told when the line changes.
    """

    def __init__(self, asked: Asked, plan: Plan, line: Line, ledger: Ledger) -> None:
        self.asked: Final = asked
        self.plan: Final = plan
        self.line: Final = line
        self.pieces: Final[list[str]] = []
        self.ended = False
        self.cut_short = False
        """Whether it is as long as it may be and not done."""
        self.readers = 0
        self._ledger = ledger
        self._step = asyncio.Event()
        wanted = _after(asked.prefix, plan.pieces)
        limit = asked.max_output_tokens
        if limit is not None and len(wanted) > limit:
            wanted, self.cut_short = wanted[:limit], True
        self._coming = iter(wanted) if plan.fault != "flood" else repeat(FLOOD_WORD, FLOOD_WORDS_MAX)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def usage(self) -> tuple[int, int]:
        """Input and output tokens."""
        return self.line.input_tokens, self.line.output_tokens

    async def produce(self) -> None:
        """Produce to the end."""
        while not self.ended:
            await self._produce_one()

    def stop(self) -> None:
        """Produce no more."""
        if not self.ended:
            self.line.cancelled = self.ended = True
            self._changed()

    async def read(self, start: int = 0) -> AsyncGenerator[str, None]:
        """Yield the words from `start` on as they come."""
        number = start
        while number < len(self.pieces) or not self.ended:
            if number < len(self.pieces):
                yield self.pieces[number]
                number += 1
            elif self.asked.background:
                await self._step.wait()
            else:
                await self._produce_one()

    async def _produce_one(self) -> None:
        await asyncio.sleep(self.plan.pace_ms / 1000)
        if self.ended:
            return
        piece = next(self._coming, None)
        if piece is None:
            self.line.output_tokens += self.plan.reasoning_tokens
            self.line.finished = self.ended = True
        else:
            self.pieces.append(f"{monotonic_ns()} " if self.plan.stamp else piece)
            self.line.output_tokens += 1
        self._changed()

    def _changed(self) -> None:
        self._step.set()
        self._step = asyncio.Event()
        self._ledger.changed()


def _after(prefix: str, pieces: list[str]) -> list[str]:
    """Return what of the answer comes after what is there already; all of it where that is something else."""
    text = "".join(pieces)
    if not prefix or not text.startswith(prefix):
        return pieces
    length = 0
    for number, piece in enumerate(pieces):
        if length >= len(prefix):
            return pieces[number:]
        length += len(piece)
        if length > len(prefix):
            return [piece[len(prefix) - length :], *pieces[number + 1 :]]
    return []
