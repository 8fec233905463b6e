"""Readers that take little or nothing: each costs a bounded sum, is cut in time, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import pytest
import uvloop

from canvas_server.config import Settings
from canvas_server.config.settings import LimitSettings, StorageSettings
from tests.listener import PATIENCE_S
from tests.load.clients import reading, stream_lines, until
from tests.load.running import MIB, Running, at_share, running
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import Json, at

STALLED: Final = amount(ci=50, hand=200)
SLOW: Final = amount(ci=10, hand=50)
LIVE: Final = amount(ci=20, hand=100)
EVENTS: Final = amount(ci=1_500, hand=20_000)
EVENTS_PER_S: Final = amount(ci=500, hand=100)
EVENT_BYTES: Final = 4096
SLOW_BYTES_PER_S: Final = 1024
SLOW_WRITE_S: Final = amount(ci=6, hand=20)
"""So long that a live reader takes something, whatever else the machine does."""
CUT_WITHIN_S: Final = SLOW_WRITE_S + 5
DELAYED_MS_MAX: Final = amount(ci=4_000, hand=100)
"""What may come on top for live readers; one that waits for a stalled one waits for `SLOW_WRITE_S` at least."""
LATE_S: Final = 10
"""From the first event until all buffers are full, and the machine has other work to do."""
WATCHED_S_MAX: Final = EVENTS / EVENTS_PER_S + CUT_WITHIN_S + PATIENCE_S
SANE_BYTES: Final = 64 * 1024
KERNEL_BYTES_MAX: Final = 512 * 1024
"""What may wait in the kernel for one reader, on both ends."""
READER_BYTES_MAX: Final = 160 * 1024
"""What one such reader may hold of the process's memory: 32 MiB for two hundred."""
NOISE_BYTES: Final = 16 * MIB
"""By how much the memory of a process goes up and down without a reason."""
SETTINGS: Final = Settings(
    storage=StorageSettings(ephemeral=True, history_ops_max=300),
    limits=LimitSettings(slow_write_s=SLOW_WRITE_S, retained_ops_max=300),
)
"""Little is retained, or what the history holds would hide what the readers cost."""
PATH: Final = "/api/v2/canvas/told/ops:listen"


class Watched(NamedTuple):
    """What was seen of stalled readers.

    Attributes:
        cut_s: from the first event until all were cut.
        queued_bytes: what waited in the kernel at most, for all of them together.
    """

    cut_s: float
    queued_bytes: int


class Heard(NamedTuple):
    """What live readers heard."""

    acks: int
    delays_ms: list[float]


@pytest.mark.promise("R15")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_200))
def test_stalled_readers_cost_a_bounded_sum_are_cut_in_time_and_delay_nobody(findings: Findings) -> None:
    with running(SETTINGS) as server:
        version = server.create("told", "x" * EVENT_BYTES)
        alone = uvloop.run(told(server, version, "alone"))
        rss_bytes, version = server.rss_bytes, server.http.get("/api/v2/canvas/told").json()["version"]
        with stalled(server.port) as socks:
            beside, watched = uvloop.run(told_beside(server, version, socks))
            grown_bytes = server.rss_bytes - rss_bytes
    held_bytes, cut_s = watched.queued_bytes / STALLED, watched.cut_s
    ratio = at_share(beside.delays_ms, 0.99) / at_share(alone.delays_ms, 0.99)
    findings.tell("R15", "stalled and slow readers beside live ones", f"{STALLED} + {SLOW} beside {LIVE}")
    findings.tell("R15", "events told to each", f"{EVENTS} of 4 KB")
    findings.tell("R15", "memory of the process for all of them", f"{grown_bytes / MIB:.1f} MiB", "160 KiB each")
    findings.tell("R15", "waiting in the kernel for a stalled reader", f"{held_bytes / 1024:.0f} KiB", "under 512 KiB")
    findings.tell("R15", "all stalled ones cut after", f"{cut_s:.1f} s", f"{CUT_WITHIN_S} s of taking nothing")
    findings.tell("R15", "p99 of live readers, beside stalled ones to alone", f"{ratio:.2f}", "1.5, on a quiet machine")
    assert alone.acks == beside.acks == LIVE * EVENTS
    assert grown_bytes < (STALLED + SLOW) * READER_BYTES_MAX + NOISE_BYTES
    assert SANE_BYTES < held_bytes < KERNEL_BYTES_MAX
    assert cut_s < CUT_WITHIN_S + LATE_S
    # Other work on the machine counts in this as much as ours.
    assert at_share(beside.delays_ms, 0.99) < 5 * at_share(alone.delays_ms, 0.99) + DELAYED_MS_MAX


