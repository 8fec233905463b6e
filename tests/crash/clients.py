"""Clients that write and listen until the server is gone; each has a thread and connections of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from random import Random
from threading import Thread
from typing import Final
from urllib.parse import urlencode

from tests.crash.lineage import Head, Lineage
from tests.listener import PATIENCE_S, Frames
from tests.serving import Json, at

PIECES: Final = ("word ", "two words ", "\n\nA paragraph.\n\n", "é🦊 ", "")
READING_S: Final = 0.05
"""Between two reads of a reader."""


class StoppingError(Exception):
    """The server takes nothing more, because it stops."""


class Client:
    """A connection to a server; raises `OSError` or `HTTPException` when it is gone."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Send a request and return status and JSON of the answer."""
        sent = None if body is None else json.dumps(body).encode()
        self._connection.request(method, f"/api/v2{path}", sent, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def submit(self, ref: str, operations: list[Json]) -> None:
        """Send operations; raises `StoppingError` if the server takes nothing more."""
        status, answer = self.ask("POST", f"/canvas/{ref}/ops:stream?unit=codepoint", {"ops": operations})
        if answer.get("code") == "DRAINING":
            raise StoppingError
        assert status == 202, answer


class Worker(Thread):
    """A thread that works until the server is gone, or stops; whatever else ends it fails the test."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except (OSError, HTTPException, StoppingError):
            return
        except BaseException as failure:  # noqa: BLE001 - told by `finish`, in the thread of the test
            self._failure = failure

    def work(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Wait until it has ended, and fail if it has."""
        self.join()
        if self._failure is not None:
            raise self._failure


class Recorder(Worker):
    """Listens to all canvases over one connection, and takes in each event as its bytes arrive.

    Args:
        port: of the server.
        lineages: by ref.
        after_event: called once the event of that number, from 1, was taken in.
    """

    def __init__(self, port: int, lineages: Mapping[str, Lineage], after_event: Callable[[int], None]) -> None:
        super().__init__("recorder")
        self._lineages = lineages
        self._after_event = after_event
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        refs = [("ref", ref) for ref in lineages]
        self._connection.request("GET", f"/api/v2/ops:listen?{urlencode([*refs, ('unit', 'codepoint')])}")
        self._response = self._connection.getresponse()
        self._kill: Callable[[], None] = lambda: None

    @contextmanager
    def listening(self, kill: Callable[[], None]) -> Iterator[None]:
        """Listen until the server is gone; `kill` sees to it when listening fails, so that nobody writes for ever."""
        self._kill = kill
        self.start()
        try:
            with suppress(OSError, HTTPException):
                yield
        finally:
            self.finish()

    def work(self) -> None:
        try:
            with closing(self._connection), closing(self._response):
                self._listen()
        finally:
            self._kill()

    def _listen(self) -> None:
        frames, count = Frames(), 0
        while piece := self._response.read1(65536):
            for event in frames.feed(piece):
                if event.type != "bye":
                    self._lineages[event["canvas"]].hear(event)
                count += 1
                self._after_event(count)


class Reader(Worker):
    """Reads one canvas after the other.

    Args:
        port: of the server.
        lineages: by ref.
    """

    def __init__(self, port: int, lineages: Mapping[str, Lineage]) -> None:
        super().__init__("reader")
        self._port = port
        self._lineages = lineages

    def work(self) -> None:
        with Client(self._port) as client:
            for ref in cycle(self._lineages):
                status, state = client.ask("GET", f"/canvas/{ref}?unit=codepoint")
                assert status == 200, state
                self._lineages[ref].read(state)
                time.sleep(READING_S)


class Writer(Worker):
    """Writes into all canvases, under all scopes, into the newest text it knows of.

    Args:
        port: of the server.
        lineages: by ref; what is sent is noted there before it is.
        random: decides what and where.
        name: begins its op ids, which no other may use.
        pause_s: between two requests, on average.
    """

    def __init__(
        self, port: int, lineages: Mapping[str, Lineage], random: Random, name: str, pause_s: float = 0.0
    ) -> None:
        super().__init__(name)
        self._port = port
        self._lineages = lineages
        self._random = random
        self._pause_s = pause_s
        self._count = 0

    def work(self) -> None:
        with Client(self._port) as client:
            while True:
                self._write(client)
                time.sleep(self._random.uniform(0, 2 * self._pause_s))

    def _write(self, client: Client) -> None:
        ref = self._random.choice(list(self._lineages))
        lineage = self._lineages[ref]
        head = lineage.head
        scope = self._random.choice(["canvas", "section", "range"])
        count = 1 if scope == "canvas" else self._random.randint(1, 5)
        operations = [self._operation(head, scope) for _ in range(count)]
        lineage.sent.update((operation["op_id"], operation) for operation in operations)
        client.submit(ref, operations)

    def _operation(self, head: Head, scope: str) -> Json:
        self._count += 1
        known = {"op_id": f"{self.name}-{self._count}", "client_version": head.version.etag, "scope": scope}
        content = self._random.choice(PIECES)
        start = self._random.randint(0, len(head.text))
        match self._random.randrange(3):
            case 0:
                return {**known, "action": "insert", "target": at("offset", offset=start), "content": content}
            case 1:
                end = min(start + self._random.randint(0, 12), len(head.text))
                target = at("range", **{"from": start, "to": end})
                return {**known, "action": "replace", "target": target, "content": content}
            case _:
                target = {"type": "heading", "heading": {"path": [self._random.choice(["One", "Two", "Three"])]}}
                return {**known, "action": "upsert_section", "target": target, "content": content}
