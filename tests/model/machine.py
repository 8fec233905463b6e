"""The machine: what may happen to a server, as rules that Hypothesis puts in any order, and takes apart when one fails.

Random order alone does not find narrow windows: writers go on in the background, and the `at_` rules wait for the
window and act in it. Each example uses only some of the rules (swarm), for a kill a minute hides what takes an hour.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar, assert_never

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import Unit
from canvas_server.core.version import Version
from tests.model.author import STARTS, Author
from tests.model.canvases import REFS
from tests.model.hands import Hands
from tests.model.server import LOG_EVENTS
from tests.model.world import World

Act: TypeAlias = Literal["edit", "close", "join", "delete", "kill", "sigterm", "disconnect"]
RuleT = TypeVar("RuleT", bound=Callable[..., None])

LATENCIES: Final = [(0.001, 0.02), (0.05, 0.3), (0.5, 1.0)]
SWARM: Final = (
    "writer", "upload", "burst", "resend", "listen", "stall", "disconnect", "read", "close", "delete", "load", "idle",
    "at_save", "at_publish", "disk", "kill", "sigterm", "clock",
)  # fmt: skip
seeds = st.integers(0, 2**16)
refs = st.sampled_from(REFS)
units: st.SearchStrategy[Unit] = st.sampled_from(["codepoint", "utf16"])


def swarm(name: str, **strategies: st.SearchStrategy[object]) -> Callable[[RuleT], RuleT]:
    """Make a rule that only some examples have."""

    def decorate(function: RuleT) -> RuleT:
        made: RuleT = precondition(lambda machine: name in machine.swarm)(rule(**strategies)(function))  # type: ignore[call-overload]
        return made

    return decorate


class Simulation(Hands):
    """A server, its disk, its authors and its readers.

    Attributes:
        age: how many rules ago the server was started.
    """

    age = 0

    durability: ClassVar[Literal["checkpoint", "journal"]]
    totals: ClassVar[Counter[str]] = Counter()

    @initialize(
        seed=seeds,
        latency_s=st.sampled_from(LATENCIES),
        start=st.sampled_from(STARTS),
        left_out=st.sets(st.sampled_from(SWARM)),
    )
    def begin(self, seed: int, latency_s: tuple[float, float], start: str, left_out: set[str]) -> None:
        self.swarm = set(SWARM) - left_out
        self.world = World(seed, self.durability, latency_s)
        self.world.run(self.server.create(REFS[0], start))
        self.try_to(self.server.listen([REFS[0]], {}, "codepoint"))

    # What authors do.

    @rule(
        ref=refs,
        seed=seeds,
        unit=units,
        count=st.sampled_from([1, 1, 1, 2, 8]),
        stale=st.sampled_from([0, 0, 1, 5, 80]),
    )
    def edit(self, ref: CanvasRef, seed: int, unit: Unit, count: int, stale: int) -> None:
        operations = self.operations(ref, Author(Random(seed), unit), count, stale)
        self.post(ref, operations, unit)

    @rule(
        ref=refs,
        seed=seeds,
        base=st.sampled_from(['W/"1-0123456789abcdef"', 'W/"0-00"', 'W/"999-0123456789abcdef"', "x"]),
    )
    def edit_what_never_was(self, ref: CanvasRef, seed: int, base: str) -> None:
        operation = Author(Random(seed), "codepoint").operation(self.name(), base, "", [])
        self.try_to(self.server.post(ref, [operation], "codepoint"))

    @swarm(
        "writer", ref=refs, seed=seeds, unit=units, count=st.integers(1, 30), gap_s=st.sampled_from([0.02, 0.1, 0.3])
    )
    def write_in_the_background(self, ref: CanvasRef, seed: int, unit: Unit, count: int, gap_s: float) -> None:
        author = Author(Random(seed), unit)

        async def write() -> None:
            for index in range(count):
                operations = self.operations(ref, author, 1, 3 if index % 4 == 3 else 0)
                if operations:
                    await self.server.post(ref, operations, unit)
                await asyncio.sleep(gap_s)

        self.server.spawn(write)

    @swarm(
        "upload",
        ref=refs,
        seed=seeds,
        unit=units,
        lines=st.integers(1, 12),
        gap_s=st.sampled_from([0.01, 0.1, 0.5, 4.0]),
        fails=st.sampled_from([0, 0, 1]),
    )
    def upload(self, ref: CanvasRef, seed: int, unit: Unit, lines: int, gap_s: float, fails: int) -> None:
        self.world.disk.failing_writes += fails
        for first in self.operations(ref, Author(Random(seed), unit), 1, 0):
            self.server.spawn(partial(self.server.upload, ref, first, ["on "] * lines, gap_s, unit))

    @swarm("burst", ref=refs, count=st.integers(40, 130), behind=st.sampled_from(["nobody", "stalled", "away"]))
    def burst(self, ref: CanvasRef, count: int, behind: str) -> None:
        """Write much at once, in requests of which each fits the log; a reader may be behind, and catch up."""
        lineage = self.living.get(ref)
        if lineage is None:
            return
        seen = lineage.head.version
        stalled = self.readers()[:1] if behind == "stalled" else []
        for reader in stalled:
            reader.stall()
        author = Author(Random(count), "codepoint")
        operations = [author.append(self.name(), seen.etag, "w ") for _ in range(count)]
        for start in range(0, count, LOG_EVENTS // 2):
            self.post(ref, operations[start : start + LOG_EVENTS // 2], "codepoint")
        if stalled:
            self.tick(3.0)
        for reader in stalled:
            self.do(reader.go_on)
        if behind == "away":
            self.try_to(self.server.listen([ref], {ref: seen.cursor}, "codepoint"))

    @swarm("resend", ref=refs, seed=seeds, unit=units, other=st.booleans(), newer=st.booleans())
    def send_again(self, ref: CanvasRef, seed: int, unit: Unit, other: bool, newer: bool) -> None:
        """Send any earlier operation again: as it was, or another one under its name, or on the newest version."""
        lineage = self.living.get(ref)
        if lineage is None or not lineage.sent:
            return
        known = [name for name in lineage.sent if "." not in name]
        operation = lineage.sent[Random(seed).choice(known)]
        if other:
            operation = Author(Random(seed), unit).append(operation.op_id, operation.client_version, "other words ")
        if newer or operation.client_version is None:
            operation = msgspec.structs.replace(operation, client_version=lineage.head.version.etag)
        self.try_to(self.server.post(ref, [operation], unit))

    # What readers do.

    @swarm(
        "listen",
        seed=seeds,
        unit=units,
        many=st.booleans(),
        how=st.sampled_from(["new", "live", "old", "lost", "junk"]),
    )
    def listen(self, seed: int, unit: Unit, many: bool, how: str) -> None:
        chosen = tuple(self.living) if many else tuple(self.living)[:1]
        if not chosen or len(self.server.readers) > 5:
            return
        cursors = {ref: cursor for ref in chosen if (cursor := self.cursor(Random(seed), self.living[ref], how))}
        self.try_to(self.server.listen(chosen, cursors, unit))

    @swarm("stall", index=st.integers(0, 5))
    def stall(self, index: int) -> None:
        for reader in self.readers()[index : index + 1]:
            if reader.ready:
                reader.stall()
            else:
                self.do(reader.go_on)

    @swarm("disconnect", index=st.integers(0, 5), all_of_them=st.booleans())
    def disconnect(self, index: int, all_of_them: bool) -> None:
        gone = self.readers() if all_of_them else self.readers()[index : index + 1]
        for reader in gone:
            self.leave(reader)

    @swarm(
        "read",
        ref=refs,
        seed=seeds,
        unit=units,
        how=st.sampled_from(["now", "seq", "version", "never", "history", "known"]),
    )
    def read(self, ref: CanvasRef, seed: int, unit: Unit, how: str) -> None:
        lineage = self.living.get(ref)
        if lineage is None:
            return
        moment = Random(seed).choice(lineage.moments)
        seq = moment.version.seq
        match how:
            case "history":
                self.try_to(self.server.get_history(ref, seq, unit))
            case "known":
                self.try_to(self.server.get_known(ref))
            case "never":
                self.try_to(self.server.get(ref, Version(seq, f'W/"{seq}-0123456789abcdef"')))
            case _:
                at = {"now": None, "seq": seq, "version": moment.version}[how]
                self.try_to(self.server.get(ref, at))

    # What becomes of canvases.

    @swarm("close", ref=refs)
    def close(self, ref: CanvasRef) -> None:
        self.try_to(self.server.close(ref))

    @rule(ref=refs, start=st.sampled_from(STARTS))
    def create(self, ref: CanvasRef, start: str) -> None:
        if ref not in self.living:
            self.try_to(self.server.create(ref, start))

    @swarm("delete", ref=refs, again=st.booleans())
    def delete(self, ref: CanvasRef, again: bool) -> None:
        self.try_to(self.server.delete(ref))
        if again:
            self.create(ref, STARTS[1])

    @swarm("load", ref=refs)
    def load_ten_times_at_once(self, ref: CanvasRef) -> None:
        server = self.server

        async def load() -> None:
            before = server.handle.loads[ref]
            await asyncio.gather(*[server.open(ref) for _ in range(10)], return_exceptions=True)
            assert server.handle.loads[ref] <= before + 1

        if ref in self.living and server.manager.get(ref) is None:
            self.try_to(load())

    # What the world does.

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 3.0, 9.0, 11.0]))
    def tick(self, seconds: float) -> None:
        self.world.run(asyncio.sleep(seconds))

    @swarm("idle", leave=st.booleans())
    def idle(self, leave: bool) -> None:
        """Half an hour passes, mostly without anybody."""
        if leave:
            for reader in self.readers():
                self.leave(reader)
        self.world.run(asyncio.sleep(31 * 60.0))

    @swarm("disk", how=st.sampled_from(["fail 1", "fail 3", "full", "locked", "slow", "unreadable", "well"]))
    def feel(self, how: str) -> None:
        disk = self.world.disk
        match how:
            case "full":
                disk.full = True
            case "locked":
                disk.locked_until_s = self.server.now_s + 30.0
            case "slow":
                disk.slow_writes = 1
            case "unreadable":
                disk.failing_reads = 1
            case "well":
                disk.heal()
            case _:
                disk.failing_writes = int(how[-1])

    @swarm("clock", days=st.sampled_from([-40, -1, 1, 40]))
    def set_the_clock(self, days: int) -> None:
        self.world.clock.ahead_ms += days * 86_400_000

    @precondition(lambda self: self.age >= 5)
    @swarm("kill")
    def kill(self) -> None:
        self.age = 0
        self.world.kill()

    @precondition(lambda self: self.age >= 5)
    @swarm("sigterm", again_s=st.sampled_from([None, None, 0.01, 0.4]), busy=st.booleans())
    def stop(self, again_s: float | None, busy: bool) -> None:
        """SIGTERM, and now and then a second one, which ends the server at once."""
        if busy:
            for ref in self.living:
                self.write_in_the_background(ref, 0, "codepoint", 40, 0.02)
            self.world.run(asyncio.sleep(0.1))

        async def drain() -> None:
            try:
                async with asyncio.timeout(again_s):
                    await self.world.drain()
            except TimeoutError:
                self.world.freeze()

        self.age = 0
        self.world.run(drain())
        self.world.kill()

    # The windows.

    @swarm(
        "at_save",
        ref=refs,
        seed=seeds,
        why=st.sampled_from(["due", "closing", "left"]),
        later=st.sampled_from([0.0, 0.3, 0.6, 0.9]),
        act=st.sampled_from(["edit", "close", "join", "delete", "kill", "sigterm"]),
    )
    def at_save(self, ref: CanvasRef, seed: int, why: str, later: float, act: Act) -> None:
        """Write while a save is under way, and then do something."""
        self.append(ref)
        if why == "left":
            self.disconnect(0, all_of_them=True)
        if why == "closing":
            self.server.spawn(partial(self.server.close, ref))
        self.world.run(self.save_begun())
        self.world.run(asyncio.sleep(later * self.world.disk.latency_s[1]))
        self.append(ref)
        if act != "edit":
            self.act(ref, seed, act)

    async def save_begun(self) -> None:
        """Return when a save is under way; none may be due for ten seconds."""
        disk = self.world.disk
        disk.begun.clear()
        if not disk.saving:
            with suppress(TimeoutError):
                async with asyncio.timeout(12.0):
                    await disk.begun.wait()

    @swarm("at_publish", ref=refs, seed=seeds, act=st.sampled_from(["kill", "disconnect", "join"]))
    def at_publish(self, ref: CanvasRef, seed: int, act: Act) -> None:
        """Do something when an event is in the log, and its listeners have not heard of it."""
        operations = self.operations(ref, Author(Random(seed), "codepoint"), 1, 0)
        server = self.server

        async def wait() -> None:
            await server.post(ref, operations, "codepoint")
            room = server.manager.get(ref)
            turn_s = 0.001 if self.world.has_journal else 0.0
            for _ in range(200):
                if room is None or server.somebody_lags(room):
                    break
                await asyncio.sleep(turn_s)
            await self.act_at_once(ref, act)

        if operations:
            self.try_to(wait())
        if act == "kill":
            self.kill()

    async def act_at_once(self, ref: CanvasRef, act: Act) -> None:
        """Act before the loop turns."""
        if act == "kill":
            self.world.freeze()
        elif act == "disconnect":
            for reader in self.readers():
                reader.leave()
                reader.ended.append(None)
        elif act == "join" and ref in self.living:
            self.server.look()
            await self.server.listen([ref], {ref: self.living[ref].head.version.cursor}, "utf16")

    def act(self, ref: CanvasRef, seed: int, act: Act) -> None:
        match act:
            case "edit":
                self.edit(ref, seed, "utf16", 2, 0)
            case "close":
                self.close(ref)
            case "join":
                self.listen(seed, "utf16", many=False, how="live")
            case "delete":
                self.delete(ref, again=True)
            case "kill":
                self.kill()
            case "disconnect":
                self.disconnect(0, all_of_them=True)
            case "sigterm":
                self.stop(None, busy=True)
            case _:
                assert_never(act)

    @invariant()
    def everything_is_as_promised(self) -> None:
        self.totals["steps"] += 1
        self.age += 1
        self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world") and self.world.is_sound:
            self.world.settle()
            self.totals["examples"] += 1
            self.totals.update(self.world.counts)


class WithCheckpoints(Simulation):
    """Operations are told at once, and saved every ten seconds."""

    durability = "checkpoint"


class WithJournal(Simulation):
    """Operations are saved first, and told then."""

    durability = "journal"
