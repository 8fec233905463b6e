"""Starts servers that run jobs, and speaks to them: one after the other on the same folder."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Final

import httpx2

from tests.crash.servers import ROOT, Servers
from tests.listener import PATIENCE_S
from tests.serving import Json
from tests.web.event_stream import EventStream, Message

JOBS: Final = "/api/v1/dialogues/generate/jobs"


@contextmanager
def starting_job_servers(log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Servers]:
    """Give what starts servers, in an environment of their own if there is one; their standard error goes to `log`."""
    with (
        log.open("w") as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "tests.crash.job_process"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        servers = Servers(process.stdin, process.stdout, log)
        try:
            yield servers
        finally:
            servers.end()


def stream_of(job_id: str) -> str:
    """Return the path of the stream of a job."""
    return f"{JOBS}/{job_id}/stream"


class JobClient:
    """Asks one server; raises `httpx2.TransportError` when it is gone."""

    def __init__(self, port: int) -> None:
        self._http = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False, verify=False
        )

    def __enter__(self) -> JobClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def start(self, body: Json) -> httpx2.Response:
        """Ask for a job."""
        return self._http.post(JOBS, json=body)

    def job(self, job_id: str) -> Json:
        """Return a job as it stands."""
        answer = self._http.get(f"{JOBS}/{job_id}")
        assert answer.status_code == 200, answer.text
        job: Json = answer.json()
        return job

    def cancel(self, job_id: str) -> Json:
        """Have a job stop; return once it has."""
        answer = self._http.post(f"{JOBS}/{job_id}/cancel")
        assert answer.status_code == 200, answer.text
        stopped: Json = answer.json()
        return stopped

    def canvas(self, ref: str, content: str | None = None) -> str:
        """Return the text of a canvas, which is made if `content` is given."""
        path = f"/api/v2/canvas/{ref}"
        if content is not None:
            answer = self._http.put(path, json={"content": content})
            assert answer.status_code == 201, answer.text
        answer = self._http.get(path, headers={"Accept": "text/markdown"})
        assert answer.status_code == 200, answer.text
        return answer.content.decode()

    def write(self, ref: str, operation: Json) -> None:
        """Have one operation on the newest version applied."""
        path = f"/api/v2/canvas/{ref}"
        version = self._http.head(path).headers["etag"]
        answer = self._http.post(f"{path}/ops:stream", json={"ops": [{"client_version": version, **operation}]})
        assert answer.status_code == 202, answer.text
        # With a journal the outcome is there once it is durable.
        while (told := self._http.get(f"{path}/ops/{operation['op_id']}")).status_code == 404:
            time.sleep(0.002)
        assert told.json()["type"] == "ack", told.text


class JobReader:
    """Reads the stream of one job, over as many servers as it takes.

    Args:
        path: of the stream.

    Attributes:
        messages: all that came, in order.
        ended: the stream was over, and not merely cut off.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread: Thread | None = None
        self.messages: list[Message] = []
        self.ended = False

    def read(self, port: int, after_events: int | None = None) -> None:
        """Read on after what was heard last, until the stream ends, is cut off, or so many more events came."""
        headers = {"Last-Event-ID": self.messages[-1].last_id} if self.messages else {}
        wanted = None if after_events is None else len(self.messages) + after_events
        url = f"http://127.0.0.1:{port}{self._path}"
        events = EventStream()
        try:
            with httpx2.stream(
                "GET", url, headers=headers, timeout=PATIENCE_S, trust_env=False, verify=False
            ) as answer:
                if answer.status_code == 204:
                    # All there is was heard before.
                    self.ended = True
                    return
                assert answer.status_code == 200, answer.read()
                for piece in answer.iter_raw():
                    self.messages += [message for message in events.feed(piece) if '"heartbeat"' not in message.data]
                    if wanted is not None and len(self.messages) >= wanted:
                        return
                self.ended = True
        except httpx2.TransportError:
            return

    def read_beside(self, port: int) -> None:
        """Read in a thread, until `join`."""
        self._thread = Thread(target=self.read, args=(port,), name="job reader")
        self._thread.start()

    def join(self) -> None:
        """Wait until the stream ended or was cut off."""
        if self._thread is not None:
            self._thread.join()
