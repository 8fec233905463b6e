"""A disk that fails under a running server: nothing is lost, nothing is kept back, and it mends itself."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from canvas_server.storage.connection import BUSY_TIMEOUT_S
from canvas_server.web.health import CHECK_S_MAX
from tests.crash import faults
from tests.crash.clients import Client
from tests.crash.faults import Fault, Ground, UnableError
from tests.crash.programs import require
from tests.crash.saved import saved_text
from tests.crash.servers import Server, Servers, starting_servers
from tests.crash.serving_process import Durability, Life
from tests.listener import PATIENCE_S, Event, Listener
from tests.proof.findings import Findings
from tests.serving import Json, append

REF: Final = "notes"
INTERVAL_S: Final = 0.3
RETRY_S_MAX: Final = 2.0
TOLD_S_MAX: Final = 1.0
"""From the end of an attempt to the event; the attempt itself may wait for a lock."""
MENDED_S_MAX: Final = 5.0
SLACK_S: Final = 2.0
"""What a busy machine may take longer."""
ASKED: Final = 12
ASKED_EVERY_S: Final = 0.25

FAULTS: Final = {
    "full": faults.full,
    "bounded": faults.bounded,
    "hemmed": faults.hemmed,
    "locked": faults.locked,
    "read-only": faults.read_only,
    "replaced": faults.replaced,
    "deleted": faults.deleted,
    "moved": faults.moved,
    "unwritable": faults.unwritable,
    "unsynced": faults.unsynced,
}
INJECTED: Final = ("unwritable", "unsynced", "unopenable")
"""Those that take libfiu."""
MUTE: Final = ("bounded",)
"""Those in which the log, a file here, cannot be written either."""
LONG: Final = "long" * 4096
"""Text that takes pages of its own."""


class Patient:
    """A server whose disk is to fail, seen by an author and a listener."""

    def __init__(self, server: Server, client: Client, listener: Listener, data_dir: Path, log: Path) -> None:
        self.server = server
        self._log = log
        self._complained = len(log.read_text())
        self.ground = Ground(data_dir, server.pid)
        self._client = client
        self._listener = listener

    @property
    def complaints(self) -> str:
        """What the server has complained about since it started."""
        return self._log.read_text()[self._complained :]

    def submit(self, op_id: str, more: str = "") -> None:
        """Append the name of an operation to the text, and more if there is."""
        version = self.state()["version"]
        operation = append(f"{op_id} {more}", op_id=op_id, client_version=version)
        status, answer = self._client.ask("POST", f"/canvas/{REF}/ops:stream", {"ops": [operation]})
        assert status == 202, answer

    def state(self) -> Json:
        """Return what GET answers."""
        status, state = self._client.ask("GET", f"/canvas/{REF}")
        assert status == 200, state
        return state

    def health(self, name: str) -> int:
        """Return the status of `healthz` or `readyz`."""
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", f"/{name}")
            return connection.getresponse().status

    def expect_ready(self, *, within_s: float) -> float:
        """Return how long it took until the server said that it was ready."""
        started_s = time.monotonic()
        while self.health("readyz") != 200:
            assert seconds_since(started_s) < within_s, "the server does not mend"
            time.sleep(0.05)
        return seconds_since(started_s)

    def unready_reasons(self) -> tuple[list[str], float]:
        """Return why the server is not ready, and how long it took to say so."""
        started_s = time.monotonic()
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            reasons = json.loads(answer.read())["reasons"]
        assert answer.status == 503, reasons
        return reasons, seconds_since(started_s)

    def ready(self) -> tuple[int, float]:
        """Return the status of `readyz`, and how long it took."""
        started_s = time.monotonic()
        return self.health("readyz"), seconds_since(started_s)

    def until(self, kind: str, **fields: object) -> list[Event]:
        """Return the events up to the next of that type, with those fields."""
        return self._listener.until(kind, **fields)

    def expect(self, kind: str, **fields: object) -> Event:
        """Return the next event of that type, with those fields."""
        return self.until(kind, **fields)[-1]

    def expect_saved(self) -> Event:
        """Return the next event of a checkpoint that succeeded."""
        while (event := self.expect("checkpoint")).data.get("failed"):
            pass
        return event


@contextmanager
def patient(servers: Servers, folder: Path, durability: Durability) -> Iterator[Patient]:
    """Start a server with one canvas, all of it on disk."""
    life = Life(
        data_dir=str(folder / "data"),
        durability=durability,
        interval_s=INTERVAL_S,
        retry_max_s=RETRY_S_MAX,
        hems=True,
    )
    with servers.running(life) as server, Client(server.port) as client:
        assert client.ask("PUT", f"/canvas/{REF}", {})[0] == 201
        with Listener(server.port, f"/api/v2/canvas/{REF}/ops:listen") as listener:
            one = Patient(server, client, listener, folder / "data", servers.log)
            one.submit("well")
            one.expect("ack", op_id="well")
            one.expect_saved()
            yield one


@contextmanager
def fault_of(fault: Fault, ground: Ground) -> Iterator[None]:
    """Have the fault for the time of the block, or skip the test if this machine cannot."""
    with ExitStack() as stack:
        try:
            stack.enter_context(fault(ground))
        except UnableError as error:
            pytest.skip(str(error))
        yield


@contextmanager
def place_for(name: str, servers: Servers, folder: Path) -> Iterator[tuple[Servers, Path]]:
    """Give what starts servers, and a folder on a disk, that can have the fault."""
    with ExitStack() as stack:
        if name == "full":
            try:
                folder = stack.enter_context(faults.small_disk(folder / "disk"))
            except UnableError as error:
                pytest.skip(str(error))
        if name in INJECTED:
            require("fiu-run")
            servers = stack.enter_context(starting_servers(folder / "log", "fiu-run", "-x"))
        yield servers, folder


def stop_and_read(one: Patient) -> str:
    """Stop the server, which must say that all is on disk, and return what is there."""
    one.server.signal(signal.SIGTERM)
    assert one.server.ending().code == 0
    return saved_text(one.ground.data_dir, REF)


def seconds_since(started_s: float) -> float:
    return time.monotonic() - started_s


@pytest.mark.promise("R4")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_editing_goes_on_over_a_failing_disk_and_is_saved_once_that_is_mended(
    servers: Servers, tmp_path: Path, findings: Findings, name: str
) -> None:
    attempt_s = INTERVAL_S + (BUSY_TIMEOUT_S if name == "locked" else 0.0)
    with place_for(name, servers, tmp_path) as place, patient(*place, "checkpoint") as one:
        with fault_of(FAULTS[name], one.ground):
            one.submit("first", LONG)
            one.expect("ack", op_id="first")
            acked_s = time.monotonic()
            failed = [one.expect("checkpoint", failed=True)]
            told_s = seconds_since(acked_s) - attempt_s
            one.submit("second")
            one.expect("ack", op_id="second")
            assert one.state()["content"] == f"well first {LONG}second "
            assert one.health("healthz") == 200
            reasons, asked_s = one.unready_reasons()
            failed.append(one.expect("checkpoint", failed=True))
        mended_s = time.monotonic()
        one.expect_saved()
        saved_s = seconds_since(mended_s)
        assert one.health("readyz") == 200
        one.submit("third")
        assert stop_and_read(one) == f"well first {LONG}second third "
        complaints = one.complaints
    findings.tell("R4", f"disk {name}: failure told after the attempt", f"{told_s:.2f} s", goal=f"{TOLD_S_MAX} s")
    findings.tell("R4", f"disk {name}: readyz says why within", f"{asked_s:.2f} s", goal=f"{CHECK_S_MAX} s")
    findings.tell("R4", f"disk {name}: saved after it was mended", f"{saved_s:.2f} s", goal=f"{MENDED_S_MAX} s")
    assert [event["retry_in_ms"] for event in failed] == [1000, 2000]
    assert told_s <= TOLD_S_MAX + SLACK_S
    assert "1 canvases could not be saved in time" in reasons
    assert asked_s <= CHECK_S_MAX + SLACK_S
    assert saved_s <= MENDED_S_MAX + SLACK_S
    assert name in MUTE or "checkpoint failed" in complaints


@pytest.mark.promise("R4")
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_journal_acks_nothing_over_a_failing_disk_and_takes_it_once_that_is_mended(
    servers: Servers, tmp_path: Path, findings: Findings, name: str
) -> None:
    with place_for(name, servers, tmp_path) as place, patient(*place, "journal") as one:
        before = one.state()
        with fault_of(FAULTS[name], one.ground):
            one.submit("first", LONG)
            events = one.until("error", op_id="first")
            assert (events[-1]["code"], {event.type for event in events[:-1]} <= {"checkpoint"}) == (
                "STORAGE_UNAVAILABLE",
                True,
            )
            assert one.state() == before
            assert one.health("healthz") == 200
            assert one.unready_reasons()[0]
        ready_s = one.expect_ready(within_s=MENDED_S_MAX + SLACK_S)
        one.submit("first")
        one.expect("ack", op_id="first")
        assert stop_and_read(one) == "well first "
        assert name in MUTE or "journal failed" in one.complaints
    findings.tell("R4", f"disk {name}: journal taken again after it was mended", f"{ready_s:.2f} s", goal="5.0 s")


@pytest.mark.promise("R4", "R1")
@pytest.mark.slow
@pytest.mark.parametrize("durability", ["checkpoint", "journal"])
@pytest.mark.parametrize("name", FAULTS)
def test_what_was_told_durable_outlives_a_failing_disk_and_a_kill_in_the_middle_of_it(
    servers: Servers, tmp_path: Path, name: str, durability: Durability
) -> None:
    with place_for(name, servers, tmp_path) as place:
        with patient(*place, durability) as one:
            with fault_of(FAULTS[name], one.ground):
                one.submit("first", LONG)
                if durability == "checkpoint":
                    one.expect("checkpoint", failed=True)
                else:
                    one.expect("error", op_id="first")
                one.server.kill()
                one.server.ending()
            data_dir = one.ground.data_dir
        life = Life(data_dir=str(data_dir), durability=durability, interval_s=INTERVAL_S)
        with place[0].running(life) as server, Client(server.port) as client:
            state = client.ask("GET", f"/canvas/{REF}")[1]
            # A commit whose sync failed may stand in the log all the same; whoever sends it again is told so.
            assert state["content"] in ("well ", f"well first {LONG}")
            with Listener(server.port, f"/api/v2/canvas/{REF}/ops:listen") as listener:
                client.submit(REF, [append(f"first {LONG}", op_id="first", client_version=state["version"])])
                listener.expect("ack", op_id="first")
            server.signal(signal.SIGTERM)
            assert server.ending().code == 0
        assert saved_text(data_dir, REF) == f"well first {LONG}"


@pytest.mark.promise("R4")
@pytest.mark.slow
@pytest.mark.parametrize("durability", ["checkpoint", "journal"])
def test_a_server_that_can_open_no_file_goes_on_with_those_it_has(
    servers: Servers, tmp_path: Path, durability: Durability
) -> None:
    with place_for("unopenable", servers, tmp_path) as place, patient(*place, durability) as one:
        with fault_of(faults.unopenable, one.ground):
            for number in range(5):
                one.submit(f"op-{number}")
                one.expect("ack", op_id=f"op-{number}")
                one.expect_saved()
            assert one.health("readyz") == 200
        assert stop_and_read(one) == "well op-0 op-1 op-2 op-3 op-4 "


@pytest.mark.promise("R4")
@pytest.mark.slow
def test_whoever_asks_again_and_again_whether_the_server_is_ready_is_answered_and_holds_up_no_checkpoint(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    """Each question waited for the lock behind those before it, and so did the checkpoints."""
    with patient(servers, tmp_path, "checkpoint") as one, ThreadPoolExecutor(ASKED) as asking:
        with fault_of(faults.locked, one.ground):
            one.submit("first")
            answers = []
            for _ in range(ASKED):
                answers.append(asking.submit(one.ready))
                time.sleep(ASKED_EVERY_S)
            asked_s = time.monotonic()
            one.expect("checkpoint", failed=True)
            late_s = seconds_since(asked_s)
            told = [answer.result() for answer in answers]
        one.expect_saved()
    slowest_s = max(took_s for _status, took_s in told)
    findings.tell("R4", "slowest readyz, database locked", f"{slowest_s:.2f} s", goal=f"{CHECK_S_MAX} s")
    assert {status for status, _took_s in told} == {503}
    assert slowest_s <= CHECK_S_MAX + SLACK_S
    assert late_s <= 2 * BUSY_TIMEOUT_S
