"""A client that writes and reads, loses answers and streams, and sends again what it does not know the end of.

It plays by the rules (PROTOCOL section 9): the same operations under the same op_ids, until each has an end.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.operation import Unit
from canvas_server.core.splice import utf16_length
from canvas_server.core.version import Version
from tests.listener import PATIENCE_S
from tests.model.history import Acked, Conflicted, Record, Refused, Saw
from tests.order.ear import Ear
from tests.order.follower import Arrival, Head, Heard, Json, version_of
from tests.order.wire import Wire

PIECES: Final = ("word ", "two words ", "\n\nA paragraph.\n\n", "é🦊 ", "")
TEXT_MAX: Final = 4_000
"""From this length on, more is taken out than put in."""
READS: Final = 0.2
BASES: Final = 6
"""How many of the newest versions a client may stand on."""


class Orders(msgspec.Struct, frozen=True):
    """What a client is to do.

    Attributes:
        refs: of the canvases that it writes to and listens to.
        name: begins its op_ids.
        losses: the share of requests whose answer it never reads.
        cut_bytes: after how many bytes its stream is cut, on average.
        run_s_max: it fails if it takes longer.
    """

    name: str
    seed: int
    address_file: str
    refs: list[str]
    unit: Unit
    ops: int
    losses: float
    cut_bytes: int
    run_s_max: float


class Sent(NamedTuple):
    """An operation as it was sent."""

    ref: str
    base: Version | None
    """Of scope `canvas`, else None."""
    first_s: float
    """When it was sent first."""


class Report(NamedTuple):
    """What a client found.

    Attributes:
        records: of every operation and every read.
        attempts: by op_id, how many requests with it were accepted, and of how many nobody knows.
        heard: by ref, life of the server and ETag.
        arrivals: of all its connections.
    """

    records: list[Record]
    attempts: dict[str, tuple[int, int]]
    heard: dict[str, dict[tuple[int, str], Heard]]
    arrivals: list[Arrival]


class Client:
    """One client, with a connection for its requests and one for its stream."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._random = Random(orders.seed)
        self._ear = Ear(Path(orders.address_file), orders.refs, orders.unit, Random(orders.seed + 1), orders.cut_bytes)
        self._wire = Wire(Path(orders.address_file), self._random, orders.losses)
        self._bases: dict[str, deque[Version]] = {ref: deque(maxlen=BASES) for ref in orders.refs}
        self._sent: dict[str, Sent] = {}
        self._attempts: dict[str, tuple[int, int]] = {}
        self._reads: list[Record] = []
        self._until_s = time.monotonic() + orders.run_s_max

    def run(self) -> Report:
        """Do what was ordered."""
        self._ear.start()
        while len(self._sent) < self._orders.ops:
            ref = self._random.choice(self._orders.refs)
            head = self._head(ref)
            if self._random.random() < READS:
                self._read(ref)
            else:
                self._write(ref, head)
        self._ear.stop()
        followers = self._ear.followers
        return Report(
            [*self._reads, *self._records()],
            self._attempts,
            {ref: follower.heard for ref, follower in followers.items()},
            [arrival for follower in followers.values() for arrival in follower.arrivals],
        )

    def _head(self, ref: str) -> Head:
        """Return the newest version that was heard, once there is one."""
        follower = self._ear.followers[ref]
        with self._ear.changed:
            while follower.head is None:
                self._wait(0.1)
            head = follower.head
        if not self._bases[ref] or self._bases[ref][-1] != head.version:
            self._bases[ref].append(head.version)
        return head

    def _wait(self, timeout_s: float) -> None:
        """Wait until something is heard; the ear's lock is held."""
        self._ear.changed.wait(timeout_s)
        self._ear.check()
        if time.monotonic() > self._until_s:
            raise TimeoutError("the run takes too long")

    def _read(self, ref: str) -> None:
        started_s = time.monotonic()
        answer = self._wire.ask("GET", f"/canvas/{ref}")
        if answer is None:
            self._pause()
        else:
            version = version_of(answer["version"])
            name = f"read-{len(self._reads)}"
            ended_s = time.monotonic()
            self._reads.append(Record(name, self._orders.name, "read", None, started_s, ended_s, Saw(version), ref))

    def _write(self, ref: str, head: Head) -> None:
        """Send a few operations as one request, again and again until each has an end."""
        scope = self._random.choice(["canvas", "canvas", "section", "range"])
        base = self._random.choice(self._bases[ref]) if self._random.random() < 0.1 else head.version
        operations = []
        for index in range(self._random.choice([1, 1, 2, 4])):
            op_id = f"{self._orders.name}-{len(self._sent)}"
            named = {"client_version": base.etag} if index == 0 else {}
            operations.append({"op_id": op_id, "scope": scope, **named, **self._edit(head.text)})
            stands_on = base if index == 0 and scope == "canvas" else None
            self._sent[op_id] = Sent(ref, stands_on, time.monotonic())
        body = json.dumps({"ops": operations}).encode()
        op_ids = [str(operation["op_id"]) for operation in operations]
        while not self._send(ref, body, op_ids):
            pass

    def _edit(self, text: str) -> Json:
        length = utf16_length(text) if self._orders.unit == "utf16" else len(text)
        start = self._random.randint(0, length)
        content = self._random.choice(PIECES)
        match self._random.randrange(4 if length < TEXT_MAX else 2):
            case 0 | 1:
                end = min(start + self._random.randint(0, 12 if length < TEXT_MAX else 200), length)
                return {
                    "action": "replace",
                    "target": _at({"mode": "range", "from": start, "to": end}),
                    "content": content,
                }
            case 2:
                return {"action": "insert", "target": _at({"mode": "offset", "offset": start}), "content": content}
            case _:
                place = {"path": [self._random.choice(["One", "Two", "Three"])]}
                target = {"type": "heading", "heading": place}
                return {"action": "upsert_section", "target": target, "content": content}

    def _send(self, ref: str, body: bytes, op_ids: Sequence[str]) -> bool:
        """Send a request once; return whether all its operations have an end by now."""
        if not self._wire.is_served:
            self._pause()
            return False
        gaps = self._ear.gaps
        accepted = self._wire.post(f"/canvas/{ref}/ops:stream?unit={self._orders.unit}", body)
        for op_id in op_ids:
            known, unknown = self._attempts.get(op_id, (0, 0))
            self._attempts[op_id] = (known + accepted, unknown + (not accepted))
        patience_s = PATIENCE_S if accepted else self._random.choice([0.01, 0.05, 0.2])
        if self._await_ends(op_ids, time.monotonic() + patience_s):
            return True
        missed_nothing = self._wire.is_same_life and self._ear.gaps == gaps
        assert not (accepted and missed_nothing), f"no end of {op_ids} after {PATIENCE_S} s"
        return False

    def _await_ends(self, op_ids: Sequence[str], until_s: float) -> bool:
        gaps = self._ear.gaps
        with self._ear.changed:
            while not all(op_id in self._ear.outcomes for op_id in op_ids):
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._ear.gaps != gaps:
                    return False
                self._wait(min(left_s, 0.1))
        return True

    def _pause(self) -> None:
        with self._ear.changed:
            self._wait(0.02)

    def _records(self) -> list[Record]:
        """Return a record of each operation for each end that was heard of it."""
        records = []
        for op_id, sent in self._sent.items():
            for event, heard_s in self._ear.outcomes.get(op_id, ()):
                outcome: Acked | Conflicted | Refused
                if event.type == "ack":
                    outcome = Acked(version_of(event["server_version"]))
                elif event.type == "conflict" and event["reason"] == "etag_mismatch":
                    outcome = Conflicted(version_of(event["expected_version"]))
                else:
                    outcome = Refused(event.data.get("code") or event.data.get("reason", ""))
                records.append(
                    Record(op_id, self._orders.name, "write", sent.base, sent.first_s, heard_s, outcome, sent.ref)
                )
        return records


def _at(position: Json) -> Json:
    return {"type": "position", "position": position}
