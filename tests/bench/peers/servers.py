"""The peers: started, loaded by the Node client, and replayed as `runs` and `sessions` do it with our own server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal

import msgspec

from canvas_server.core.splice import Splice
from tests.bench.edits import PLACES, TEXT
from tests.bench.peers.install import NODE_MODULES, PYTHON
from tests.bench.runs import Delays, Plan, Rate, crowded, warm_s
from tests.bench.servers import Server, started
from tests.conformance.traces import Trace

_HERE: Final = Path(__file__).parent
_NODE: Final = {"NODE_PATH": str(NODE_MODULES)}

KINDS: Final[Mapping[str, Sequence[str | Path]]] = {
    "Hocuspocus": ("node", _HERE / "server.cjs", "hocuspocus"),
    "y-websocket": ("node", _HERE / "server.cjs", "y-websocket"),
    "pycrdt-websocket": (PYTHON, _HERE / "pycrdt_server.py"),
}
"""The programs that serve, by the name of the peer."""


class _Rated(msgspec.Struct):
    edits: int
    took_s: float
    server_s: float
    server_waited_s: float
    load_s: float
    load_waited_s: float


class _Calm(msgspec.Struct):
    p50_ms: float
    p99_ms: float


class _Idle(msgspec.Struct):
    kb: float


class Replayed(msgspec.Struct):
    """What an edit of a recorded session costs."""

    transactions_us: float
    """Each in a transaction of its own."""
    updates_us: float
    """Each told to another document, as a server is told."""


def peer(kind: str) -> AbstractContextManager[Server]:
    """Run the server of a kind; its documents are gone with it."""
    return started(KINDS[kind], _NODE)


def peer_rate(kind: str, plan: Plan, *, listeners: int = 1, documents: int = 1) -> Rate:
    """Return how fast edits reach every listener; the author is one of them."""
    with peer(kind) as server:
        told = _load(kind, server, "rate", plan.seconds, listeners, documents)
    rated = msgspec.json.decode(told, type=_Rated)
    cpu_us = rated.server_s / rated.edits * 1e6
    shares = (rated.server_s / rated.took_s, rated.load_s / rated.took_s)
    others = crowded(rated.server_waited_s / rated.took_s, rated.load_waited_s / rated.took_s)
    return Rate(rated.edits / rated.took_s, cpu_us, *shares, others)


def peer_delays(kind: str, plan: Plan, listeners: int) -> Delays:
    """Return how long deliveries take at a calm pace."""
    with peer(kind) as server:
        calm = msgspec.json.decode(_load(kind, server, "calm", plan.seconds, listeners), type=_Calm)
    return Delays(calm.p50_ms, calm.p99_ms)


def peer_idle_kb(kind: str, listeners: int) -> float:
    """Return what an idle listener costs the server."""
    with peer(kind) as server:
        return msgspec.json.decode(_load(kind, server, "idle", 0, listeners), type=_Idle).kb


def replayed(engine: Literal["pycrdt", "Yjs"], trace: Trace) -> Replayed:
    """Replay a recorded session."""
    # pycrdt counts bytes of UTF-8, Yjs units of UTF-16; the recordings have nothing outside the first plane.
    splices = list(_in_bytes(trace)) if engine == "pycrdt" else trace.splices
    listed = [(splice.start, splice.end, splice.insert) for splice in splices]
    told = {"start": trace.start, "end": trace.end, "splices": listed}
    program = (PYTHON, _HERE / "pycrdt_replay.py") if engine == "pycrdt" else ("node", _HERE / "replay.cjs")
    return msgspec.json.decode(_run(program, told), type=Replayed)


def _load(kind: str, server: Server, way: str, seconds: float, listeners: int, documents: int = 1) -> bytes:
    job = {
        "kind": kind.lower(),
        "port": server.port,
        "pid": server.pid,
        "text": TEXT,
        "places": PLACES,
        "documents": documents,
        "listeners": listeners,
        "seconds": seconds,
        "warm_s": warm_s(seconds),
        "way": way,
    }
    return _run(("node", _HERE / "load.cjs"), job)


def _run(program: Sequence[str | Path], told: Mapping[str, object]) -> bytes:
    variables = {**os.environ, **_NODE}
    ran = subprocess.run(program, input=msgspec.json.encode(told), capture_output=True, env=variables, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def _in_bytes(trace: Trace) -> Sequence[Splice]:
    if trace.start.isascii() and trace.end.isascii() and all(splice.insert.isascii() for splice in trace.splices):
        return trace.splices
    text, splices = trace.start, []
    for splice in trace.splices:
        start = len(text[: splice.start].encode())
        splices.append(Splice(start, start + len(text[splice.start : splice.end].encode()), splice.insert))
        text = text[: splice.start] + splice.insert + text[splice.end :]
    return splices
