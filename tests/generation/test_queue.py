"""The queue: so many jobs at once, the others in turn, and everybody knows where they stand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.double.running import Double
from tests.generation.workbench import ADA, BOB, JOBS, post, settings_for, start, text_of, words, workbench
from tests.serving import Served


@pytest.fixture
def narrow(double: Double) -> Iterator[Served]:
    settings = settings_for(double, running_max=3, running_per_actor_max=2, queued_per_actor_max=3)
    with workbench(double, settings) as served:
        yield served


def test_a_job_that_waits_is_told_where_it_stands_and_when_it_moves(narrow: Served, double: Double) -> None:
    double.script(words=5_000, pace_ms=20, times=2)
    running = [start(narrow), start(narrow)]
    double.called(2)
    double.script(words=3, default=True)
    first, second = start(narrow), start(narrow)
    assert (first.started["position"], second.started["position"]) == (1, 2)
    assert second.state["position"] == 2
    events = second.events()
    assert next(events).data == {"type": "queued", "position": 2}
    running[0].cancel()
    rest = list(events)
    assert text_of(rest) == words(3)
    assert rest[0].data == {"type": "queued", "position": 1} or rest[0].type == "step"
    assert all(event.id is None for event in rest if event.type == "queued"), "a place in a queue is no history"
    running[1].cancel()
    assert first.end().type == second.end().type == "complete"


def test_one_user_does_not_keep_the_others_waiting(narrow: Served, double: Double) -> None:
    double.script(words=5_000, pace_ms=20, times=2)
    hers = [start(narrow), start(narrow), start(narrow)]
    double.called(2)
    double.script(words=4, default=True)
    assert text_of(start(narrow, headers=BOB).events()) == words(4)
    for job in hers:
        job.cancel()


def test_too_many_waiting_jobs_are_refused_with_a_time_to_come_back(narrow: Served, double: Double) -> None:
    double.script(words=5_000, pace_ms=20, default=True)
    jobs = [start(narrow) for _ in range(5)]
    answer = post(narrow, {"provider": "local"})
    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) > 0
    assert post(narrow, {"provider": "local"}, BOB).status_code == 201
    for job in reversed(jobs):
        job.cancel()
    for job in narrow.http.get(f"{JOBS}?active=true", headers=BOB).json()["jobs"]:
        narrow.http.post(job["cancel_url"], headers=BOB)


def test_jobs_of_a_queue_all_come_to_their_end(narrow: Served, double: Double) -> None:
    double.script(words=20, pace_ms=1, default=True)
    jobs = [start(narrow, headers=headers) for headers in (ADA, BOB) for _ in range(4)]
    assert [text_of(job.events()) for job in jobs] == [words(20)] * 8
    assert len(double.ledger) == 8
