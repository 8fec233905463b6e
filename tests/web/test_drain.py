"""The way down of a real server process: nothing is lost, all are told, and it ends in time (PROTOCOL section 8)."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.listener import PATIENCE_S, Listener
from tests.proof.lane import amount
from tests.serving import append
from tests.upload import Upload

ROOT: Final = Path(__file__).parents[2]
DOWN_S: Final = 10.0 + amount(ci=10, hand=0)
"""How long a server may take to end, as the protocol promises; a busy machine may take longer."""
PATH: Final = "/api/v2/canvas/drained"

pytestmark = pytest.mark.slow


class Process:
    """A server of its own, on a port of its own.

    Args:
        data_dir: of its database.
    """

    def __init__(self, data_dir: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "canvas_server",
            "serve",
            "--no-auth",
            "--port",
            "0",
            "--data-dir",
            str(data_dir),
        ]
        self.popen = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.popen.stdout is not None
        told = re.fullmatch(r"canvas-server listens on (http://127\.0\.0\.1:([0-9]+))\n", self.popen.stdout.readline())
        assert told is not None
        self.port = int(told[2])
        self.http = httpx2.Client(base_url=told[1], timeout=PATIENCE_S, trust_env=False)

    def stop(self, *signals: signal.Signals) -> int:
        """Send signals, one after the other, and return the exit code."""
        for number in signals:
            self.popen.send_signal(number)
        return self.popen.wait(DOWN_S)


@contextmanager
def running(data_dir: Path) -> Iterator[Process]:
    process = Process(data_dir)
    try:
        yield process
    finally:
        process.http.close()
        process.popen.kill()
        process.popen.wait()
        assert process.popen.stdout is not None
        process.popen.stdout.close()


class Writers:
    """Authors that append without pause until they are refused.

    Args:
        port: of the server.
        version: that all of them stand on.
        count: how many.
    """

    def __init__(self, port: int, version: str, count: int) -> None:
        self.refusals: list[str] = []
        self._threads = [threading.Thread(target=self._write, args=(port, version, n)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self, port: int, version: str, author: int) -> None:
        url = f"http://127.0.0.1:{port}{PATH}/ops:stream"
        with suppress(httpx2.TransportError), httpx2.Client(timeout=PATIENCE_S, trust_env=False) as http:
            for number in range(100_000):
                op = append("x", op_id=f"by-{author}-{number}", client_version=version, scope="range")
                answer = http.post(url, json={"ops": [op]})
                if answer.status_code != 202:
                    self.refusals.append(answer.json()["code"])
                    return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_amid_work_tells_everybody_and_loses_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir) as server, ExitStack() as open_now:
        version = server.http.put(PATH, json={}).json()["version"]
        streams = [open_now.enter_context(Listener(server.port, f"{PATH}/ops:listen")) for _ in range(3)]
        upload = open_now.enter_context(Upload(server.port, f"{PATH}/ops:stream"))
        upload.line(append("a", op_id="streamed", client_version=version, scope="range"))
        upload.line({"content": "b"})
        streams[0].expect("ack", op_id="streamed.1")
        writers = Writers(server.port, version, 3)
        told = [listener.until("ack", op_id="by-2-5") for listener in streams]
        code = server.stop(number)
        for events, listener in zip(told, streams, strict=True):
            events.extend(listener.rest())
        answer = upload.answer()
        writers.join()
    assert code == 0
    for events in told:
        assert (events[-1].type, events[-1]["reason"]) == ("bye", "shutdown")
        assert {event["type"] for event in events[:-1]} <= {"start", "snapshot", "ack", "checkpoint"}
    assert (answer.status, answer.body["code"], answer.body["accepted_ops"]) == (503, "DRAINING", 2)
    assert answer.headers["retry-after"] == "3"
    assert set(writers.refusals) <= {"DRAINING"}
    last = next(event for event in reversed(told[0]) if event.type == "ack")
    durable = next(event for event in reversed(told[0]) if event.type == "checkpoint")
    assert durable["server_version"] == last["server_version"]
    with running(data_dir) as again:
        state = again.http.get(PATH).json()
        assert state["version"] == state["checkpoint_version"] == last["server_version"]
        assert len(state["content"]) == int(last["server_version"].split('"')[1].partition("-")[0])
        with Listener(again.port, f"{PATH}/ops:listen", {"Last-Event-ID": last["server_version"][3:-1]}) as back:
            assert back.next()["resumed"] is True
        assert again.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_server_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "data") as server:
        version = server.http.put(PATH, json={}).json()["version"]
        with Upload(server.port, f"{PATH}/ops:stream") as upload, Listener(server.port, f"{PATH}/ops:listen") as one:
            one.expect("snapshot")
            upload.line(append("a", op_id="streamed", client_version=version))
            one.expect("ack")
            assert server.stop(number, number) in (0, 1)
    with running(tmp_path / "data") as again:
        assert again.http.get(PATH).status_code == 200
