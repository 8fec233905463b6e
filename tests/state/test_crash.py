"""A crash at any moment costs only what no checkpoint event covered, and what comes back is never another text."""

from __future__ import annotations

import asyncio
import random
from typing import Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.counts import Counts
from canvas_server.core.operation import Operation
from canvas_server.core.splice import Splice, apply_changes
from canvas_server.core.version import seq_of
from canvas_server.state.checkpointer import CheckpointPolicy
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.state.settings import StateSettings
from tests.state.simulation import (
    REF,
    Disk,
    Ear,
    SimClock,
    SimIds,
    append,
    listen,
    open_new,
    pass_s,
    prepend,
    simulate,
    text_of,
    write,
)

CONTENTS = ["a", "😀", "line\n", "# Title\n\n", "words and words "]
POLICY = CheckpointPolicy(interval_s=2.0, ops=12)


class Run:
    """One canvas over several lives of a server, and all that its readers ever heard of it.

    Args:
        seed: of what happens.
        durability: how the server keeps its canvas.
    """

    def __init__(self, seed: int, durability: Literal["checkpoint", "journal"]) -> None:
        self.chance = random.Random(seed)
        self.disk = Disk()
        self.settings = StateSettings(durability=durability, checkpoint=POLICY)
        self.text_of_etag: dict[str, str] = {}
        self.sent: dict[str, Operation] = {}
        self.acked: dict[int, tuple[str, Operation]] = {}
        self.durable_seq = 0

    async def live(self, number: int) -> None:
        """Be a server for a while, then crash in the middle of whatever it does."""
        self.disk.save_s = self.chance.choice([0.0, 0.3, 3.0])
        manager = CanvasStateManager(self.disk, SimClock(), SimIds(number), self.settings, Counts())
        await manager.__aenter__()
        room = await (open_new(manager, "start\n") if number == 0 else manager.open(REF))
        ear = listen(room)
        self._check_recovered(room)
        await self._send_forgotten_again(room)
        for _ in range(self.chance.randrange(40)):
            write(room, self._next_operation())
            await pass_s(self.chance.choice([0.0, 0.0, 0.05, 1.0]))
        await pass_s(self.chance.uniform(0.0, 4.0))
        self._take_in(ear)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def _next_operation(self) -> Operation:
        make = self.chance.choice([append, prepend])
        operation = make(f"op-{len(self.sent)}", self.chance.choice(CONTENTS))
        self.sent[operation.op_id] = operation
        return operation

    def _check_recovered(self, room: Room) -> None:
        """What came back is the text after a prefix of what was told, with all that was told to be durable."""
        seq, etag = room.canvas.version.seq, room.canvas.version.etag
        assert seq >= self.durable_seq
        if self.settings.durability == "journal":
            assert seq >= max(self.acked, default=0)
        if seq in self.acked:
            assert etag == self.acked[seq][0]
            assert text_of(room) == self.text_of_etag[etag]

    async def _send_forgotten_again(self, room: Room) -> None:
        """A client sends again what the crash forgot, in order, and gets the versions that it had."""
        for seq in range(room.canvas.version.seq + 1, max(self.acked, default=0) + 1):
            etag, operation = self.acked[seq]
            write(room, operation)
            assert (room.canvas.version.etag, text_of(room)) == (etag, self.text_of_etag[etag])

    def _take_in(self, ear: Ear) -> None:
        """Keep what a reader heard in this life: of the rest nobody knows."""
        (snapshot,) = ear.all("snapshot")
        text = self._note(str(snapshot["server_version"]), str(snapshot["content"]))
        for event in ear.heard:
            etag = str(event.get("server_version"))
            if event.type == "ack":
                changes = msgspec.convert(event["changes"], tuple[Splice, ...])
                text = self._note(etag, apply_changes(text, changes))
                self.acked[seq_of(etag) or 0] = (etag, self.sent[str(event["op_id"])])
            elif event.type == "checkpoint" and "failed" not in event:
                self.durable_seq = max(self.durable_seq, seq_of(etag) or 0)

    def _note(self, etag: str, text: str) -> str:
        """A version never names two texts, whatever crashes lie between."""
        assert self.text_of_etag.setdefault(etag, text) == text
        return text


@given(seed=st.integers(0, 2**32), durability=st.sampled_from(["checkpoint", "journal"]))
@settings(max_examples=40, deadline=None)
def test_a_crash_costs_only_what_nobody_was_told_to_be_durable(
    seed: int, durability: Literal["checkpoint", "journal"]
) -> None:
    run = Run(seed, durability)
    for number in range(4):
        simulate(run.live(number))


def test_crashes_do_cost_something_when_only_checkpoints_are_durable() -> None:
    """Else the test above would show nothing."""
    forgotten = 0
    for seed in range(10):
        run = Run(seed, "checkpoint")
        simulate(run.live(0))
        forgotten += max(run.acked, default=0) > run.durable_seq
    assert forgotten > 3
