"""The server from outside: requests a second, deliveries, memory; the ceilings are measured in the same run."""

from __future__ import annotations

import asyncio
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
TEXT: Final = "The quick brown fox.\n" * 2500
"""52 KB that keep their size: each writer replaces 20 characters in a part of its own."""

_PART: Final = len(TEXT) // WRITERS // 21 * 21


class Target(NamedTuple):
    """A running server."""

    port: int
    pid: int

    @property
    def memory_bytes(self) -> int:
        """What the process holds in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * 4096


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
    """Makes operations that replace 20 characters, each on the newest version that a listener was told.

    Args:
        listener: knows the version; None for a server that does not care.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = listener
        self._numbers = count()

    def one(self, writer: int) -> bytes:
        """Return one operation of a writer."""
        number = next(self._numbers)
        start = writer * _PART + number * 21 % _PART
        version = b'W/\\"0-0000000000000000\\"' if self._listener is None else self._listener.version
        return (
            b'{"op_id":"op-%d","client_version":"%s","scope":"range","action":"replace",'
            b'"content":"twenty characters!! ","target":{"type":"position","position":{"mode":"range","from":%d,"to":%d}}}'
        ) % (number, version, start, start + 20)

    def request(self, writer: int) -> bytes:
        """Return a request with one operation."""
        return post(b'{"ops":[%s]}' % self.one(writer))

    def batch(self, writer: int) -> bytes:
        """Return a request with fifty operations."""
        return post(b'{"ops":[%s]}' % b",".join(self.one(writer) for _ in range(BATCH)))

    def lines(self, writer: int) -> bytes:
        """Return a streamed request of fifty lines."""
        return post(b"\n".join(self.one(writer) for _ in range(BATCH)), b"application/x-ndjson")


def ceilings(seconds: float) -> tuple[Group, dict[str, float]]:
    """Measure the servers that do nothing; return their requests a second by kind as well."""
    rates = {}
    for kind in ("raw", "bare", "starlette"):
        with target(kind) as server:
            answers, took_s = uvloop.run(write_for(server.port, WRITERS, seconds, Edits().request))
            rates[kind] = answers / took_s
    figures = [
        Figure("raw socket, a constant: what the load can do", rates["raw"], "requests/s"),
        Figure("bare ASGI", rates["bare"], "requests/s", rates["bare"] / rates["raw"], "raw socket"),
        Figure(
            "Starlette + msgspec", rates["starlette"], "requests/s", rates["starlette"] / rates["bare"], "bare ASGI"
        ),
    ]
    note = f"One operation a request, {WRITERS} connections; servers that do nothing."
    return Group("Ceilings", note, figures), rates


def posts(seconds: float, rates: dict[str, float]) -> Group:
    """Measure the whole server with one listener: single operations, batches, lines; with and without a journal."""
    figures = []
    for kind in ("canvas", "journal"):
        for what, per_request in (("one operation a POST", 1), ("50 a POST", BATCH), ("50 lines a POST", BATCH)):
            rate, _lost = uvloop.run(_delivered(kind, 1, seconds, what, WRITERS))
            beside = ("bare ASGI", rates["bare"]) if per_request == 1 else ("bare ASGI's requests", rates["bare"])
            figures.append(Figure(f"{kind}: {what}", rate, "ops/s", rate / beside[1], beside[0]))
    single = figures[0].value
    figures.insert(1, Figure("the same", single, "ops/s", single / rates["starlette"], "Starlette + msgspec"))
    note = f"One document of 52 KB, {WRITERS} writers, scope range, one listener that hears each edit; SQLite on disk."
    return Group("Writing", note, figures)


def fan_out(seconds: float, listeners: Sequence[int]) -> Group:
    """Measure edits a second that reach every listener, and the delay of calm ones."""
    figures = []
    for number in listeners:
        for what, writers in (("one operation a POST", WRITERS), ("50 a POST", 4)):
            rate, lost = uvloop.run(_delivered("canvas", number, seconds, what, writers))
            dropped = f" ({lost} listeners dropped)" if lost else ""
            figures.append(Figure(f"{number} listeners, {what}{dropped}", rate, "edits/s"))
            figures.append(Figure(f"{number} listeners, {what}: deliveries", rate * number, "events/s"))
        delays_ms = uvloop.run(_delays_ms(number, seconds))
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            delay = delays_ms[int(len(delays_ms) * share)]
            figures.append(Figure(f"{number} listeners, 100 edits/s: {name}", delay, "ms"))
    note = "All listeners hear every edit. They and the writers share one process, whose own work is in the figures."
    return Group("Listening", note, figures)


def memory(listeners: int) -> Group:
    """Measure what an idle listener costs the server."""
    figures = [Figure(f"each of {listeners} idle listeners", uvloop.run(_idle_bytes(listeners)) / 1024, "KB")]
    return Group("Memory", "Resident memory of the server; the kernel's buffers are not in it.", figures)


async def _delivered(kind: str, listeners: int, seconds: float, what: str, writers: int) -> tuple[float, int]:
    """Return edits a second, until the last listener had the last one, and how many listeners were lost on the way."""
    with target(kind) as server:
        create(server.port, TEXT)
        async with listening(server.port, listeners) as heard:
            edits = Edits(heard[0])
            kinds: dict[str, Callable[[int], bytes]] = {
                "one operation a POST": edits.request,
                "50 a POST": edits.batch,
                "50 lines a POST": edits.lines,
            }
            started_s = perf_counter()
            await write_for(server.port, writers, seconds, kinds[what])
            await until(lambda: _settled(heard))
            took_s = perf_counter() - started_s
            return heard[0].acks / took_s, sum(listener.ended for listener in heard)


def _settled(listeners: Sequence[Listener]) -> bool:
    """Tell whether all that are still there have heard the same."""
    there = [listener.acks for listener in listeners if not listener.ended]
    return not there or min(there) == max(there)


async def _delays_ms(listeners: int, seconds: float) -> list[float]:
    """Return, sorted, how long each delivery took from just before the request was written."""
    loop = asyncio.get_running_loop()
    with target("canvas") as server:
        create(server.port, TEXT)
        async with listening(server.port, listeners) as heard:
            for listener in heard:
                listener.notes_times = True
            edits, transport = Edits(heard[0]), await _calm_writer(server.port)
            next_s = loop.time()
            for _ in range(round(100 * seconds)):
                next_s += 0.01
                await asyncio.sleep(max(0.0, next_s - loop.time()))
                stamp_us = round(perf_counter() * 1e6)
                operation = b'{"timestamp":%d,' % stamp_us + edits.one(0)[1:]
                transport.write(post(b'{"ops":[%s]}' % operation))
            await until(lambda: all(len(listener.received_s) == round(100 * seconds) for listener in heard))
            transport.close()
            return sorted(at_s * 1000 - stamp / 1000 for listener in heard for stamp, at_s in listener.received_s)


async def _calm_writer(port: int) -> asyncio.Transport:
    transport, _protocol = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    return transport


async def _idle_bytes(listeners: int) -> float:
    with target("canvas") as server:
        create(server.port, TEXT)
        async with listening(server.port, 50):
            before = server.memory_bytes
            async with listening(server.port, listeners):
                return (server.memory_bytes - before) / listeners
