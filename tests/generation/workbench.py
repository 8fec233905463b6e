"""A whole server whose providers are the double, and jobs on it as its clients see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec

from canvas_server.app import Stores
from canvas_server.config import Secret, Settings
from canvas_server.config.settings import (
    ActorSettings,
    CostSettings,
    DemoSettings,
    GenerationSettings,
    LocalSettings,
    MistralSettings,
    OpenaiSettings,
)
from tests.double.running import Double
from tests.serving import IN_MEMORY, Served, serving

Json = dict[str, Any]

JOBS: Final = "/api/v1/dialogues/generate/jobs"
ADA: Final = {"Authorization": "Bearer ada-correct-horse-battery"}
BOB: Final = {"Authorization": "Bearer bob-correct-horse-battery"}
ROOT: Final = {"Authorization": "Bearer root-correct-horse-battery"}
ACTORS: Final = {
    "ada": ActorSettings(Secret("ada-correct-horse-battery")),
    "bob": ActorSettings(Secret("bob-correct-horse-battery"), kind="agent"),
    "root": ActorSettings(Secret("root-correct-horse-battery"), role="admin"),
}


def settings_for(double: Double, *, quota: float = 10.0, background: bool = True, **generation: object) -> Settings:
    """Return the settings of a server that asks the double, whatever the provider."""
    quick: dict[str, object] = {"first_byte_s": 5.0, "gap_s": 5.0, "cache": False}
    return msgspec.structs.replace(
        IN_MEMORY,
        generation=GenerationSettings(**{**quick, **generation}),  # type: ignore[arg-type]
        openai=OpenaiSettings(api_key=Secret("sk-openai-canary"), base_url=double.openai_url, background=background),
        mistral=MistralSettings(api_key=Secret("sk-mistral-canary"), base_url=double.mistral_url),
        local=LocalSettings(base_url=double.local_url, model="toy"),
        demo=DemoSettings(delay_ms=0),
        cost=CostSettings(monthly_quota=quota),
        actors=ACTORS,
    )


@dataclass(frozen=True)
class Event:
    """One event of a job's stream."""

    id: str | None
    data: Json

    @property
    def type(self) -> str:
        kind: str = self.data["type"]
        return kind


@dataclass(frozen=True)
class Job:
    """A job, as whoever started it sees it."""

    served: Served
    started: Json
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        job_id: str = self.started["job_id"]
        return job_id

    @property
    def state(self) -> Json:
        answer = self.served.http.get(f"{JOBS}/{self.id}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        state: Json = answer.json()
        return state

    def events(self, *, heard: int | None = None, query: str = "") -> Iterator[Event]:
        """Follow the stream until it ends."""
        headers = dict(self.headers) | ({} if heard is None else {"Last-Event-ID": str(heard)})
        yield from stream(self.served, f"{JOBS}/{self.id}/stream{query}", headers)

    def told(self, kind: str, times: int = 1) -> Event:
        """Follow the stream until it has told so many events of a kind; return the last."""
        for event in self.events():
            times -= event.type == kind
            if times == 0:
                return event
        raise AssertionError(f"the job ended without that {kind}")

    def end(self) -> Event:
        """Follow the stream to its last event, and return that."""
        return list(self.events())[-1]

    def cancel(self) -> Json:
        answer = self.served.http.post(f"{JOBS}/{self.id}/cancel", headers=self.headers)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body


def post(served: Served, body: Json, headers: Mapping[str, str] = ADA) -> httpx2.Response:
    """Ask for a job."""
    return served.http.post(JOBS, json={"prompt": "Écris.", **body}, headers=headers)


def start(served: Served, provider: str = "local", headers: Mapping[str, str] = ADA, **fields: object) -> Job:
    """Start a job that is taken."""
    answer = post(served, {"provider": provider, **fields}, headers)
    assert answer.status_code == 201, answer.text
    return Job(served, answer.json(), headers)


def stream(served: Served, path: str, headers: Mapping[str, str]) -> Iterator[Event]:
    """Read a stream of server-sent events to its end; heartbeats are left out."""
    with served.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        rest = b""
        for piece in answer.iter_raw():
            *blocks, rest = (rest + piece).split(b"\n\n")
            for block in blocks:
                event = _event(block.decode())
                if event.type != "heartbeat":
                    yield event
        assert rest == b"", "the stream ended within an event"


def text_of(events: Iterator[Event] | list[Event]) -> str:
    """Return the text that chunks tell, earlier attempts dropped."""
    pieces: dict[int, str] = {}
    for event in events:
        if event.type == "chunk":
            attempt = event.data["attempt"]
            pieces[attempt] = pieces.get(attempt, "") + event.data["content"]
    return pieces[max(pieces)] if pieces else ""


def words(count: int) -> str:
    """Return what the double says in so many words."""
    return " ".join(f"mot-{number}" for number in range(1, count + 1))


@contextmanager
def workbench(
    double: Double, settings: Settings | None = None, adapt: Callable[[Stores], Stores] | None = None
) -> Iterator[Served]:
    """Run a server whose providers are the double until the block ends; `adapt` may change its stores."""
    with serving(settings or settings_for(double), adapt=adapt) as served:
        yield served


def _event(block: str) -> Event:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    assert fields.keys() <= {"id", "data", "retry"}, fields
    return Event(fields.get("id"), json.loads(fields["data"]))
