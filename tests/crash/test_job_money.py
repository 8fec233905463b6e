"""Money and runs of jobs on a real server: never over quota, one call for each job, nothing lost by a stop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.crash.job_books import read_books
from tests.crash.job_process import JobLife
from tests.crash.job_servers import JobClient, JobReader, starting_job_servers, stream_of
from tests.crash.servers import Servers
from tests.double.running import Double
from tests.double.script import Plan
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import Json

PROMPT: Final = "Une rencontre sous la pluie"
STARTS: Final = 100
FIT: Final = 10
"""Of them that the quota covers."""
OUTPUT_TOKENS_MAX: Final = 1_000
STOPPED_WORDS: Final = 900
"""So many that a job has not ended when its server is stopped."""
JOBS_READ: Final = amount(ci=30, hand=100)
READS_MAX: Final = 10
"""Disconnects of one reader, on average half of it."""
PARALLEL: Final = 10
DOWN_S_MAX: Final = 10.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with Double.spawn() as running:
        yield running


@pytest.fixture(scope="module")
def job_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with starting_job_servers(tmp_path_factory.mktemp("job-servers") / "log") as starting:
        yield starting


def request(key: int, provider: str = "openai") -> Json:
    return {
        "prompt": PROMPT,
        "provider": provider,
        "max_output_tokens": OUTPUT_TOKENS_MAX,
        "idempotency_key": f"key-{key}",
    }


def whole(words: int) -> str:
    return "".join(Plan(words=words).pieces)


@pytest.mark.promise("R24")
@pytest.mark.parametrize("number", range(amount(ci=1, hand=20)))
@pytest.mark.parametrize(("left_micros", "fit"), [(0, FIT - 1), (1, FIT)])
def test_of_many_jobs_at_once_as_many_are_taken_as_the_quota_covers(
    job_servers: Servers,
    double: Double,
    tmp_path: Path,
    findings: Findings,
    left_micros: int,
    fit: int,
    number: int,
) -> None:
    """Who would reach the quota is refused, so one millionth decides on the last."""
    estimate_micros, spent_micros = _learn_estimate(job_servers, double, tmp_path)
    double.reset()
    double.script(words=50, fault="hang_during", after_words=5, default=True)
    quota = (spent_micros + FIT * estimate_micros + left_micros) / 1_000_000
    life = JobLife(data_dir=str(tmp_path), double_url=double.url, background=False, quota=quota)
    with (
        job_servers.running(life) as server,
        JobClient(server.port) as client,
        ThreadPoolExecutor(2 * PARALLEL) as threads,
    ):
        answers = list(threads.map(lambda key: client.start(request(key)), range(1, STARTS + 1)))
        read_books(tmp_path).check()
        refused = [answer.json()["code"] for answer in answers if answer.status_code == 429]
        taken = [answer.json()["job_id"] for answer in answers if answer.status_code == 201]
        assert (len(taken), refused) == (fit, ["QUOTA_EXCEEDED"] * (STARTS - fit))
        double.called(fit)
        list(threads.map(client.cancel, taken))
        read_books(tmp_path).check_quiet()
    assert len(double.ledger) == fit, "nobody was called for what was refused"
    if number == 0:
        findings.tell("R24", f"{STARTS} starts at once against a quota for {fit}", f"{len(taken)} taken", goal=f"{fit}")


def _learn_estimate(servers: Servers, double: Double, folder: Path) -> tuple[int, int]:
    """Run one job; return what was held for it, and what was spent."""
    double.reset()
    life = JobLife(data_dir=str(folder), double_url=double.url, background=False)
    with servers.running(life) as server, JobClient(server.port) as client:
        reader = JobReader(stream_of(client.start(request(0)).json()["job_id"]))
        reader.read(server.port)
        (entry,) = read_books(folder).entries
    return entry.reserved_micros, entry.cost_micros


@pytest.mark.promise("R22")
def test_readers_that_come_and_go_neither_start_nor_stop_nor_repeat_a_run(
    job_servers: Servers, double: Double, tmp_path: Path, findings: Findings
) -> None:
    double.reset()
    double.script(words=60, pace_ms=4, default=True)
    with (
        job_servers.running(JobLife(data_dir=str(tmp_path), double_url=double.url, quota=100.0)) as server,
        JobClient(server.port) as client,
        ThreadPoolExecutor(PARALLEL) as threads,
    ):

        def read(key: int) -> tuple[str, int]:
            reader = JobReader(_path_of(client, key))
            reads = _come_and_go(reader, server.port, Random(key))
            ((job_id, text),) = {(_job_id(client, key), _text(reader))}
            late = JobReader(stream_of(job_id))
            late.read(server.port)
            assert _text(late) == text == client.job(job_id)["text"] == whole(60)
            return job_id, reads

        told = list(threads.map(read, range(JOBS_READ)))
    disconnects = sum(reads - 1 for _, reads in told)
    assert len({job_id for job_id, _ in told}) == JOBS_READ
    assert [line.output_tokens for line in double.ledger] == [60] * JOBS_READ, "one whole call for each job"
    assert disconnects > JOBS_READ
    read_books(tmp_path).check_quiet()
    findings.tell("R22", f"{disconnects} disconnects over {JOBS_READ} jobs", f"{len(double.ledger)} calls", "as many")


def _path_of(client: JobClient, key: int) -> str:
    """Start a job by POST, or leave that to the stream itself, as a bare EventSource does."""
    if key % 2:
        job_id: str = client.start(request(key)).json()["job_id"]
        return stream_of(job_id)
    return f"/api/v1/generate/stream?{urlencode(request(key))}"


def _job_id(client: JobClient, key: int) -> str:
    answer = client.start(request(key))
    assert answer.status_code == 200, "there is one already"
    job_id: str = answer.json()["job_id"]
    return job_id


def _come_and_go(reader: JobReader, port: int, random: Random) -> int:
    """Read a stream to its end, a few events at a time; return in how many reads."""
    for number in range(READS_MAX):
        reader.read(port, after_events=random.randint(1, 8))
        if reader.ended:
            return number + 1
    reader.read(port)
    assert reader.ended
    return READS_MAX + 1


def _text(reader: JobReader) -> str:
    """Return the text that a reader heard, each event once and in order."""
    numbers = [int(message.last_id.rpartition(".")[2]) for message in reader.messages]
    # A stream that started its job begins with the job's name, under number 0.
    first = min(numbers)
    assert numbers == list(range(first, first + len(numbers)))
    assert first in (0, 1)
    events = [json.loads(message.data) for message in reader.messages]
    return "".join(event["content"] for event in events if event["type"] == "chunk")


@pytest.mark.promise("R21")
@pytest.mark.parametrize(("provider", "calls"), [("openai", 1), ("mistral", 2)])
def test_a_server_that_is_stopped_leaves_its_jobs_to_the_next(
    job_servers: Servers, double: Double, tmp_path: Path, provider: str, calls: int
) -> None:
    double.reset()
    double.script(words=STOPPED_WORDS, pace_ms=3, default=True)
    life = JobLife(data_dir=str(tmp_path), double_url=double.url)
    server = job_servers.start(life)
    with JobClient(server.port) as client:
        job_id = client.start(request(1, provider)).json()["job_id"]
        reader = JobReader(stream_of(job_id))
        reader.read(server.port, after_events=6)
        reader.read_beside(server.port)
        since_s = time.monotonic()
        server.signal(signal.SIGTERM)
        reader.join()
        assert server.ending().code == 0
        assert time.monotonic() - since_s < DOWN_S_MAX
    assert not read_books(tmp_path).jobs[job_id].ended
    with job_servers.running(life) as server, JobClient(server.port) as client:
        reader.read(server.port)
        assert _text(reader) == client.job(job_id)["text"] == whole(STOPPED_WORDS)
        read_books(tmp_path).check_quiet()
    assert len(double.ledger) == calls
    assert double.ledger[-1].output_tokens == STOPPED_WORDS - len(double.calls[-1].prefix.split())


@pytest.mark.promise("R25")
@pytest.mark.parametrize(("provider", "months"), [("openai", ["2030-01"]), ("mistral", ["2030-01", "2030-02"])])
def test_a_call_is_paid_in_the_month_it_was_held_in_whatever_the_clock_says_since(
    job_servers: Servers, double: Double, tmp_path: Path, findings: Findings, provider: str, months: list[str]
) -> None:
    """The second life of the job is a month later, the third before the first."""
    double.reset()
    double.script(words=300, pace_ms=3, default=True)
    now_s = time.time()

    def life(year: int, month: int, step: str = "") -> JobLife:
        shift_s = datetime(year, month, 15, tzinfo=UTC).timestamp() - now_s
        return JobLife(data_dir=str(tmp_path), double_url=double.url, clock_shift_s=round(shift_s), step=step, words=10)

    server = job_servers.start(life(2030, 1, "after append"))
    with JobClient(server.port) as client:
        job_id = client.start(request(1, provider)).json()["job_id"]
        server.ending()
    with job_servers.running(life(2030, 2)) as server:
        reader = JobReader(stream_of(job_id))
        reader.read(server.port)
        books = read_books(tmp_path)
        books.check_quiet()
    assert [entry.month for entry in books.entries] == months
    with job_servers.running(life(2029, 12)) as server, JobClient(server.port) as client:
        assert client.start(request(1, provider)).json()["job_id"] == job_id
    assert read_books(tmp_path).accounts == books.accounts, "a clock that goes back opens nothing again"
    findings.tell("R25", f"lives of a job a month later and a month before its first ({provider})", 3, goal="0 moved")
