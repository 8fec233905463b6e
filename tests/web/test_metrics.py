"""What `/metrics` tells: each figure moves when the thing happens, and all of it is as Prometheus reads it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from canvas_server import __version__
from canvas_server.app import Stores
from canvas_server.config.secret import Secret
from canvas_server.config.settings import (
    CheckpointSettings,
    CostSettings,
    DemoSettings,
    GenerationSettings,
    LimitSettings,
    OpenaiSettings,
    StorageSettings,
    StreamSettings,
)
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.job_ports import JobTally
from canvas_server.core.ports import CheckpointRequest
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.web.job_bodies import JOBS_PATH
from canvas_server.web.survey import KEPT_S
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Json, Served, append, at, serving

DOCS: Final = Path(__file__).parents[2] / "canvas_server" / "docs"
SUBMIT: Final = "/api/v2/canvas/{ref}/ops:stream"
DEMO: Final = replace(IN_MEMORY, generation=GenerationSettings(provider="demo"), demo=DemoSettings(delay_ms=0))
PRICES: Final = """currency = "EUR"
[[price]]
provider = "openai"
model = "gpt-5.2"
from = 2025-01-01
input = "0"
output = "10"
"""
UNBOUNDED: Final = re.compile(r"secret-\w+")


class Scrape:
    """One scrape, as Prometheus understood it."""

    def __init__(self, served: Served) -> None:
        answer = served.http.get("/metrics")
        assert answer.status_code == 200
        self.text = answer.text
        self.content_type = answer.headers["content-type"]
        self.families: dict[str, Metric] = {family.name: family for family in text_format(answer.text)}
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """Return a value; 0 where there is none yet."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)


