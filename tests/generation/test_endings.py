"""Whatever is cut, refused or slow while a job changes or ends: it ends, once, and its bill is right."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import msgspec
import pytest

from canvas_server.app import Stores
from canvas_server.config.settings import StorageSettings
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.job import GenerationLog, Job, JobEvent, JobId
from canvas_server.core.job_ports import JobStore, LedgerStore
from canvas_server.core.quota import Standing
from canvas_server.core.usage import Usage
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.ledger import SqliteLedgerStore
from tests.double.running import Double
from tests.generation.workbench import ADA, JOBS, post, settings_for, start, stream, text_of, words, workbench
from tests.generation.workbench import Job as Started
from tests.serving import Served


class Hindered(SqliteJobStore):
    """Takes its time over the saves it is told to, or refuses them."""

    slow: Callable[[Job], float] = staticmethod(lambda job: 0.0)
    refuses: Callable[[Job], bool] = staticmethod(lambda job: False)
    refusing = False
    refusals = 0
    failing_create = False
    reached: threading.Event

    @classmethod
    def of(cls, store: JobStore) -> Hindered:
        assert isinstance(store, SqliteJobStore)
        hindered = cls(store._database)
        hindered.reached = threading.Event()
        return hindered

    async def create(self, job: Job, events: Sequence[JobEvent] = ()) -> Job:
        if self.failing_create:
            raise StorageUnavailableError("the disk is full")
        return await super().create(job, events)

    async def save(self, job: Job, events: Sequence[JobEvent] = (), log: GenerationLog | None = None) -> bool:
        if self.refusing or self.refuses(job):
            self.refusals += 1
            raise StorageUnavailableError("the disk is full")
        saved = await super().save(job, events, log)
        if delay_s := self.slow(job):
            self.reached.set()
            await asyncio.sleep(delay_s)
        return saved

    async def append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        if self.refusing:
            self.refusals += 1
            raise StorageUnavailableError("the disk is full")
        await super().append(batches)


class Refusing(SqliteLedgerStore):
    """Refuses the first settlements."""

    refusals = 0

    async def settle(self, job_id: JobId, call: int, usage: Usage, cost_micros: int, now_unix_ms: int) -> Standing:
        if self.refusals:
            self.refusals -= 1
            raise StorageUnavailableError("the disk is full")
        return await super().settle(job_id, call, usage, cost_micros, now_unix_ms)


class Bench:
    """A server whose stores can be hindered."""

    def __init__(self) -> None:
        self.jobs: Hindered
        self.ledger: Refusing

    def adapt(self, stores: Stores) -> Stores:
        self.jobs = Hindered.of(stores.jobs)
        ledger: LedgerStore = stores.ledger
        assert isinstance(ledger, SqliteLedgerStore)
        self.ledger = Refusing(ledger._transactions)
        return stores._replace(jobs=self.jobs, ledger=self.ledger)


def total(served: Served) -> dict[str, float]:
    amounts: dict[str, float] = served.http.get("/api/v1/costs/usage", headers=ADA).json()["total"]
    return amounts


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stage", ["reserved", "dispatched", "attached", "produced", "settled"])
def test_a_cancel_while_a_change_is_stored_ends_the_job_and_its_bill_is_right(double: Double, stage: str) -> None:
    bench = Bench()
    with workbench(double, settings_for(double), bench.adapt) as served:
        bench.jobs.slow = lambda job: 0.8 if job.stage == stage and not job.cancel_requested else 0.0
        # So long that it still comes when the cancel does; the last stages are reached only at its end.
        double.script(words=30 if stage in ("produced", "settled") else 3_000, pace_ms=5)
        job = start(served, "openai")
        assert bench.jobs.reached.wait(10)
        answer = job.cancel()
        state = job.state
        assert answer["stopped"]
        assert state["state"] in (("completed", "cancelled") if stage in ("produced", "settled") else ("cancelled",))
        assert list(job.events())[-1].type == ("complete" if state["state"] == "completed" else "error")
        assert total(served)["reserved"] == 0
        assert total(served)["spent"] == pytest.approx(state["cost"], abs=0.0001)
        entries = served.http.get("/api/v1/costs/entries", headers=ADA).json()["entries"]
        assert sum(entry["cost"] for entry in entries) == pytest.approx(state["cost"], abs=0.0002)


@pytest.mark.slow
def test_cancels_at_any_moment_of_a_short_life_leave_no_job_behind(double: Double, tmp_path: Path) -> None:
    settings = settings_for(double, running_per_actor_max=100, queued_per_actor_max=100, running_max=100)
    settings = msgspec.structs.replace(settings, storage=StorageSettings(data_dir=str(tmp_path)))
    double.script(words=5_000, pace_ms=5, default=True)
    with workbench(double, settings) as served, ThreadPoolExecutor(8) as pool:

        def start_and_cancel(number: int) -> str:
            job = start(served, ("openai", "mistral", "local")[number % 3], prompt=f"Écris {number}.")
            time.sleep(number % 10 * 0.003)
            job.cancel()
            assert list(job.events())[-1].type == "error"
            return str(job.state["state"])

        assert set(pool.map(start_and_cancel, range(60))) == {"cancelled"}
        assert total(served)["reserved"] == 0


def test_text_that_the_store_refused_for_long_is_stored_when_it_takes_it_again(double: Double) -> None:
    bench = Bench()
    with workbench(double, settings_for(double), bench.adapt) as served:
        double.script(words=200, pace_ms=20)
        job = start(served, "local")
        job.told("chunk", 3)
        bench.jobs.refusing = True
        until(lambda: bench.jobs.refusals >= 7)
        bench.jobs.refusing = False
        events = list(job.events())
        text = text_of(events)
        assert text == words(len(text.split())), "no word is missing within"
        assert events[-1].type in ("complete", "error")
        assert job.state["state"] in ("completed", "failed")
        assert text == job.state["text"]


def test_a_ledger_that_refuses_for_a_while_delays_the_end_and_loses_nothing(double: Double) -> None:
    bench = Bench()
    with workbench(double, settings_for(double), bench.adapt) as served:
        bench.ledger.refusals = 3
        double.script(words=20)
        job = start(served, "openai")
        assert job.end().type == "complete"
        assert total(served)["reserved"] == 0
        assert total(served)["spent"] == pytest.approx(job.state["cost"], abs=0.0001)


def test_a_job_that_could_not_be_stored_holds_no_money(double: Double) -> None:
    bench = Bench()
    with workbench(double, settings_for(double), bench.adapt) as served:
        bench.jobs.failing_create = True
        answer = post(served, {"provider": "openai"})
        assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
        assert total(served)["reserved"] == 0
        assert double.ledger == []


def test_a_repair_that_the_quota_does_not_cover_is_not_paid_twice(double: Double) -> None:
    with workbench(double, settings_for(double, quota=0.045)) as served:
        double.script(text='{"humour": 1}' + " " * 10, reasoning_tokens=1_500, default=True)
        schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
        job = start(served, "openai", schema=schema, max_output_tokens=2_000)
        assert job.end().data["code"] == "QUOTA_EXCEEDED"
        assert total(served)["spent"] == pytest.approx(job.state["cost"], abs=0.0001)
        assert job.state["tokens"]["output"] == double.ledger[0].output_tokens


def test_a_cancel_is_remembered_when_the_server_stops_in_the_middle_of_it(double: Double, tmp_path: Path) -> None:
    settings = settings_for(double, cancel_s=20.0)
    settings = msgspec.structs.replace(settings, storage=StorageSettings(data_dir=str(tmp_path)))
    double.script(words=5_000, pace_ms=20)
    bench = Bench()
    with workbench(double, settings, bench.adapt) as served:
        bench.jobs.refuses = lambda job: job.state == "cancelled"
        job = start(served, "openai")
        job.told("chunk", 3)
        cancelling = threading.Thread(target=lambda: _ignoring_the_end(job), daemon=True)
        cancelling.start()
        until(lambda: bench.jobs.refusals > 0)
    cancelling.join()
    double.reset()
    with workbench(double, settings) as served:
        until(lambda: served.http.get(f"{JOBS}/{job.id}", headers=ADA).json()["state"] == "cancelled")
        assert double.ledger == [], "nothing is asked again"


def test_a_user_may_cancel_while_a_job_whose_canvas_is_gone_ends(double: Double) -> None:
    with workbench(double, settings_for(double, cancel_s=4.0)) as served:
        canvas = served.canvas("# A\n")
        double.script(words=2_000, pace_ms=20, fault="hang_cancel")
        job = start(
            served, "openai", canvas={"ref": canvas.ref, "target": {"type": "anchor", "anchor": {"name": "doc_end"}}}
        )
        until(lambda: "mot-5" in canvas.text)
        canvas.http.delete(canvas.path)
        double.closed()
        job.cancel()
        assert job.state["state"] in ("failed", "cancelled")
        assert total(served)["reserved"] == 0


def test_input_is_bought_again_only_so_many_times(double: Double) -> None:
    with workbench(double, settings_for(double)) as served:
        double.script(words=100, fault="cut", after_words=1, default=True)
        job = start(served, "mistral")
        assert job.end().data["code"] == "PROVIDER_STREAM_LOST"
        assert len(double.ledger) == 4, "once, and gone on with three times"


def test_a_schema_is_part_of_what_may_be_billed(double: Double) -> None:
    with workbench(double, settings_for(double)) as served:
        plain = start(served, "openai").started["estimate"]["input_tokens"]
        properties = {f"property_{number}": {"type": "string", "description": "x" * 50} for number in range(100)}
        schema = {"type": "object", "properties": properties}
        assert start(served, "openai", schema=schema).started["estimate"]["input_tokens"] > plain + 1_000


def test_the_bound_on_waiting_jobs_holds_however_many_come_at_once(double: Double) -> None:
    settings = settings_for(double, running_per_actor_max=1, queued_per_actor_max=5)
    double.script(words=5_000, pace_ms=20, default=True)
    with workbench(double, settings) as served, ThreadPoolExecutor(20) as pool:
        bodies = [{"provider": "local", "prompt": f"Écris {number}."} for number in range(20)]
        statuses = [answer.status_code for answer in pool.map(lambda body: post(served, body), bodies)]
        assert sorted(statuses) == [201] * 6 + [429] * 14
        for job in served.http.get(f"{JOBS}?active=true", headers=ADA).json()["jobs"]:
            served.http.post(job["cancel_url"], headers=ADA)


def test_the_same_question_at_the_same_moment_is_bought_once(double: Double) -> None:
    double.script(words=40, pace_ms=50, default=True)
    path = "/api/v1/generate/stream?prompt=Ensemble&provider=local"
    with workbench(double, settings_for(double)) as served, ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(lambda _: list(stream(served, path, ADA)), range(4)))
        assert all(one == other for one, other in itertools.pairwise(heard))
        assert len(double.ledger) == 1


def _ignoring_the_end(job: Started) -> None:
    """Cancel a job of a server that stops meanwhile."""
    with contextlib.suppress(httpx2.HTTPError, AssertionError):
        job.cancel()


def test_however_a_job_ends_it_has_a_line_in_the_log_of_generations(double: Double) -> None:
    bench = Bench()
    with workbench(double, settings_for(double), bench.adapt) as served:
        done = start(served, "openai")
        done.end()
        double.script(words=2_000, pace_ms=10)
        stopped = start(served, "openai", prompt="Longtemps.")
        stopped.told("chunk")
        stopped.cancel()
        double.script(fault="401")
        refused = start(served, "openai", prompt="Sans clé.")
        refused.end()
        query = "SELECT job_id, state, step, code, output_tokens FROM generation_log ORDER BY id"
        rows = served.run(bench.jobs._database.read(lambda connection: connection.execute(query).fetchall()))
        assert [row[:4] for row in rows] == [
            (done.id, "completed", "complete", None),
            (stopped.id, "cancelled", "generating", "CANCELLED"),
            (refused.id, "failed", "generating", "PROVIDER_AUTH"),
        ]
        assert rows[0][4] == 10
