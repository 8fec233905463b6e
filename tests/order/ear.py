"""The stream of one client: cut at any byte, and taken up again where it was."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from threading import Condition, Thread
from typing import NamedTuple
from urllib.parse import urlencode

from canvas_server.core.operation import Unit
from tests.listener import PATIENCE_S, Event, Frames
from tests.order.address import read_address
from tests.order.follower import OUTCOMES, Follower


class Outcome(NamedTuple):
    """What was heard to have become of an operation."""

    event: Event
    heard_s: float
    """By the monotonic clock."""


class Ear(Thread):
    """Listens to canvases over one connection after the other until it is told to stop.

    Args:
        address_file: says where the server is.
        refs: of the canvases.
        unit: in which it counts offsets.
        random: decides where connections are cut.
        cut_bytes: after how many bytes they are, on average; 0 for never.

    Attributes:
        changed: notified when something was heard, or listening failed. Hold it to look at what follows.
        followers: by ref.
        outcomes: by op_id, in the order they were heard; after a resume some may be heard again.
        gaps: how often something may have been missed.
    """

    def __init__(self, address_file: Path, refs: Sequence[str], unit: Unit, random: Random, cut_bytes: int) -> None:
        super().__init__(name="ear", daemon=True)
        self._address_file = address_file
        self._unit = unit
        self._random = random
        self._cut_bytes = cut_bytes
        self._stopped = False
        self._failure: BaseException | None = None
        self._socket: socket.socket | None = None
        self.changed = Condition()
        self.followers: Mapping[str, Follower] = {ref: Follower(unit) for ref in refs}
        self.outcomes: dict[str, list[Outcome]] = {}
        self.gaps = 0

    def stop(self) -> None:
        """Hear no more, and wait until it is so."""
        self._stopped = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self.join(PATIENCE_S)
        self.check()

    def check(self) -> None:
        """Raise what ended the listening, if something did."""
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        try:
            while not self._stopped:
                with suppress(OSError, HTTPException):
                    self._listen()
                    continue
                time.sleep(0.02)
        except BaseException as failure:  # noqa: BLE001 - told by `check`, in the thread of the client
            self._failure = failure
            with self.changed:
                self.changed.notify_all()

    def _listen(self) -> None:
        """Listen until the connection ends or is cut."""
        asked = {ref: follower.cursor for ref, follower in self.followers.items()}
        query = [("unit", self._unit), *(("ref", ref) for ref in asked)]
        query += [("last_event_id", f"{ref}:{cursor}") for ref, cursor in asked.items() if cursor]
        cut = self._random.expovariate(1 / self._cut_bytes) if self._cut_bytes else float("inf")
        life, port = read_address(self._address_file)
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", f"/api/v2/ops:listen?{urlencode(query)}")
            self._socket = connection.sock
            with connection.getresponse() as response:
                assert response.status == 200
                self._arrive(asked, life)
                frames, count = Frames(), 0
                while count < cut and not self._stopped:
                    piece = response.read1(min(65_536, int(cut - count) + 1) if self._cut_bytes else 65_536)
                    if not piece:
                        return
                    count += len(piece)
                    self._take_in(list(frames.feed(piece)))

    def _arrive(self, asked: Mapping[str, str | None], life: int) -> None:
        with self.changed:
            for ref, follower in self.followers.items():
                follower.arrive(asked[ref], life)

    def _take_in(self, events: Sequence[Event]) -> None:
        now_s = time.monotonic()
        with self.changed:
            for event in events:
                if event.type == "bye":
                    continue
                self.followers[event["canvas"]].hear(event)
                self.gaps += event.type == "snapshot"
                if event.type in OUTCOMES:
                    self.outcomes.setdefault(event["op_id"], []).append(Outcome(event, now_s))
            self.changed.notify_all()