def until(served: Served, true: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until something is true: of what is told by another connection nobody knows when it is over."""
    deadline_s = monotonic() + PATIENCE_S
    while not true(scrape := Scrape(served)):
        assert monotonic() < deadline_s, scrape.text
        sleep(0.01)
    return scrape


@contextmanager
def moved(served: Served, name: str, by: float, **labels: str) -> Iterator[None]:
    """Check that what happens in the block moves a figure, by so much."""
    before = Scrape(served)(name, **labels)
    yield
    until(served, lambda scrape: scrape(name, **labels) == before + by)


class FailingDisk(MemoryCanvasStore):
    """The store that ships, on a disk that can fail."""

    fails = False

    async def save(self, request: CheckpointRequest) -> None:
        if self.fails:
            raise StorageUnavailableError("the disk is full", hint="Free some space.")
        await super().save(request)


def test_a_scrape_is_in_the_text_format_and_says_which_server_answers(served: Served) -> None:
    scrape = Scrape(served)
    assert scrape.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert scrape("canvas_build_info", version=__version__, durability="checkpoint") == 1
    assert scrape("canvas_currency_info", currency="EUR") == 1
    assert (scrape("canvas_ready"), scrape("canvas_store_ready")) == (1, 1)
    assert scrape("process_resident_memory_bytes") > 10_000_000
    assert scrape("python_gc_collections_total", generation="0") >= 0
    assert "python_info" in scrape.families


def test_whoever_asks_for_openmetrics_gets_it(served: Served) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    answer = served.http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    told = open_metrics(answer.text)  # type: ignore[no-untyped-call]  # the library has no type for it
    assert {family.name for family in told} >= {"canvas_operations", "canvas_apply_seconds"}


def test_names_units_and_help_are_as_prometheus_wants_them(served: Served) -> None:
    families = [family for family in Scrape(served).families.values() if family.name.startswith("canvas_")]
    assert len(families) > 40
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert re.fullmatch(r"canvas(_[a-z]+)+", family.name)
        assert not re.search(r"_(ms|s|total|count|kb)$", family.name), family.name
        if family.type == "counter":
            assert all(re.search("_(total|created)$", sample.name) for sample in family.samples)
        if family.type == "histogram":
            counts = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
            assert counts == sorted(counts)
            assert [sample.value for sample in family.samples if sample.name.endswith("_count")] == counts[-1:]


def test_no_label_tells_a_name_that_somebody_chose(served: Served) -> None:
    canvas = served.canvas("text", ref="secret-ref", title="secret-title")
    canvas.submit(append("secret-text", op_id="secret-op"), headers={"X-Client-Id": "secret-client"})
    served.http.get("/secret-path")
    served.http.get("/api/v2/canvas/secret-other")
    served.http.request("SECRET", canvas.path)
    assert UNBOUNDED.findall(Scrape(served).text) == []
    with moved(served, "canvas_http_requests_total", 1, method="other", route="/api/v2/canvas/{ref}", status="405"):
        served.http.request("PURGE", canvas.path)


def test_outcomes_are_counted_with_scope_reason_and_code(served: Served) -> None:
    canvas = served.canvas("# One\n\ntext\n")
    old = canvas.version
    first = append("x")
    with moved(served, "canvas_operations_total", 1, outcome="ack"):
        canvas.submit(first)
    with moved(served, "canvas_operations_total", 1, outcome="duplicate"):
        canvas.submit({**first, "client_version": old})
    with (
        moved(served, "canvas_conflicts_total", 1, scope="canvas", reason="etag_mismatch"),
        moved(served, "canvas_conflicts_total", 1, scope="range", reason="not_executed"),
        moved(served, "canvas_operations_total", 2, outcome="conflict"),
    ):
        canvas.submit(append("y", client_version=old), append("z", scope="range"))
    with (
        moved(served, "canvas_operation_errors_total", 1, code="OFFSET_OUT_OF_RANGE"),
        moved(served, "canvas_operations_total", 1, outcome="error"),
    ):
        canvas.submit({**append("y"), "target": at("offset", offset=9_999)})


def test_a_streamed_request_is_counted_line_by_line_and_a_continuation_as_a_range(served: Served) -> None:
    canvas = served.canvas("text\n")
    first = {**append("a", scope="range"), "client_version": canvas.version}
    lines = [json.dumps(first), json.dumps({"content": "b"})]
    with (
        moved(served, "canvas_operations_total", 2, outcome="ack"),
        moved(served, "canvas_apply_seconds_count", 2),
    ):
        canvas.http.post(
            f"{canvas.path}/ops:stream",
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
    bad = {**append("c", scope="section"), "target": at("offset", offset=9_999), "client_version": canvas.version}
    with moved(served, "canvas_conflicts_total", 1, scope="range", reason="not_executed"):
        canvas.http.post(
            f"{canvas.path}/ops:stream",
            content=f"{json.dumps(bad)}\n{lines[1]}",
            headers={"Content-Type": "application/x-ndjson"},
        )


def test_what_the_desk_answers_is_counted_as_any_request(served: Served) -> None:
    canvas = served.canvas("text\n")
    canvas.submit(append("warm"))
    before = served.manager.counts.at_once
    with (
        moved(served, "canvas_http_requests_total", 3, method="POST", route=SUBMIT, status="202"),
        moved(served, "canvas_apply_seconds_count", 3),
        socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as sock,
    ):
        for _ in range(3):
            body = json.dumps({"ops": [append("x", scope="range", client_version=canvas.version)]}).encode()
            head = f"POST {canvas.path}/ops:stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            # What comes in one piece is answered by the desk.
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert sock.recv(4096).startswith(b"HTTP/1.1 202 ")
    assert served.manager.counts.at_once == before + 3, "they did not go the fast way"


def test_requests_and_refusals_are_counted_by_route_and_code(served: Served) -> None:
    canvas = served.canvas("text\n")
    with (
        moved(served, "canvas_http_requests_total", 1, method="POST", route=SUBMIT, status="400"),
        moved(served, "canvas_http_refusals_total", 1, door="application", code="INVALID_JSON"),
    ):
        canvas.http.post(f"{canvas.path}/ops:stream", content="{", headers={"Content-Type": "application/json"})
    with moved(served, "canvas_http_requests_total", 1, method="GET", route="unknown", status="404"):
        canvas.http.get("/nothing/here")
    with moved(served, "canvas_http_refusals_total", 1, door="admission", code="HOST_NOT_ALLOWED"):
        canvas.http.get("/healthz", headers={"Host": "elsewhere.example"})
    with (
        moved(served, "canvas_http_refusals_total", 1, door="connection", code="INVALID_REQUEST"),
        socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as sock,
    ):
        sock.sendall(b"no HTTP at all\r\n\r\n")
        assert sock.recv(9) == b"HTTP/1.1 "


def test_connections_are_counted_while_they_are_open_refused_and_when_they_take_too_long() -> None:
    limits = LimitSettings(connections_max=2, first_byte_s=2.0)
    with serving(replace(IN_MEMORY, limits=limits)) as served:
        address = ("127.0.0.1", served.port)
        before = Scrape(served)
        assert before("canvas_connections") == 1
        with socket.create_connection(address, timeout=PATIENCE_S) as silent:
            until(served, lambda scrape: scrape("canvas_connections") == 2)
            with socket.create_connection(address, timeout=PATIENCE_S) as third:
                assert third.recv(12) == b"HTTP/1.1 503"
            assert silent.recv(1) == b""
        after = until(served, lambda scrape: scrape("canvas_connections") == 1)
        assert after("canvas_http_refusals_total", door="connection", code="OVERLOADED") == 1
        assert after("canvas_expired_connections_total", stage="connected") == 1


def test_open_canvases_their_text_and_their_readers_are_told_as_they_are() -> None:
    with serving() as served:
        assert Scrape(served)("canvas_open_canvases") == 0
        one, two = served.canvas("é" * 10), served.canvas("b" * 5)
        many = f"/api/v2/ops:listen?ref={one.ref}&ref={two.ref}"
        with one.listen() as alone, served.listen(many) as both:
            alone.expect("snapshot")
            both.expect("snapshot", canvas=two.ref)
            scrape = Scrape(served)
            assert scrape("canvas_open_canvases") == 2
            assert scrape("canvas_text_bytes") == 25
            assert scrape("canvas_listeners") == 3
            assert scrape("canvas_streams", kind="canvas") == 2
            assert scrape("canvas_snapshots_total") == 3
            before = scrape("canvas_fanout_seconds_count")
            one.submit(append("x"))
            alone.expect("ack")
            told = until(served, lambda scrape: scrape("canvas_fanout_seconds_count") > before)
            assert 0 < told("canvas_fanout_seconds_sum") < PATIENCE_S
            assert told("canvas_log_bytes") > 100
        until(served, lambda scrape: scrape("canvas_streams", kind="canvas") == scrape("canvas_listeners") == 0)
        told_as = {"method": "GET", "route": "/api/v2/canvas/{ref}/ops:listen", "status": "200"}
        until(served, lambda scrape: scrape("canvas_http_requests_total", **told_as) == 1)


def test_readers_that_come_back_are_counted_by_how_they_were_greeted() -> None:
    limits = LimitSettings(log_events_min=4, log_bytes_min=1)
    with serving(replace(IN_MEMORY, limits=limits)) as served:
        canvas = served.canvas("text")
        with canvas.listen() as listener:
            listener.expect("snapshot")
            canvas.submit(append("x"))
            seen = listener.expect("ack").id
        assert seen is not None
        with moved(served, "canvas_resumes_total", 1), canvas.listen(headers={"Last-Event-ID": seen}) as listener:
            assert listener.expect("start")["resumed"] is True
        with moved(served, "canvas_evicted_events_total", 10):
            for _ in range(14):
                canvas.submit(append("x"))
        with (
            moved(served, "canvas_resets_total", 1, reason="evicted"),
            moved(served, "canvas_snapshots_total", 1),
            canvas.listen(headers={"Last-Event-ID": seen}) as listener,
        ):
            listener.expect("reset")


def test_readers_that_the_server_lets_go_are_counted_by_reason() -> None:
    limits = LimitSettings(log_events_min=4, log_bytes_min=1, send_buffer_bytes=128 * 1024, listeners_max=2)
    with serving(replace(IN_MEMORY, limits=limits, stream=StreamSettings(max_age_s=0.2))) as served:
        canvas = served.canvas("")
        with moved(served, "canvas_dropped_streams_total", 1, reason="max_age"), canvas.listen() as listener:
            assert list(listener.rest())[-1]["reason"] == "max_age"
    with ExitStack() as stack, serving(replace(IN_MEMORY, limits=limits)) as served:
        canvas = served.canvas("")
        with canvas.listen(receive_buffer_bytes=128 * 1024) as stalled, canvas.listen() as reading:
            stalled.expect("start")
            reading.expect("snapshot")
            with (
                moved(served, "canvas_dropped_streams_total", 1, reason="overload"),
                canvas.listen() as third,
            ):
                assert list(third.rest())[-1]["reason"] == "overload"
            with moved(served, "canvas_dropped_streams_total", 1, reason="slow"):
                for _ in range(12):
                    canvas.submit(append("x" * 100_000))
                    reading.expect("ack")
            list(stalled.rest())
        stack.enter_context(canvas.listen()).expect("start")
    assert served.manager.counts.dropped["shutdown"] == 1


def test_checkpoints_and_their_failures_are_counted_and_what_is_unsaved_is_told() -> None:
    disk = FailingDisk(0)
    checkpoint = CheckpointSettings(interval_s=600, ops=3, retry_max_s=600)
    with serving(replace(IN_MEMORY, checkpoint=checkpoint), disk) as served:
        canvas = served.canvas("")
        canvas.submit(append("a"), append("b"))
        scrape = Scrape(served)
        assert scrape("canvas_unsaved_operations") == 2
        assert 0 < scrape("canvas_oldest_unsaved_seconds") < PATIENCE_S
        disk.fails = True
        with moved(served, "canvas_checkpoint_failures_total", 1):
            canvas.submit(append("c"))
        failing = Scrape(served)
        assert failing("canvas_failing_canvases") == 1
        assert (failing("canvas_ready"), failing("canvas_store_ready")) == (0, 1)
        disk.fails = False
        with moved(served, "canvas_checkpoint_seconds_count", 1), moved(served, "canvas_checkpoint_failures_total", 0):
            assert canvas.http.post(f"{canvas.path}:close").status_code == 200
        assert Scrape(served)("canvas_unsaved_operations") == 0


def test_a_store_that_cannot_be_written_to_is_told() -> None:
    class Locked(MemoryCanvasStore):
        async def check(self) -> None:
            raise StorageUnavailableError("it is locked", hint="Unlock it.")

    with serving(store=Locked(0)) as served:
        scrape = Scrape(served)
        assert (scrape("canvas_ready"), scrape("canvas_store_ready")) == (0, 0)


def test_commits_of_a_journal_are_measured_and_what_they_refuse_are_errors() -> None:
    disk = FailingDisk(0)
    with serving(replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal")), disk) as served:
        canvas = served.canvas("")
        with (
            moved(served, "canvas_journal_commit_seconds_count", 1),
            moved(served, "canvas_journal_commit_operations_sum", 2),
            moved(served, "canvas_checkpoint_seconds_count", 1),
            moved(served, "canvas_operations_total", 2, outcome="ack"),
        ):
            canvas.post(append("a", client_version=canvas.version), append("b"))
        disk.fails = True
        with (
            moved(served, "canvas_operation_errors_total", 1, code="STORAGE_UNAVAILABLE"),
            moved(served, "canvas_journal_commit_seconds_count", 0),
            moved(served, "canvas_operations_total", 0, outcome="ack"),
        ):
            canvas.post(append("c", client_version=canvas.version))
        assert Scrape(served)("canvas_build_info", version=__version__, durability="journal") == 1


def run_job(served: Served, **fields: object) -> Json:
    """Run a job of the demonstration to its end."""
    job = {"provider": "demo", "prompt": "Write.", "max_output_tokens": 5, **fields}
    answer = served.http.post(JOBS_PATH, json=job)
    assert answer.status_code == 201, answer.text
    started: Json = answer.json()
    assert served.http.get(started["stream_url"]).status_code == 200
    return started


def test_jobs_and_tokens_are_told_by_provider() -> None:
    with serving(DEMO) as served:
        run_job(served)
        scrape = until(
            served, lambda scrape: scrape("canvas_jobs_ended_total", provider="demo", state="completed") == 1
        )
        assert (scrape("canvas_jobs", state="queued"), scrape("canvas_jobs", state="running")) == (0, 0)
        assert scrape("canvas_job_queue_length") == 0
        kinds = ("canvas_tokens_total", "canvas_estimated_tokens")
        assert sum(scrape(kind, provider="demo", direction="output") for kind in kinds) > 0
        assert scrape("canvas_month_cost", provider="demo") == 0
        assert scrape("canvas_streams", kind="job") == 0


def test_a_job_that_runs_and_one_that_waits_are_told() -> None:
    one_at_a_time = GenerationSettings(provider="demo", running_max=1)
    with serving(replace(DEMO, generation=one_at_a_time, demo=DemoSettings(delay_ms=1_000))) as served:
        answers = [
            served.http.post(JOBS_PATH, json={"prompt": prompt, "max_output_tokens": 50}) for prompt in ("One.", "Two.")
        ]
        url = answers[0].json()["stream_url"]
        with served.http.stream("GET", url):
            until(
                served,
                lambda scrape: (
                    scrape("canvas_jobs", state="running") == 1
                    and scrape("canvas_jobs", state="queued") == 1
                    and scrape("canvas_job_queue_length") == 1
                    and scrape("canvas_streams", kind="job") == 1
                ),
            )
        for answer in answers:
            served.http.post(f"{JOBS_PATH}/{answer.json()['job_id']}/cancel")
        until(served, lambda scrape: scrape("canvas_jobs_ended_total", provider="demo", state="cancelled") == 2)


def test_a_call_that_the_quota_does_not_allow_is_counted(tmp_path: Path) -> None:
    prices = tmp_path / "pricing.toml"
    prices.write_text(PRICES)
    settings = replace(
        DEMO,
        openai=OpenaiSettings(api_key=Secret("a key"), base_url="http://127.0.0.1:9/v1"),
        cost=CostSettings(monthly_quota=0.01, pricing_file=str(prices)),
    )
    job = {"provider": "openai", "model": "gpt-5.2", "prompt": "Write.", "max_output_tokens": 5_000}
    with serving(settings) as served, moved(served, "canvas_quota_refusals_total", 2):
        for _ in range(2):
            assert served.http.post(JOBS_PATH, json=job).json()["code"] == "QUOTA_EXCEEDED"


class CountingJobs(SqliteJobStore):
    """Counts how often it is asked for its sums."""

    asked = 0

    async def tally(self) -> JobTally:
        self.asked += 1
        return await super().tally()


def test_the_stores_are_asked_once_for_many_scrapes() -> None:
    stores: list[CountingJobs] = []

    def adapt(opened: Stores) -> Stores:
        assert isinstance(opened.jobs, SqliteJobStore)
        stores.append(CountingJobs(opened.jobs._database))
        return opened._replace(jobs=stores[0])

    with serving(adapt=adapt) as served:
        start_s = monotonic()
        for _ in range(20):
            Scrape(served)
        assert 1 <= stores[0].asked <= 1 + (monotonic() - start_s) / KEPT_S


def test_how_late_the_event_loop_is_is_measured(served: Served) -> None:
    until(served, lambda scrape: scrape("canvas_loop_lag_seconds_count") >= 2)
    late = Scrape(served)("canvas_loop_lag_seconds_bucket", le="0.1")

    served.loop.call_soon_threadsafe(sleep, 0.4)
    until(
        served,
        lambda scrape: (
            scrape("canvas_loop_lag_seconds_count") - scrape("canvas_loop_lag_seconds_bucket", le="0.1") >= 1
            and scrape("canvas_loop_lag_seconds_bucket", le="0.1") >= late
        ),
    )


@pytest.fixture(scope="module")
def eventful() -> Iterator[Scrape]:
    """A scrape of a server on which everything that has a name has happened at least once."""
    with serving(DEMO) as served:
        run_job(served)
        served.http.get("/nothing")
        served.http.get("/healthz", headers={"Host": "elsewhere.example"})
        yield until(served, lambda scrape: scrape("canvas_jobs_ended_total", provider="demo", state="completed") == 1)


def name_of(family: Metric) -> str:
    """Return the name that is written down: that of the samples of a counter."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_the_manual_has_every_metric_with_its_kind_its_labels_and_its_meaning(eventful: Scrape) -> None:
    rows = re.findall(
        r"^\| `(canvas_\w+)` \| (\w+) \|([^|]*)\| (.*) \|$", (DOCS / "running.md").read_text(), re.MULTILINE
    )
    told = {
        (name_of(family), family.type, family.documentation)
        for family in eventful.families.values()
        if family.name.startswith("canvas_")
    }
    assert {(name, kind, meaning) for name, kind, _, meaning in rows} == told
    labels = {name: set(re.findall(r"`(\w+)`", listed)) for name, _, listed, _ in rows}
    for family in eventful.families.values():
        for sample in family.samples:
            if family.name.startswith("canvas_"):
                assert sample.labels.keys() - {"le"} == labels[name_of(family)], sample


def test_the_dashboard_is_one_and_every_metric_in_it_is_told(eventful: Scrape) -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert isinstance(dashboard["schemaVersion"], int)
    assert dashboard["uid"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    assert len({panel["title"] for panel in panels}) == len(panels)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    asked = [target["expr"] for panel in panels for target in panel["targets"]] + [variables["instance"]["definition"]]
    used = {name for expression in asked for name in re.findall(r"\b(?:canvas|process)_\w+", expression)}
    told = {
        known
        for family in eventful.families.values()
        for known in (name_of(family), *(sample.name for sample in family.samples))
    }
    assert len(used) > 20
    assert used - told == set()
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["type"] in {"timeseries", "stat"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) >= 1
        for target in panel["targets"]:
            assert all(target["expr"].count(one) == target["expr"].count(other) for one, other in ("()", "[]", "{}"))
            assert target["datasource"] == panel["datasource"]


def test_every_label_that_the_dashboard_sums_by_is_one_of_its_metric(eventful: Scrape) -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    labels = {
        sample.name: {"instance", *sample.labels} for family in eventful.families.values() for sample in family.samples
    }
    summed = [
        (names, metric)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for names, metric in re.findall(r"by \(([\w, ]+)\) \((?:\w+\()?((?:canvas|process)_\w+)", target["expr"])
    ]
    assert len(summed) > 10
    for names, metric in summed:
        # What never happened to a provider here has no sample to compare with.
        assert set(names.split(", ")) <= labels.get(metric, set(names.split(", "))), metric


def test_no_panel_of_the_dashboard_lies_over_another_or_beside_the_grid() -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert cells
        assert not cells & taken, panel["title"]
        taken |= cells
