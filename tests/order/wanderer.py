"""A reader that comes and goes: it resumes from ids of all kinds, by header and by query, and is cut at any byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from threading import Event as Flag
from threading import Thread
from typing import Final, Literal, NamedTuple
from urllib.parse import urlencode

from canvas_server.core.operation import Unit
from tests.listener import PATIENCE_S, Frames
from tests.order.address import read_address
from tests.order.follower import Follower, version_of

LAG_MAX: Final = 200
"""Who is no further behind is resumed: so much is in every log."""
CUT_BYTES: Final = 15_000
HEADS_MAX: Final = 3_000

Whence = Literal["last", "older", "first", "evicted", "nowhere"]
_WHENCE: Final[list[Whence]] = ["last", "last", "last", "older", "older", "first", "evicted", "nowhere"]


class Visit(NamedTuple):
    """Where one connection asks to go on, in each canvas that it listens to."""

    whence: dict[str, Whence]
    cursors: dict[str, str]
    target: str
    headers: dict[str, str]


class Wanderer(Thread):
    """Visits two canvases until it is told to stop.

    Args:
        address_file: says where the server is.
        evicted: by ref, ids that no log holds any more.
        unit: in which it counts offsets.
        random: decides what it asks for, and where it is cut.

    Attributes:
        visits: how often it was answered, by what it had asked for.
        followers: by ref.
    """

    def __init__(self, address_file: Path, evicted: Mapping[str, Sequence[str]], unit: Unit, random: Random) -> None:
        super().__init__(name="wanderer", daemon=True)
        self._address_file = address_file
        self._evicted = evicted
        self._unit = unit
        self._random = random
        self._stopped = Flag()
        self._failure: BaseException | None = None
        self.visits: Counter[Whence] = Counter()
        self.followers = {ref: Follower(unit, HEADS_MAX) for ref in evicted}

    def stop(self) -> None:
        """Visit no more; raise what failed."""
        self._stopped.set()
        self.join(2 * PATIENCE_S)
        self.check()

    def check(self) -> None:
        """Raise what failed, if something did."""
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                visit = self._plan()
                arrived = {ref: len(self.followers[ref].arrivals) for ref in visit.whence}
                with suppress(OSError, HTTPException):
                    self._make(visit)
                for ref, whence in visit.whence.items():
                    if len(self.followers[ref].arrivals) > arrived[ref]:
                        self._check_arrival(ref, whence)
                self._stopped.wait(self._random.choice([0.0, 0.0, 0.01]))
        except BaseException as failure:  # noqa: BLE001 - told by `check`, in the thread of the test
            self._failure = failure

    def _plan(self) -> Visit:
        refs = list(self.followers)
        many = self._random.random() < 0.3
        whence = {ref: self._random.choice(_WHENCE) for ref in (refs if many else [self._random.choice(refs)])}
        cursors = {}
        for ref, kind in whence.items():
            cursor = self._cursor(ref, kind)
            if cursor is None:
                whence[ref] = "first"
            else:
                cursors[ref] = cursor
        query: list[tuple[str, str]] = [("unit", self._unit)]
        headers: dict[str, str] = {}
        if many:
            query += [("ref", ref) for ref in whence]
            query += [("last_event_id", f"{ref}:{cursor}") for ref, cursor in cursors.items()]
            return Visit(whence, cursors, f"/api/v2/ops:listen?{urlencode(query)}", headers)
        (ref,) = whence
        if ref in cursors:
            how = self._random.choice(["header", "query", "both"])
            if how != "query":
                headers["Last-Event-ID"] = cursors[ref]
            if how != "header":
                query.append(("last_event_id", cursors[ref] if how == "query" else self._evicted[ref][0]))
        return Visit(whence, cursors, f"/api/v2/canvas/{ref}/ops:listen?{urlencode(query)}", headers)

    def _cursor(self, ref: str, whence: Whence) -> str | None:
        """Return an id to ask for; None while there is none of that kind."""
        follower = self.followers[ref]
        match whence:
            case "last":
                return follower.cursor
            case "older":
                return self._random.choice(list(follower.heads)[-500:]) if follower.heads else None
            case "evicted":
                return self._random.choice(self._evicted[ref])
            case "nowhere":
                seq = 1 if follower.head is None else follower.head.version.seq
                return self._random.choice(["garbage", f"{seq}-{'0' * 16}", f"{seq + 10**6}-{'f' * 16}", "7"])
            case "first":
                return None

    def _make(self, visit: Visit) -> None:
        """Listen for a while, and go in the middle of it."""
        life, port = read_address(self._address_file)
        cut = self._random.expovariate(1 / CUT_BYTES)
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", visit.target, headers=visit.headers)
            with connection.getresponse() as response:
                assert response.status == 200
                for ref in visit.whence:
                    self.followers[ref].arrive(visit.cursors.get(ref), life)
                frames, count = Frames(), 0
                while count < cut and not self._stopped.is_set():
                    piece = response.read1(int(cut - count) + 1)
                    if not piece:
                        return
                    count += len(piece)
                    for event in frames.feed(piece):
                        self.followers[event["canvas"]].hear(event)

    def _check_arrival(self, ref: str, whence: Whence) -> None:
        """Hold what was said to what was asked."""
        how, asked, told = self.followers[ref].arrivals[-1]
        self.visits[whence] += 1
        match whence:
            case "last" | "older":
                assert asked is not None
                lag = told.seq - version_of(f'W/"{asked}"').seq
                assert how == "resumed" or (how == "evicted" and lag > LAG_MAX), (how, lag)
            case "first":
                assert how == "snapshot"
            case "evicted":
                assert how == "evicted"
            case "nowhere":
                assert how == "history"
