"""Who comes back hears exactly what it missed, or is told that it cannot and gets the whole text (PROTOCOL section 5).

Readers resume from their last id, from older ones, from ones that are long gone and from ones that never were, by
header and by query, cut at any byte, while somebody writes and the server is killed and started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Final

import pytest

from tests.crash.clients import Client
from tests.crash.servers import Server, Servers
from tests.crash.serving_process import Life
from tests.order.address import Address, announce
from tests.order.follower import Json, version_of
from tests.order.trial import history
from tests.order.wanderer import Wanderer, Whence
from tests.proof.findings import Findings
from tests.proof.lane import amount

REFS: Final = ("here", "there")
VISITS: Final = amount(ci=500, hand=10_000)
KILLS: Final = amount(ci=3, hand=20)
WANDERERS: Final = 6
EARLIER_OPS: Final = 1_600
"""More than a log holds by far, so that the first of them are evicted."""
TEXT: Final = "é🦊 and so on. " * 50
RUN_S_MAX: Final = amount(ci=600, hand=1_200)


class House:
    """A server over several lives, and an author who never stops writing.

    Args:
        servers: starts them.
        folder: empty.
    """

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers = servers
        self._folder = folder
        self._lives = 0
        self._written = 0
        self._stopped = Event()
        self._author = Thread(target=self._write, name="author", daemon=True)
        self._ending = ExitStack()
        self.address_file = folder / "address"
        self.evicted: dict[str, list[str]] = {}

    def __enter__(self) -> House:
        with ExitStack() as starting:
            starting.push(self._ending)
            self._server = self._start()
            self.evicted.update((ref, self._write_earlier(ref)) for ref in REFS)
            self._author.start()
            self._ending.callback(self._stop_author)
            starting.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.close()

    def restart(self) -> None:
        """Kill the server and start another one."""
        self._server.kill()
        self._server.ending()
        self._server = self._start()

    def history(self, ref: str) -> Iterator[Json]:
        """Yield all acks of a canvas."""
        return history(self._server.port, ref)

    def _start(self) -> Server:
        life = Life(data_dir=str(self._folder / "data"), durability="journal")
        server = self._ending.enter_context(self._servers.running(life))
        announce(self.address_file, Address(self._lives, server.port))
        self._lives += 1
        return server

    def _stop_author(self) -> None:
        self._stopped.set()
        self._author.join()

    def _write_earlier(self, ref: str) -> list[str]:
        """Fill the log of a canvas; return ids that it holds no more."""
        with Client(self._server.port) as client:
            assert client.ask("PUT", f"/canvas/{ref}", {"content": TEXT})[0] == 201
            for _ in range(EARLIER_OPS // 100):
                self._submit(client, ref, 100)
            acks = client.ask("GET", f"/canvas/{ref}/ops?limit=100")[1]["events"]
        return [version_of(ack["server_version"]).cursor for ack in acks]

    def _write(self) -> None:
        """Write into all canvases, over and over, until stopped."""
        while not self._stopped.is_set():
            try:
                with Client(self._server.port) as client:
                    while not self._stopped.wait(0.01):
                        for ref in REFS:
                            self._submit(client, ref, 1)
            except (OSError, HTTPException):
                self._stopped.wait(0.05)

    def _submit(self, client: Client, ref: str, count: int) -> None:
        version = client.ask("GET", f"/canvas/{ref}")[1]["version"]
        first, *others = [self._operation() for _ in range(count)]
        client.submit(ref, [{**first, "client_version": version}, *others])

    def _operation(self) -> Json:
        """Return an operation that replaces nearly all of the text by other text of the same length."""
        self._written += 1
        target = {"type": "position", "position": {"mode": "range", "from": 0, "to": 600}}
        content = f"{self._written} {TEXT}"[:600]
        return {"op_id": f"op-{self._written}", "action": "replace", "target": target, "content": content}


@pytest.mark.slow
@pytest.mark.timeout(RUN_S_MAX)
@pytest.mark.promise("R12")
def test_every_reader_that_comes_back_goes_on_where_it_was_or_is_reset(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    with House(servers, tmp_path) as house:
        wanderers = [
            Wanderer(house.address_file, house.evicted, "utf16" if number % 2 else "codepoint", Random(number))
            for number in range(WANDERERS)
        ]
        visits = wander(house, wanderers)
        held = {(ref, ack["server_version"]): ack["op_id"] for ref in REFS for ack in house.history(ref)}
    for wanderer in wanderers:
        for ref, follower in wanderer.followers.items():
            for (_life, etag), heard in follower.heard.items():
                assert heard.op_id in (None, held[ref, etag])
    assert min(visits[whence] for whence in ("last", "older", "evicted", "nowhere")) >= VISITS / 20
    findings.tell("R12", "resumes by where from, cut at random bytes", dict(visits), goal="0 holes, 0 without a word")


def wander(house: House, wanderers: list[Wanderer]) -> Counter[Whence]:
    """Let readers come and go until they came often enough, and restart the server meanwhile."""
    for wanderer in wanderers:
        wanderer.start()
    for number in range(KILLS + 1):
        while sum(sum(wanderer.visits.values()) for wanderer in wanderers) < VISITS * (number + 1) / (KILLS + 1):
            wanderers[0].join(0.05)
            for wanderer in wanderers:
                wanderer.check()
        if number < KILLS:
            house.restart()
    for wanderer in wanderers:
        wanderer.stop()
    return sum((wanderer.visits for wanderer in wanderers), Counter[Whence]())
