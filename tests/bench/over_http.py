"""The server from outside: requests a second, deliveries, memory; the ceilings are measured in the same run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, NamedTuple

import uvloop

from tests.bench.load import Listener, create, listening, post, until, write_for
from tests.bench.report import Figure, Group

ROOT: Final = Path(__file__).parents[2]
WRITERS: Final = 32
BATCH: Final = 50
BATCH_WRITERS: Final = 4
PARAGRAPH: Final = "These are twenty characters: the quick brown fox. And so the line goes on for a while.\n\n"
TEXT: Final = ("## A section\n\n" + PARAGRAPH * 6) * 96
"""52 KB that keep their size: each writer replaces twenty characters in the middle of lines of its own."""

_SECTION: Final = len(TEXT) // 96
_PLACES: Final = [
    section * _SECTION + TEXT.index("the quick") + line * len(PARAGRAPH) for section in range(96) for line in range(6)
]
_numbers: Final = count(1)


class Target(NamedTuple):
    """A running server."""

    port: int
    pid: int

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory."""
        return int(self._told("statm")[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_s(self) -> float:
        """How much processor time it has used."""
        fields = self._told("stat")
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def _told(self, name: str) -> list[str]:
        return Path(f"/proc/{self.pid}/{name}").read_text().split()


class Rate(NamedTuple):
    """How fast something went."""

    per_s: float
    cpu_us: float
    """Processor time of the server for each."""
    lost: int = 0
    """Listeners that the server gave up."""
    refused: int = 0
    """Requests that it was too busy for."""


@contextmanager
def target(kind: str) -> Iterator[Target]:
    """Run a server of a kind that `target_process` knows."""
    with (
        TemporaryDirectory() as data_dir,
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.target_process", kind, data_dir],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Target(int(line.rpartition(":")[2]), process.pid)
        finally:
            process.kill()


class Edits:
    """Makes operations that replace 20 characters, on the newest version that a listener was told.

    Args:
        ref: of the canvas.
        listener: knows the version; None for a server that does not care.
    """

    def __init__(self, ref: str, listener: Listener | None = None) -> None:
        self._ref = ref
        self._listener = listener
        self._made = 0

    def single(self) -> bytes:
        """Return a request with one operation; like the others empty while too many are under way."""
        return post(self._ref, b'{"ops":[%s]}' % self.operation(self._version())) if self._may_make(1) else b""

    def batch(self) -> bytes:
        """Return a request with fifty operations, each on the one before."""
        return post(self._ref, b'{"ops":[%s]}' % b",".join(self._fifty())) if self._may_make(BATCH) else b""

    def lines(self) -> bytes:
        """Return a streamed request of fifty lines, each on the one before."""
        return post(self._ref, b"\n".join(self._fifty()), b"application/x-ndjson") if self._may_make(BATCH) else b""

    def timed(self) -> bytes:
        """Return a request with one operation that says when it was made."""
        stamp = b'"timestamp":%d,' % round(perf_counter() * 1e6)
        return post(self._ref, b'{"ops":[%s]}' % self.operation(stamp + self._version()))

    def operation(self, more: bytes) -> bytes:
        """Return the next operation; `more` are JSON fields, each with a comma behind it."""
        self._made += 1
        start = _PLACES[self._made % len(_PLACES)]
        return (
            b'{%s"op_id":"op-%d","scope":"range","action":"replace","content":"twenty characters!! ",'
            b'"target":{"type":"position","position":{"mode":"range","from":%d,"to":%d}}}'
        ) % (more, self._made, start, start + 20)

    def _fifty(self) -> list[bytes]:
        return [self.operation(self._version()), *(self.operation(b"") for _ in range(BATCH - 1))]

    def _version(self) -> bytes:
        version = b'W/\\"0-0000000000000000\\"' if self._listener is None else self._listener.version
        return b'"client_version":"%s",' % version

    def _may_make(self, count: int) -> bool:
        """Tell whether there are places for so many more that no operation under way is at."""
        if self._listener is None:
            return True
        return self._made + count - self._listener.outcomes < len(_PLACES) // 2


def ceilings(seconds: float) -> tuple[Group, dict[str, Rate]]:
    """Measure the servers that do nothing; return how fast each kind was as well."""
    rates = {}
    for kind in ("raw", "bare", "starlette"):
        with target(kind) as server:
            rates[kind] = uvloop.run(_answered(server, seconds))
    figures = [
        *_compared("raw socket, a constant: what the load can do", "requests", rates["raw"], {}),
        *_compared("bare ASGI", "requests", rates["bare"], {}),
        *_compared("Starlette + msgspec", "requests", rates["starlette"], {"bare ASGI": rates["bare"]}),
    ]
    note = f"One operation a request, {WRITERS} connections; servers that do nothing."
    return Group("Ceilings", note, figures), rates


def writing(canvas: Target, journal: Target, seconds: float, rates: dict[str, Rate]) -> Group:
    """Measure the whole server with one listener: single operations, batches, lines; with and without a journal."""
    ceiling = {"bare ASGI": rates["bare"], "Starlette + msgspec": rates["starlette"]}
    figures: list[Figure] = []
    for server, mode in ((canvas, "checkpoints"), (journal, "journal")):
        single = uvloop.run(_delivered(server, Edits.single, 1, seconds, WRITERS))
        figures += _compared(f"{mode}: one operation a POST", "ops", single, ceiling)
        for what, request in (("POST", Edits.batch), ("NDJSON request", Edits.lines)):
            many = uvloop.run(_delivered(server, request, 1, seconds, BATCH_WRITERS))
            figures += _compared(f"{mode}: 50 operations a {what}", "ops", many, {"one a POST": single})
    note = (
        f"One document of 52 KB, scope range, one listener that hears each edit, SQLite on disk; "
        f"{WRITERS} writers with single operations, {BATCH_WRITERS} with more."
    )
    return Group("Writing", note, figures)


def fan_out(server: Target, seconds: float, listeners: Sequence[int]) -> Group:
    """Measure edits a second that reach every listener, and the delay of calm ones."""
    figures: list[Figure] = []
    for number in listeners:
        for what, request, writers in (
            ("single POSTs", Edits.single, WRITERS),
            ("50 a POST", Edits.batch, BATCH_WRITERS),
        ):
            rate = uvloop.run(_delivered(server, request, number, seconds, writers))
            lost = f" ({rate.lost} were lost)" if rate.lost else ""
            figures.append(Figure(f"{number} listeners{lost}, {what}", rate.per_s, "edits/s"))
            figures.append(Figure(f"{number} listeners{lost}, {what}: CPU", rate.cpu_us / number, "µs a delivery"))
        delays_ms = uvloop.run(_delays_ms(server, number, seconds))
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            delay = delays_ms[int(len(delays_ms) * share)]
            figures.append(Figure(f"{number} listeners, 100 edits/s: {name}", delay, "ms"))
    note = "All listeners hear every edit. They and the writers share one process, whose own work is in the figures."
    return Group("Listening", note, figures)


def memory(server: Target, listeners: int) -> Group:
    """Measure what an idle listener costs the server."""
    each_bytes = uvloop.run(_idle_bytes(server, listeners))
    figures = [Figure(f"each of {listeners} idle listeners", each_bytes / 1024, "KB")]
    return Group("Memory", "Resident memory of the server; the kernel's buffers are not in it.", figures)


def _compared(what: str, unit: str, rate: Rate, ceilings: dict[str, Rate]) -> Iterator[Figure]:
    refused = f" ({rate.refused} requests refused)" if rate.refused else ""
    yield Figure(what + refused, rate.per_s, f"{unit}/s")
    yield Figure(f"{what}: server CPU", rate.cpu_us, "µs each")
    for name, ceiling in ceilings.items():
        yield Figure("- by rate", rate.per_s, f"{unit}/s", rate.per_s / ceiling.per_s, f"of {name}")
        yield Figure("- by server CPU", rate.cpu_us, "µs each", ceiling.cpu_us / rate.cpu_us, f"of {name}")


async def _answered(server: Target, seconds: float) -> Rate:
    """Write to a server that tells nobody."""
    before_s = server.cpu_s
    written = await write_for(server.port, WRITERS, seconds, Edits("bench").single)
    return Rate(written.answers / written.took_s, (server.cpu_s - before_s) / written.answers * 1e6)


async def _delivered(
    server: Target, request: Callable[[Edits], bytes], listeners: int, seconds: float, writers: int
) -> Rate:
    """Return how fast edits go until the last listener has the last one."""
    ref = _new_canvas(server)
    async with listening(server.port, ref, listeners) as heard:
        edits = Edits(ref, heard[0])
        started_s, before_s = perf_counter(), server.cpu_s
        written = await write_for(server.port, writers, seconds, lambda: request(edits))
        await until(lambda: _settled(heard))
        took_s, cpu_s = perf_counter() - started_s, server.cpu_s - before_s
        lost, acks = sum(listener.ended for listener in heard), heard[0].acks
        return Rate(acks / took_s, cpu_s / acks * 1e6, lost, written.refused)


def _settled(listeners: Sequence[Listener]) -> bool:
    """Tell whether all that are still there have heard the same."""
    there = [listener.acks for listener in listeners if not listener.ended]
    return not there or min(there) == max(there)


async def _delays_ms(server: Target, listeners: int, seconds: float) -> list[float]:
    """Return, sorted, how long each delivery took from just before the request was written."""
    loop = asyncio.get_running_loop()
    ref, wanted = _new_canvas(server), round(100 * seconds)
    async with listening(server.port, ref, listeners) as heard:
        for listener in heard:
            listener.notes_times = True
        edits = Edits(ref, heard[0])
        transport, _protocol = await loop.create_connection(asyncio.Protocol, "127.0.0.1", server.port)
        next_s = loop.time()
        for _ in range(wanted):
            next_s += 0.01
            await asyncio.sleep(max(0.0, next_s - loop.time()))
            transport.write(edits.timed())
        await until(lambda: all(len(listener.received_s) == wanted for listener in heard))
        transport.close()
        return sorted(at_s * 1000 - stamp_us / 1000 for listener in heard for stamp_us, at_s in listener.received_s)


async def _idle_bytes(server: Target, listeners: int) -> float:
    ref = _new_canvas(server)
    async with listening(server.port, ref, 50):
        before = server.memory_bytes
        async with listening(server.port, ref, listeners):
            return (server.memory_bytes - before) / listeners


def _new_canvas(server: Target) -> str:
    ref = f"bench-{next(_numbers)}"
    create(server.port, ref, TEXT)
    return ref
