"""A crash at any moment costs only what no checkpoint event covered, and what comes back is never another text."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.operation import Operation
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


class Run:
    """One canvas over several lives of a server, and all that its readers ever heard of it.

    Args:
        seed: of what happens.
        durability: how the server keeps its canvases.
    """

    def __init__(self, seed: int, durability: str) -> None:
        self.chance = random.Random(seed)
        self.disk = Disk()
        journal = durability == "journal"
        self.settings = StateSettings(
            durability="journal" if journal else "checkpoint", checkpoint=CheckpointPolicy(interval_s=2.0, ops=12)
        )
        self.text_of_etag: dict[str, str] = {}
        self.lineage: list[tuple[str, Operation]] = []
        self.names = 0

    def life(self, number: int) -> None:
        """Let a server live, and crash: its loop is thrown away in the middle of what it does."""
        simulate(self._live(number))

    async def _live(self, number: int) -> None:
        self.disk.saving = 0
        self.disk.save_s = self.chance.choice([0.0, 0.3, 3.0])
        manager = CanvasStateManager(self.disk, SimClock(), SimIds(number), self.settings)
        await manager.__aenter__()
        try:
            room = await (open_new(manager, "start\n") if number == 0 else manager.open(REF))
            ear = listen(room)
            self._check_recovered(room)
            await self._send_forgotten_again(room)
            await self._type(room)
            await self._crash_somewhere()
        finally:
            self._remember(ear)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

    def _check_recovered(self, room: Room) -> None:
        """What was recovered is the text after a prefix of what was acked, with all that was told durable."""
        etag, text = room.canvas.version.etag, text_of(room)
        if self.text_of_etag:
            assert self.text_of_etag[etag] == text
            assert room.canvas.version.seq >= self.durable_seq
            if self.settings.durability == "journal":
                assert room.canvas.version.seq == len(self.lineage)
        assert self.text_of_etag.setdefault(etag, text) == text
        self.durable_seq = room.canvas.version.seq

    async def _send_forgotten_again(self, room: Room) -> None:
        """A client sends what no checkpoint covered again, in order, and gets the versions it had."""
        forgotten = self.lineage[room.canvas.version.seq :]
        for etag, operation in forgotten:
            write(room, operation)
            await room.save()
            assert room.canvas.version.etag == etag
            assert text_of(room) == self.text_of_etag[etag]
        self.durable_seq = room.canvas.version.seq

    async def _type(self, room: Room) -> None:
        for _ in range(self.chance.randrange(40)):
            self.names += 1
            make = self.chance.choice([append, prepend])
            operation = make(f"op-{self.names}", self.chance.choice(CONTENTS), scope="range")
            base = text_of(room), room.canvas.version
            if self.settings.durability == "journal":
                await room.settled()
            write(room, operation)
            self.lineage.append(("", operation))
            if room.canvas.version != base[1]:
                self._note(room)
            await pass_s(self.chance.choice([0.0, 0.0, 0.05, 1.0]))

    def _note(self, room: Room) -> None:
        etag, text = room.canvas.version.etag, text_of(room)
        assert self.text_of_etag.setdefault(etag, text) == text

    async def _crash_somewhere(self) -> None:
        await pass_s(self.chance.uniform(0.0, 4.0))

    def _remember(self, ear: Ear) -> None:
        """Keep of this life what a reader heard: the rest never happened to anybody."""
        acks = {str(event["op_id"]): event for event in ear.all("ack")}
        lineage = []
        for etag, operation in self.lineage:
            told = acks.get(operation.op_id)
            if told is not None or etag:
                lineage.append((str(told["server_version"]) if told is not None else etag, operation))
        self.lineage = lineage
        for event in ear.all("checkpoint"):
            if "failed" not in event:
                seq = int(str(event["server_version"]).split('"')[1].split("-")[0])
                self.durable_seq = max(self.durable_seq, seq)


@pytest.mark.parametrize("durability", ["checkpoint"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_crash_never_takes_what_was_told_durable(durability: str, seed: int) -> None:
    run = Run(seed, durability)
    for number in range(4):
        run.life(number)
