"""Providers that do not even let go of the task that reads them, and what a server does with jobs when it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from canvas_server.config.settings import StorageSettings
from canvas_server.core.job import JobId
from canvas_server.generation.providers.generator import Delta, IGenerator, LLMFactory, Options
from tests.double.running import Double
from tests.generation.workbench import ADA, JOBS, Job, settings_for, start, text_of, words, workbench
from tests.serving import Served

CANCEL_S = 1.5
LATE_S = 10.0
"""A busy machine may take so much longer; what never lets go would take for ever."""


class Stubborn(IGenerator):
    """Says a word every 10 ms, whoever cancels it, until it is released."""

    provider = "local"
    free = True
    released = False

    def __init__(self, model: str) -> None:
        self.model = model

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        number = 0
        while not Stubborn.released:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
            number += 1
            yield Delta(text=f" mot-{number}")
        yield Delta(finish="stop")


class Deaf(Stubborn):
    """Hangs in one long sleep that no cancelling ends."""

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        yield Delta(text="mot-1")
        while not Stubborn.released:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        yield Delta(text=" too late", finish="stop")


@contextmanager
def asked_of(double: Double, kind: type[Stubborn]) -> Iterator[Served]:
    Stubborn.released = False
    with workbench(double, settings_for(double, cancel_s=CANCEL_S)) as served:
        factory: LLMFactory = served.house.engine._shop.factory
        factory._makers["local"] = kind
        try:
            yield served
        finally:
            Stubborn.released = True
            time.sleep(0.2)


@pytest.mark.parametrize("kind", [Stubborn, Deaf])
def test_a_provider_that_does_not_let_go_is_left_alone_in_time(double: Double, kind: type[Stubborn]) -> None:
    with asked_of(double, kind) as served:
        job = start(served)
        job.told("chunk")
        begun_s = time.monotonic()
        assert job.cancel()["state"] == "cancelled"
        assert time.monotonic() - begun_s < CANCEL_S + LATE_S
        state = job.state
        events = list(job.events())
        assert (state["state"], events[-1].data["code"]) == ("cancelled", "CANCELLED")
        Stubborn.released = True
        time.sleep(0.3)
        assert list(job.events()) == events, "what it says afterwards is not taken in"
        assert job.state == state


def test_a_job_that_runs_when_the_server_stops_is_left_for_the_next_one(double: Double, tmp_path: object) -> None:
    settings = settings_for(double)
    settings = msgspec.structs.replace(settings, storage=StorageSettings(data_dir=str(tmp_path)))
    double.script(words=60, pace_ms=25)
    with workbench(double, settings) as served:
        job = start(served, "openai")
        job.told("chunk", 5)
    assert not double.ledger[0].cancelled, "in the background it goes on"
    with workbench(double, settings) as served:
        later = Job(served, job.started, ADA)
        events = list(later.events())
        assert text_of(events) == words(60)
        assert events[-1].type == "complete"
        assert [event.id for event in events] == [str(seq) for seq in range(1, len(events) + 1)]
        assert len(double.ledger) == 1, "bought once"
        assert served.http.get(f"{JOBS}?active=true", headers=ADA).json()["jobs"] == []


def test_a_job_that_cannot_be_taken_up_says_so_and_keeps_its_text(double: Double, tmp_path: object) -> None:
    settings = settings_for(double)
    settings = msgspec.structs.replace(settings, storage=StorageSettings(data_dir=str(tmp_path)))
    double.script(words=600, pace_ms=10)
    with workbench(double, settings) as served:
        job = start(served, "local")
        job.told("chunk", 5)
    with workbench(double, settings) as served:
        later = Job(served, job.started, ADA)
        last = list(later.events())[-1]
        assert (last.data["code"], last.data["state"]) == ("INTERRUPTED", "interrupted")
        assert last.data["hint"]
        text = later.state["text"]
        assert text == words(len(text.split()))
        assert last.data["text_chars"] == len(text)
        assert served.house.engine.position(JobId(job.id)) is None
        assert len(double.ledger) == 1


def test_jobs_that_waited_when_the_server_stopped_run_at_the_next_start(double: Double, tmp_path: object) -> None:
    settings = settings_for(double, running_per_actor_max=1)
    settings = msgspec.structs.replace(settings, storage=StorageSettings(data_dir=str(tmp_path)))
    double.script(words=5_000, pace_ms=20)
    with workbench(double, settings) as served:
        start(served, "local").told("chunk")
        waiting = start(served, "openai")
    with workbench(double, settings) as served:
        assert text_of(Job(served, waiting.started, ADA).events()) == words(10)
        assert served.http.get("/api/v1/costs/usage", headers=ADA).json()["total"]["reserved"] == 0
