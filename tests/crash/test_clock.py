"""A wall clock that jumps under a running server: nothing is saved later, no money moves, and the log says so."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.crash.clients import Client
from tests.crash.job_books import Books, read_books
from tests.crash.job_process import JobLife
from tests.crash.job_servers import JobClient, JobReader, starting_job_servers, stream_of
from tests.crash.servers import Server, Servers
from tests.crash.wall_clock import WallClock
from tests.double.running import Double
from tests.listener import PATIENCE_S, Listener
from tests.proof.findings import Findings
from tests.serving import append

REF: Final = "notes"
JUMPED: Final = "the wall clock jumped"
INTERVAL_S: Final = 0.5
SLACK_S: Final = 2.0
"""What a busy machine may take longer."""
STOPPED_S: Final = 4.0
"""Eight intervals, as 80 s are of the default one."""

DAY_S: Final = 86_400
pytestmark = pytest.mark.slow


def by(seconds: int) -> Callable[[datetime], int]:
    return lambda _now: seconds


def to(moment: datetime) -> Callable[[datetime], int]:
    return lambda now: round((moment - now).total_seconds())


def to_month_end(now: datetime) -> int:
    """Set it to the last seconds of the month where the quota is counted, in Paris."""
    following = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return round((following - now).total_seconds()) - 3600 - 3


JUMPS: Final = {
    "an hour back": by(-3600),
    "an hour ahead": by(3600),
    "40 days ahead": by(40 * DAY_S),
    "40 days back": by(-40 * DAY_S),
    "the end of the month": to_month_end,
    "summer time": to(datetime(2027, 3, 28, 0, 59, 57, tzinfo=UTC)),
    "2038": to(datetime(2038, 1, 19, 3, 14, 4, tzinfo=UTC)),
    "1970": to(datetime(1970, 1, 2, tzinfo=UTC)),
}


class Ground(NamedTuple):
    """Where the clock is to jump."""

    servers: Servers
    clock: WallClock
    double: Double


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("clock")
    clock = WallClock(folder / "time")
    with Double.spawn() as double, starting_job_servers(folder / "log", clock.environment()) as servers:
        double.script(words=10, default=True)
        yield Ground(servers, clock, double)


class Watched:
    """A server whose clock is to jump, with an author and a listener."""

    def __init__(self, ground: Ground, server: Server, client: Client, listener: Listener, data_dir: Path) -> None:
        self.server = server
        self.clock = ground.clock
        self._log = ground.servers.log
        self._told_before = self._log.read_text().count(JUMPED)
        self._client = client
        self._listener = listener
        self._data_dir = data_dir
        self._count = 0

    @property
    def jumps_told(self) -> int:
        """How many jumps the log tells of, of this server."""
        return self._log.read_text().count(JUMPED) - self._told_before

    def write(self) -> None:
        """Have an operation acked."""
        self._count += 1
        version = self._client.ask("GET", f"/canvas/{REF}")[1]["version"]
        self._client.submit(REF, [append("x", op_id=f"op-{self._count}", client_version=version)])
        self._listener.expect("ack", op_id=f"op-{self._count}")

    def expect_saved_in_s(self) -> float:
        """Return how long the next checkpoint takes."""
        since_s = time.monotonic()
        assert not self._listener.expect("checkpoint").data.get("failed")
        return time.monotonic() - since_s

    def expect_jump(self, count: int) -> None:
        """Return when the log tells of so many jumps."""
        until_s = time.monotonic() + PATIENCE_S
        while self.jumps_told < count:
            assert time.monotonic() < until_s, "the log does not tell of the jump"
            time.sleep(0.05)

    def buy(self, key: int) -> int:
        """Have a model write, and return the status of the answer."""
        with JobClient(self.server.port) as jobs:
            body = {"prompt": "Write.", "provider": "openai", "max_output_tokens": 50, "idempotency_key": f"key-{key}"}
            answer = jobs.start(body)
            if answer.is_success:
                reader = JobReader(stream_of(answer.json()["job_id"]))
                reader.read(self.server.port)
                assert jobs.job(answer.json()["job_id"])["state"] == "completed"
            return answer.status_code

    def books(self) -> Books:
        """Return the books, which add up."""
        books = read_books(self._data_dir)
        books.check_quiet()
        return books


@contextmanager
def watched(ground: Ground, folder: Path) -> Iterator[Watched]:
    ground.clock.shift(0)
    data_dir = folder / "data"
    life = JobLife(data_dir=str(data_dir), double_url=ground.double.url, interval_s=INTERVAL_S)
    with ground.servers.running(life) as server, Client(server.port) as client:
        assert client.ask("PUT", f"/canvas/{REF}", {})[0] == 201
        with Listener(server.port, f"/api/v2/canvas/{REF}/ops:listen") as listener:
            yield Watched(ground, server, client, listener, data_dir)
    ground.clock.shift(0)


@pytest.mark.promise("R25")
@pytest.mark.parametrize("name", JUMPS)
def test_a_clock_that_jumps_there_and_back_delays_no_checkpoint_and_moves_no_money(
    ground: Ground, tmp_path: Path, findings: Findings, name: str
) -> None:
    with watched(ground, tmp_path) as one:
        assert one.buy(1) == 201
        before = one.books()
        one.write()
        one.clock.shift(JUMPS[name](datetime.now(UTC)))
        saved_s = [one.expect_saved_in_s()]
        one.expect_jump(1)
        one.write()
        saved_s.append(one.expect_saved_in_s())
        bought = one.buy(2)
        there = one.books()
        one.write()
        one.clock.shift(0)
        saved_s.append(one.expect_saved_in_s())
        one.expect_jump(2)
        assert one.books() == there, "the way back moves nothing"
        assert one.buy(1) == 200, "what was bought is known"
        assert one.buy(3) == 201
        after = one.books()
        one.server.signal(signal.SIGTERM)
        assert one.server.ending().code == 0
    # There are no prices for 1970.
    assert bought == (422 if name == "1970" else 201)
    assert set(before.entries) <= set(there.entries) <= set(after.entries), "what was paid stays where it was paid"
    findings.tell("R25", f"{name}: slowest of 3 checkpoints", f"{max(saved_s):.2f} s", goal=f"{INTERVAL_S} s")
    assert max(saved_s) <= INTERVAL_S + SLACK_S


@pytest.mark.promise("R25")
def test_a_server_that_stood_still_saves_at_once_and_tells_of_no_jump(
    ground: Ground, tmp_path: Path, findings: Findings
) -> None:
    with watched(ground, tmp_path) as one:
        assert one.buy(1) == 201
        before = one.books()
        one.write()
        one.server.signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        one.server.signal(signal.SIGCONT)
        saved_s = one.expect_saved_in_s()
        one.write()
        again_s = one.expect_saved_in_s()
        assert one.books() == before
        assert one.jumps_told == 0
    findings.tell("R25", f"saved after {STOPPED_S} s of SIGSTOP", f"{saved_s:.2f} s", goal=f"{INTERVAL_S} s")
    assert max(saved_s, again_s) <= INTERVAL_S + SLACK_S