async def told(server: Running, version: str, name: str) -> Heard:
    """Tell all events to live readers."""
    operations = [replacement(f"{name}-{number}", number) for number in range(EVENTS)]
    async with reading(server.port, [f"{PATH}?unit=codepoint"] * LIVE) as readers:
        status, answer = await stream_lines(server.port, "told", version, operations, EVENTS_PER_S)
        assert status == 202, answer
        await until(lambda: all(reader.acks == EVENTS for reader in readers), 3 * PATIENCE_S)
        return Heard(sum(reader.acks for reader in readers), [ms for reader in readers for ms in reader.delays_ms])


async def told_beside(server: Running, version: str, socks: Sequence[socket.socket]) -> tuple[Heard, Watched]:
    """Tell all events to live readers beside stalled and slow ones, and wait until all stalled ones were cut."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(socks))
        async with slow(server.port):
            heard = await told(server, version, "beside")
        return heard, await watching


async def watch(socks: Sequence[socket.socket]) -> Watched:
    """Look at stalled connections until the server has reset all of them."""
    poll, ports = select.poll(), {sock.getsockname()[1] for sock in socks}
    for sock in socks:
        poll.register(sock, 0)  # tells of a reset, whatever one asks for
    started_s, queued = perf_counter(), 0
    while len(poll.poll(0)) < len(socks) and perf_counter() - started_s < WATCHED_S_MAX:
        queued = max(queued, queued_bytes(ports))
        await asyncio.sleep(0.1)
    return Watched(perf_counter() - started_s, queued)


def replacement(op_id: str, number: int) -> Json:
    """Return an operation that says the whole text anew."""
    content = chr(ord("a") + number % 26) * EVENT_BYTES
    target = at("range", **{"from": 0, "to": EVENT_BYTES})
    return {"op_id": op_id, "action": "replace", "target": target, "content": content}


def connected(port: int) -> socket.socket:
    """Return a connection that has asked for the stream."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


@contextmanager
def stalled(port: int) -> Iterator[list[socket.socket]]:
    """Open connections that are never read from."""
    socks = [connected(port) for _ in range(STALLED)]
    try:
        yield socks
    finally:
        for sock in socks:
            sock.close()


@asynccontextmanager
async def slow(port: int) -> AsyncIterator[None]:
    """Open connections from which a little is read each second."""
    socks = [connected(port) for _ in range(SLOW)]
    for sock in socks:
        sock.setblocking(False)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sip(sock)) for sock in socks]
        yield
        for task in tasks:
            task.cancel()


async def sip(sock: socket.socket) -> None:
    """Read a little each second, until the server ends it."""
    receive = asyncio.get_running_loop().sock_recv
    with sock, suppress(ConnectionError):
        while True:
            if not await receive(sock, SLOW_BYTES_PER_S):
                return
            await asyncio.sleep(1)


def queued_bytes(ports: Collection[int]) -> int:
    """Return what waits in the kernel on both ends of the connections from these ports."""
    queued = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _number, local, remote, _state, queues, *_rest = line.split()
        if int(local.rpartition(":")[2], 16) in ports or int(remote.rpartition(":")[2], 16) in ports:
            queued += sum(int(queue, 16) for queue in queues.split(":"))
    return queued
