"""`canvas_server.tracing`: spans reach a collector, tell no secret, and cost nothing without one."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import httpx2
import msgspec
import pytest

from canvas_server.config import Secret
from canvas_server.config.settings import (
    ActorSettings,
    CheckpointSettings,
    GenerationSettings,
    Settings,
    TracingSettings,
)
from canvas_server.tracing import FLUSH_S
from tests.collector import Collector, collecting, facts
from tests.processes import ROOT, running
from tests.serving import IN_MEMORY, Served, append, serving

ERROR: Final = 2
SLOWEST_S_MAX: Final = 4.0
"""For one of thousands of requests; one that waits for a collector waits for five seconds."""
STOPPING_S_MAX: Final = 15.0
"""For all that a server does at its end beside the last spans; a full queue that is waited for takes 40 s."""
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT: Final = "00f067aa0ba902b7"
TOKEN: Final = "correct-horse-battery-staple"
SECRETS: Final = (TOKEN, "Ornithopter", "Quaternion", "Bearer")
ROUTE: Final = "GET /api/v2/canvas/{ref}"


def settings(url: str, ratio: float = 1.0) -> Settings:
    return msgspec.structs.replace(
        IN_MEMORY,
        tracing=TracingSettings(url, ratio),
        generation=GenerationSettings(provider="demo"),
        checkpoint=CheckpointSettings(interval_s=0.05),
        actors={"ada": ActorSettings(Secret(TOKEN))},
    )


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Served]:
    with serving(settings(collector.url)) as served:
        yield served


def flags(sampled: bool) -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-0{int(sampled)}"}


def ask_of_demo(served: Served, **headers: str) -> str:
    """Have a job write into a canvas, and return its id when it has ended."""
    canvas = served.canvas("# A\n")
    target = {"type": "heading", "heading": {"path": ["A"]}}
    asked = {"prompt": "Ornithopter", "max_output_tokens": 5, "canvas": {"ref": canvas.ref, "target": target}}
    answer = served.http.post("/api/v1/dialogues/generate/jobs", json=asked, headers=headers)
    assert answer.status_code == 201, answer.text
    assert '"complete"' in served.http.get(answer.json()["stream_url"], headers=headers).text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_a_request_is_the_child_of_what_its_traceparent_names(traced: Served, collector: Collector) -> None:
    canvas = traced.canvas()
    answer = traced.http.get(canvas.path, headers={**flags(sampled=True), "X-Request-Id": "seen-1"})
    assert answer.status_code == 200
    (span,) = (span for span in collector.wait_for(ROUTE) if span.trace_id.hex() == TRACE)
    assert span.parent_span_id.hex() == PARENT
    assert facts(span) == {
        "http.request.method": "GET",
        "http.route": "/api/v2/canvas/{ref}",
        "http.response.status_code": 200,
        "request_id": "seen-1",
    }
    assert collector.resource["service.name"] == "canvas-server"


@pytest.mark.parametrize("headers", [{}, {"traceparent": "rubbish"}, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}])
def test_a_request_without_a_parent_begins_a_trace_of_its_own(
    traced: Served, collector: Collector, headers: dict[str, str]
) -> None:
    before = len(collector.named("GET /healthz"))
    for _ in range(2):
        traced.http.get("/healthz", headers=headers)
    first, second = collector.wait_for("GET /healthz", before + 2)[before:]
    assert first.parent_span_id == second.parent_span_id == b""
    assert first.trace_id != second.trace_id, "though they came on one connection"


def test_a_refused_request_has_a_span_and_a_mistake_of_ours_one_that_failed(
    traced: Served, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ArithmeticError("Quaternion")

    monkeypatch.setattr(traced.manager, "list_canvases", fail)
    assert traced.http.get("/api/v2/canvas").status_code == 500
    assert traced.http.get("/", headers={"Host": "evil.example"}).status_code == 421
    (failed,) = collector.wait_for("GET /api/v2/canvas")
    assert failed.status.code == ERROR
    assert not failed.events
    (refused,) = collector.wait_for("GET")
    assert facts(refused)["http.response.status_code"] == 421
    assert refused.status.code != ERROR


def test_a_stream_s_span_ends_when_the_stream_is_there(traced: Served, collector: Collector) -> None:
    canvas = traced.canvas("text")
    with canvas.listen() as listener:
        (span,) = collector.wait_for("GET /api/v2/canvas/{ref}/ops:listen")
        assert facts(span)["http.response.status_code"] == 200
        (event,) = canvas.submit(append("!"))
        assert event["type"] == "ack"
        assert listener.until("ack"), "and the stream goes on"


def test_each_checkpoint_has_a_span(traced: Served, collector: Collector) -> None:
    canvas = traced.canvas("text")
    canvas.submit(*(append("!", scope="range") for _ in range(7)))
    seven = {"ops": 7, "seq": 7}
    (span,) = collector.wait_for("checkpoint", where=lambda span: seven.items() <= facts(span).items())
    assert span.parent_span_id == b"", "it saves what many requests brought"
    assert "http.request.method" not in facts(span)


def test_a_job_is_a_child_of_its_request_and_its_calls_and_writes_are_children_of_it(
    traced: Served, collector: Collector
) -> None:
    job_id = ask_of_demo(traced, Authorization=f"Bearer {TOKEN}", **{"X-Request-Id": "make-1"})
    (job,) = (span for span in collector.wait_for("job") if facts(span)["job_id"] == job_id)
    (call,) = (span for span in collector.wait_for("provider call") if facts(span)["job_id"] == job_id)
    (request,) = (
        span
        for span in collector.wait_for("POST /api/v1/dialogues/generate/jobs")
        if facts(span)["request_id"] == "make-1"
    )
    assert job.trace_id == call.trace_id == request.trace_id
    assert (job.parent_span_id, call.parent_span_id) == (request.span_id, job.span_id)
    told = facts(job)
    assert (told["request_id"], told["job.state"], told["job.calls"]) == ("make-1", "completed", 1)
    of_call = facts(call)
    assert of_call["gen_ai.provider.name"] == of_call["gen_ai.request.model"] == "demo"
    assert of_call["gen_ai.response.finish_reasons"] in ("stop", "length")
    assert of_call["gen_ai.usage.output_tokens"] == told["gen_ai.usage.output_tokens"] == 5
    assert of_call["cost_micros"] == told["cost_micros"] == 0
    writes = [span for span in collector.spans if span.parent_span_id == job.span_id and facts(span).get("http.route")]
    assert {facts(span)["request_id"] for span in writes} == {"make-1"}
    assert any(span.name == "POST /api/v2/canvas/{ref}/ops:stream" for span in writes)


def test_no_span_tells_a_prompt_a_text_or_a_token() -> None:
    with collecting() as collector:
        with serving(settings(collector.url)) as served:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            ask_of_demo(served, **headers)
            canvas = served.canvas("Quaternion", title="Quaternion")
            canvas.submit(append("Quaternion"), headers=headers)
            served.http.get(f"{canvas.path}?token=Quaternion", headers=headers)
            text = served.http.get("/api/v2/canvas/canvas-1").text
        assert len(collector.spans) > 5, "stopping sends the rest"
        sent = b"".join(collector.raw)
        assert not [secret for secret in SECRETS if secret.encode() in sent]
        assert text


@pytest.mark.parametrize(("sampled", "count"), [(True, 1), (False, 0)])
def test_a_ratio_of_zero_keeps_only_what_was_kept_elsewhere(sampled: bool, count: int) -> None:
    with collecting() as collector:
        with serving(settings(collector.url, 0.0)) as served:
            served.http.get("/healthz")
            served.http.get("/healthz", headers=flags(sampled))
        assert len(collector.spans) == count


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a collector that lets itself be connected to and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.slow
def test_a_collector_that_is_away_or_hangs_costs_nobody_anything_but_spans(
    silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        absent = f"http://127.0.0.1:{sock.getsockname()[1]}"
    for url in (absent, silent):
        with serving(settings(url)) as served:
            canvas = served.canvas("text")
            slowest_s = 0.0
            for _ in range(3_000):  # more than the queue holds
                started_s = monotonic()
                assert served.http.get("/healthz").status_code == 200
                slowest_s = max(slowest_s, monotonic() - started_s)
            assert canvas.submit(append("!"))[0]["type"] == "ack"
            assert slowest_s < SLOWEST_S_MAX
            stopping_s = monotonic()
        assert monotonic() - stopping_s < FLUSH_S + STOPPING_S_MAX
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) <= 2, "once for each server"


def test_a_collector_that_goes_and_comes_is_told_of_once_each(caplog: pytest.LogCaptureFixture) -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("OtelBatch"):
            thread.join(2 * FLUSH_S + 10)  # of a server before this one, whose collector never answered
    caplog.clear()
    caplog.set_level(logging.INFO, "canvas_server.tracing")
    with collecting() as collector:
        collector.status = 400  # which is not tried again, so each batch is lost at once
        with serving(settings(collector.url)) as served:
            for _ in range(3):
                for _ in range(300):
                    served.http.get("/healthz")
            while not caplog.records:
                served.http.get("/healthz")
            collector.status = 200
            served.http.get("/readyz")
            collector.wait_for("GET /readyz")
    told = [record.getMessage() for record in caplog.records if record.name.startswith("canvas_server.tracing")]
    assert told == ["traces not taken", "traces taken again"]


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys, asyncio\n"
        "from canvas_server.app import opened_house, opened_stores\n"
        "from tests.serving import IN_MEMORY\n"
        "async def main():\n"
        "    async with opened_stores(IN_MEMORY) as stores, opened_house(IN_MEMORY, 'http://x', stores) as house:\n"
        "        assert house.app._tracer is None\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_an_endpoint_without_the_extra_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ModuleNotFoundError(name='opentelemetry')\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "CANVAS_TRACING_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    command = [sys.executable, "-m", "canvas_server", "serve", "--port", "0", "--ephemeral"]
    told = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        "error: tracing.otlp_endpoint is set, but opentelemetry is not installed",
        "hint: Run `pip install 'canvas-server[otel]'`, or leave tracing.otlp_endpoint empty.",
    ]


def test_a_server_that_is_stopped_sends_its_last_spans(tmp_path: Path) -> None:
    with collecting() as collector:
        with running(tmp_path, CANVAS_TRACING_OTLP_ENDPOINT=collector.url + "/v1/traces") as server:
            assert httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200
        assert collector.named("GET /healthz")
        assert [line["message"] for line in server.lines() if line["level"] != "info"] == [
            line["message"] for line in server.lines() if "list of prices" in line["message"]
        ]
