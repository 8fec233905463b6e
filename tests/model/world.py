"""The world of the simulator: one disk, one life of a server after the other on it, and the promises they all keep.

A server that is killed leaves what is durable, and what its readers were told; the next one starts at the same moment
and is held to both.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from random import Random
from typing import Final, Literal, TypeVar

import msgspec

from canvas_server.state.settings import StateSettings
from tests.model.canvases import Canvases, CanvasLineage
from tests.model.disk import SimDisk
from tests.model.server import LIMITS, LOG_BYTES, LOG_EVENTS, Server
from tests.state.simulation import SimClock

T = TypeVar("T")

CALM_S: Final = 25.0
"""The disk counts as healthy again when nothing failed for so long: by then everything was tried again."""


class World:
    """Everything there is.

    Args:
        seed: of chance.
        durability: how the server keeps its canvases.
        latency_s: how long the disk takes, from and to.

    Attributes:
        is_sound: false from when something was found wrong.
    """

    def __init__(self, seed: int, durability: Literal["checkpoint", "journal"], latency_s: tuple[float, float]) -> None:
        self.disk = SimDisk(Random(seed), latency_s)
        self.canvases = Canvases(self.disk)
        self.clock = SimClock()
        self.counts: Counter[str] = Counter()
        self.settings = StateSettings(
            limits=LIMITS, durability=durability, log_events_min=LOG_EVENTS, log_bytes_min=LOG_BYTES
        )
        self.is_sound = True
        self._lives = 0
        self.server = self._start(0.0)

    @property
    def has_journal(self) -> bool:
        return self.settings.durability == "journal"

    def run(self, story: Coroutine[None, None, T]) -> T:
        """Let something happen, and everything else meanwhile."""
        self.is_sound = False
        answer = self.server.run(story)
        self.is_sound = True
        return answer

    async def drain(self) -> None:
        """Stop the server as SIGTERM does."""
        started_s, disk = self.server.now_s, self.disk
        was_calm = not disk.ails and started_s - disk.troubled_s > 10.0
        durable = await self.server.drain()
        assert durable or not was_calm or disk.troubled_s >= started_s, "a healthy disk, and not all was saved"
        if durable:
            for ref, lineage in self.canvases.living.items():
                assert self.canvases.saved(ref).version == lineage.head.version, "a drain lost what was acked"

    def freeze(self) -> None:
        """Let the server die at this very moment; the world goes on with `kill`."""
        if not self.server.dead:
            self.server.look()
            self._check_window()
            self.server.die()

    def kill(self) -> None:
        """Kill the server, and start the next one at the same moment."""
        self.is_sound = False
        self.freeze()
        self.server.read()
        self.server.bury()
        self.server = self._start(self.server.now_s)
        self._recover()
        self.is_sound = True

    def check(self) -> None:
        """Hold what is to what was promised."""
        self.is_sound = False
        self.server.look()
        self.server.read()
        self._check_window()
        self._check_memory()
        self.is_sound = True

    def settle(self) -> None:
        """With the disk healthy all comes to rest: everything is answered and saved, and all hear the same text."""
        self.disk.heal()
        server = self.server
        for reader in server.readers:
            reader.go_on()
        self.run(asyncio.sleep(60.0))
        for ref in tuple(self.canvases.living):
            self.run(server.listen([ref], {}, "utf16"))
        self.check()
        for tape in server.tapes.values():
            assert not tape.awaited, "accepted, and never answered"
            assert tape.room.checkpointer.unsaved_ops == 0, "not saved after a minute"
        for reader in server.readers:
            reader.check_all_heard()
            reader.check_text()
            reader.leave()
        self._check_nothing_left()

    def _check_nothing_left(self) -> None:
        """When nobody has been there for an hour, nothing is left of all that was."""
        server = self.server
        self.run(asyncio.sleep(2.2 * self.settings.idle_unload_s))
        assert server.manager.rooms == (), "a canvas that nobody uses stays open"
        assert asyncio.all_tasks(server.loop) == set(), "a task is left over"
        self.run(server.manager.__aexit__(None, None, None))
        assert server.loop.timers == 0, "a timer is left over"
        server.loop.close()

    def _start(self, now_s: float) -> Server:
        server = Server(self.canvases, self.settings, self.clock, self._lives, now_s, self.counts)
        self._lives += 1
        return server

    def _recover(self) -> None:
        """Compare what is durable with what was told."""
        self.canvases.look()
        for ref, lineage in self.canvases.living.items():
            saved = self.canvases.saved(ref)
            ops = self.disk.ops_of(saved, lineage.head.version.seq)
            lineage.payloads.update((op.op_id, op.digest) for op in ops)
            unheard = [msgspec.json.decode(op.event) for op in ops]
            forgotten = lineage.recover(saved.version, self.disk.text_of(saved), unheard, self.server.now_s)
            assert not (forgotten and self.has_journal), "the journal lost what was acked"
            self.counts["kills with unsaved operations"] += bool(forgotten)
            self.counts["operations forgotten"] += len(forgotten)
        self.counts["kills"] += 1

    def _check_window(self) -> None:
        """On a healthy disk nothing unsaved is older than 10 s, nor are 50 operations, but while a save runs."""
        save_s = 2 * self.disk.latency_s[1] + 0.01
        now_s, is_calm = self.server.now_s, not self.disk.ails and self.server.now_s - self.disk.troubled_s > CALM_S
        for ref, lineage in self.canvases.living.items():
            unsaved = lineage.moments[self.canvases.saved(ref).version.seq + 1 :]
            if not unsaved:
                continue
            assert not self.has_journal
            age_s = now_s - unsaved[0].told_s
            if is_calm:
                assert age_s <= 10.0 + save_s, "unsaved for too long"
                assert sum(now_s - moment.told_s > save_s for moment in unsaved) < 50, "too much is unsaved"
            if age_s > 30.0 + save_s:
                self._check_told_of(lineage, unsaved[0].told_s)

    def _check_told_of(self, lineage: CanvasLineage, since_s: float) -> None:
        """That something is unsaved for long is told on the stream, and to whoever asks whether the server is ready."""
        tapes = [tape for tape in self.server.tapes.values() if tape.lineage is lineage]
        assert tapes, "closed with unsaved operations"
        assert tapes[-1].failed_s >= since_s, "nobody was told that nothing is saved"
        assert tapes[-1].room.checkpointer.failing

    def _check_memory(self) -> None:
        readers = self.server.readers
        for room in self.server.manager.rooms:
            log = room.log
            assert log.end - log.first <= LOG_EVENTS * 5 // 4 or log.size_bytes <= LOG_BYTES * 5 // 4
            joined = sum(listener.room is room for reader in readers for listener in reader.listeners)
            assert room.listeners == joined, "a listener is left over"
