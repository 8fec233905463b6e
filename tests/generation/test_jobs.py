"""Jobs from outside: started, told, replayed, found again, counted; on a real server, with the real SDKs."""

from __future__ import annotations

from itertools import pairwise
from threading import Thread

import msgspec
import pytest

from tests.double.running import Double
from tests.generation.workbench import (
    ADA,
    BOB,
    JOBS,
    ROOT,
    Event,
    Job,
    post,
    settings_for,
    start,
    stream,
    text_of,
    words,
    workbench,
)
from tests.serving import Served

PROVIDERS = ["openai", "mistral", "local"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_job_tells_its_steps_its_text_what_it_cost_and_its_end(bench: Served, double: Double, provider: str) -> None:
    double.script(words=20)
    job = start(bench, provider)
    events = list(job.events())
    # A slow machine is told what was used so far, too.
    kinds = [event.type for event in events if event.type != "chunk" and not event.data.get("estimated")]
    assert kinds == ["step", "step", "metadata", "step", "complete"]
    assert [event.data["step"] for event in events if event.type == "step"] == ["prompting", "generating", "complete"]
    assert text_of(events) == words(20)
    assert [event.id for event in events] == [str(seq) for seq in range(1, len(events) + 1)]
    complete = events[-1].data
    assert complete["total_tokens"] == double.ledger[0].input_tokens + 20
    assert complete["result"] == {"finish": "stop", "chars": len(words(20))}
    assert (complete["cost"] > 0) == (provider == "openai"), "the others cost less than can be shown"


def test_every_chunk_says_its_own_number_and_attempt(bench: Served, double: Double) -> None:
    double.script(words=5, pace_ms=5)
    chunks = [event for event in start(bench).events() if event.type == "chunk"]
    assert text_of(chunks) == words(5)
    assert all(str(event.data["seq"]) == event.id and event.data["attempt"] == 1 for event in chunks)


def test_who_comes_late_hears_the_same(bench: Served, double: Double) -> None:
    double.script(words=30)
    job = start(bench)
    first = list(job.events())
    assert list(job.events()) == first


def test_several_readers_hear_the_same(bench: Served, double: Double) -> None:
    double.script(words=30, pace_ms=5)
    job = start(bench)
    heard: list[list[Event]] = []
    readers = [Thread(target=lambda: heard.append(list(job.events()))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(heard) == 4
    assert all(one == other for one, other in pairwise(heard))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_who_comes_back_hears_what_came_after(bench: Served, double: Double, share: float) -> None:
    double.script(words=10, pace_ms=2)
    job = start(bench)
    events = list(job.events())
    heard = int(share * len(events))
    assert list(job.events(heard=heard)) == events[heard:]
    assert list(job.events(query=f"?from_id={heard + 1}")) == events[heard:]


def test_a_reader_that_leaves_stops_nothing(bench: Served, double: Double) -> None:
    double.script(words=20, pace_ms=5)
    job = start(bench)
    job.told("chunk", 3)
    assert text_of(job.events()) == words(20)
    assert len(double.ledger) == 1


def test_a_page_that_lost_its_job_finds_it_among_the_active_ones(bench: Served, double: Double) -> None:
    double.script(words=1_000, pace_ms=10)
    job = start(bench)
    job.told("chunk")
    found = bench.http.get(f"{JOBS}?active=true", headers=ADA).json()["jobs"]
    assert [one["job_id"] for one in found] == [job.id]
    job.cancel()
    assert bench.http.get(f"{JOBS}?active=true", headers=ADA).json()["jobs"] == []
    assert bench.http.get(JOBS, headers=ADA).json()["jobs"][0]["job_id"] == job.id


def test_a_job_is_its_users_and_an_admins(bench: Served, double: Double) -> None:
    job = start(bench)
    job.end()
    for path in (f"{JOBS}/{job.id}", f"{JOBS}/{job.id}/stream", f"/api/chat/chunks/{job.id}"):
        assert bench.http.get(path, headers=BOB).status_code == 404
        assert bench.http.get(path).status_code == 404
        assert bench.http.get(path, headers=ROOT).status_code == 200
    assert bench.http.post(f"{JOBS}/{job.id}/cancel", headers=BOB).status_code == 404
    assert job.id not in bench.http.get(JOBS, headers=BOB).text
    assert job.id in bench.http.get(f"{JOBS}?all=true", headers=ROOT).text
    assert job.id not in bench.http.get(f"{JOBS}?all=true", headers=BOB).text


def test_the_state_of_a_job_tells_tokens_cost_and_the_text_so_far(bench: Served, double: Double) -> None:
    double.script(words=12)
    job = start(bench, "openai")
    job.end()
    state = job.state
    assert state["state"] == "completed"
    assert state["text"] == words(12)
    assert state["tokens"] == {
        "input": double.ledger[0].input_tokens,
        "output": 12,
        "cached": 0,
        "estimated": False,
    }
    assert state["cost"] > 0
    assert state["created_at"] <= state["started_at"] <= state["ended_at"]


def test_stored_chunks_are_told_from_any_of_them_on(bench: Served, double: Double) -> None:
    double.script(words=10, pace_ms=2)
    job = start(bench)
    chunks = [event.data for event in job.events() if event.type == "chunk"]
    whole = bench.http.get(f"/api/chat/chunks/{job.id}", headers=ADA).json()
    assert "".join(chunk["content"] for chunk in whole["chunks"]) == words(10)
    assert whole["complete"]
    assert whole["next_from_id"] == int(list(job.events())[-1].id or 0) + 1
    middle = len(chunks) // 2
    later = bench.http.get(f"/api/chat/chunks/{job.id}?from_id={chunks[middle]['seq']}", headers=ADA).json()
    assert [chunk["seq"] for chunk in later["chunks"]] == [chunk["seq"] for chunk in chunks[middle:]]


def test_the_same_key_is_the_same_job(bench: Served, double: Double) -> None:
    body = {"provider": "local", "idempotency_key": "same-key"}
    first = post(bench, body)
    second = post(bench, body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["job_id"] == second.json()["job_id"]
    of_bob = post(bench, body, BOB).json()
    assert of_bob["job_id"] != first.json()["job_id"]
    other = post(bench, {**body, "prompt": "Autre chose."})
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    Job(bench, first.json(), ADA).end()
    Job(bench, of_bob, BOB).end()
    assert len([line for line in double.ledger if line.api == "local"]) <= 2


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"provider": "local", "prompt": " "}, "INVALID_FIELD", "/prompt"),
        ({"provider": "nobody"}, "MODEL_UNKNOWN", None),
        ({"provider": "openai", "model": "no-such-model"}, "PRICE_UNKNOWN", None),
        ({"provider": "local", "max_output_tokens": 0}, "INVALID_FIELD", "/max_output_tokens"),
        ({"provider": "local", "colour": "red"}, "INVALID_FIELD", "/colour"),
        ({"provider": "local", "schema": {"type": "array"}}, "INVALID_FIELD", "/schema"),
        ({"provider": "local", "preset_id": "../../etc/passwd"}, "NOT_FOUND", None),
        (
            {"provider": "local", "canvas": {"ref": "no-such-canvas", "target": {"type": "anchor"}}},
            "INVALID_FIELD",
            "/canvas/target/anchor",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_called(
    bench: Served, double: Double, body: dict[str, object], code: str, pointer: str | None
) -> None:
    answer = post(bench, body)
    assert answer.status_code in (400, 404, 422), answer.text
    assert (answer.json()["code"], answer.json().get("pointer")) == (code, pointer)
    assert answer.json()["hint"]
    assert double.ledger == []


def test_a_provider_without_a_key_says_so_at_the_call(double: Double) -> None:
    settings = msgspec.structs.replace(settings_for(double), openai=type(settings_for(double).openai)())
    with workbench(double, settings) as served:
        answer = post(served, {})
        assert (answer.status_code, answer.json()["code"]) == (422, "PROVIDER_NOT_CONFIGURED")
        models = served.http.get("/api/v1/models").json()
        assert {model["provider"]: model["configured"] for model in models["models"]}["openai"] is False


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("400", "PROVIDER_REJECTED"),
        ("401", "PROVIDER_AUTH"),
        ("404_model", "MODEL_UNKNOWN"),
        ("content_filter", "CONTENT_REFUSED"),
        ("flood", "OUTPUT_TOO_LARGE"),
    ],
)
def test_what_the_provider_refuses_ends_the_job_with_its_reason(
    bench: Served, double: Double, fault: str, code: str
) -> None:
    double.script(fault=fault, after_words=2)
    job = start(bench, "openai")
    failure = job.end().data
    assert (failure["type"], failure["code"], failure["state"]) == ("error", code, "failed")
    assert failure["hint"]
    assert "canary" not in str(failure)
    assert job.state["error"]["code"] == code


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_a_busy_provider_is_asked_again_and_the_stream_says_so(
    bench: Served, double: Double, fault: str, provider: str
) -> None:
    double.script(fault=fault, times=2, retry_after=0)
    double.script(words=5)
    events = list(start(bench, provider).events())
    assert text_of(events) == words(5)
    waits = [event.data["retry_in_ms"] for event in events if "retry_in_ms" in event.data]
    assert len(waits) == 2
    assert len(double.ledger) == 3


def test_a_provider_that_stays_busy_is_given_up(bench: Served, double: Double) -> None:
    double.script(fault="429", retry_after=0, default=True)
    failure = start(bench, "openai").end().data
    assert failure["code"] == "PROVIDER_RATE_LIMITED"
    assert len(double.ledger) == 4, "once, and three times again"
    assert bench.http.get("/api/v1/costs/usage", headers=ADA).json()["total"]["reserved"] == 0


def test_a_stream_that_broke_is_taken_up_where_the_provider_can(bench: Served, double: Double) -> None:
    double.script(words=20, fault="cut", after_words=8, pace_ms=2)
    events = list(start(bench, "openai").events())
    assert text_of(events) == words(20)
    assert any(event.data.get("reattached") for event in events)
    assert [line.output_tokens for line in double.ledger] == [20], "bought once"


def test_an_answer_that_broke_off_is_gone_on_with_where_the_provider_can(bench: Served, double: Double) -> None:
    double.script(words=20, fault="cut", after_words=8, pace_ms=2)
    double.script(words=20)
    job = start(bench, "mistral")
    events = list(job.events())
    assert text_of(events) == words(20)
    assert any(event.data.get("continued") for event in events)
    assert [line.continuation for line in double.ledger] == [False, True]
    assert sum(line.output_tokens for line in double.ledger) <= 22, "the output is bought once"
    entries = bench.http.get("/api/v1/costs/entries?provider=mistral", headers=ADA).json()["entries"]
    assert [entry["job_id"] for entry in entries].count(job.id) == 2


@pytest.mark.parametrize("fault", ["cut", "no_finish", "malformed", "error_event"])
def test_an_answer_that_is_lost_keeps_the_text_there_was(bench: Served, double: Double, fault: str) -> None:
    double.script(words=20, fault=fault, after_words=8, pace_ms=2)
    job = start(bench, "local")
    failure = job.end().data
    assert failure["type"] == "error"
    assert failure["code"] in ("PROVIDER_STREAM_LOST", "PROVIDER_FAILED")
    assert job.state["text"].split() == words(8).split()
    assert failure["text_chars"] == len(job.state["text"])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_before_text", "hang_during"])
def test_a_silent_provider_is_left_in_time(double: Double, provider: str, fault: str) -> None:
    with workbench(double) as served:
        # The first job loads the provider's SDK, which on a busy machine takes longer than the provider is given here.
        start(served, provider).end()
    double.reset()
    # Long enough for a busy machine to make a connection: what is left must have been called.
    settings = settings_for(double, first_byte_s=1.0, gap_s=1.0, total_s=4.0, background=False)
    with workbench(double, settings) as served:
        double.script(words=20, fault=fault, after_words=4, default=True)
        job = start(served, provider)
        assert job.end().data["code"] == "PROVIDER_TIMEOUT"
        double.closed()
        assert served.http.get("/api/v1/costs/usage", headers=ADA).json()["total"]["reserved"] == 0


def test_an_answer_as_long_as_it_may_be_is_told_as_such(bench: Served, double: Double) -> None:
    double.script(words=50)
    complete = start(bench, "openai", max_output_tokens=10).end().data
    assert complete["type"] == "complete"
    assert complete["result"]["finish"] == "length"


SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_structured_answer_fits_its_schema(bench: Served, double: Double, provider: str) -> None:
    double.script(text='{"mood": "calm"}')
    job = start(bench, provider, schema=SCHEMA)
    events = list(job.events())
    assert events[-1].data["result"]["data"] == {"mood": "calm"}
    assert job.state["result"] == {"mood": "calm"}
    assert "validating" in [event.data.get("step") for event in events]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_misfit_is_repaired_once_as_a_second_attempt(bench: Served, double: Double, provider: str) -> None:
    double.script(text='{"humour": "calme"}')
    double.script(text='{"mood": "calm"}')
    job = start(bench, provider, schema=SCHEMA)
    events = list(job.events())
    assert {event.data["attempt"] for event in events if event.type == "chunk"} == {1, 2}
    assert events[-1].data["result"]["data"] == {"mood": "calm"}
    assert len(double.ledger) == 2
    paid = events[-1].data["total_tokens"]
    assert paid == sum(line.input_tokens + line.output_tokens for line in double.ledger)


def test_what_does_not_fit_twice_is_invalid(bench: Served, double: Double) -> None:
    double.script(text='{"humour": "calme"}', default=True)
    job = start(bench, "openai", schema=SCHEMA)
    assert job.end().data["code"] == "OUTPUT_INVALID"
    assert len(double.ledger) == 2


def test_the_same_request_is_answered_again_at_no_cost(double: Double) -> None:
    with workbench(double, settings_for(double, cache=True)) as served:
        double.script(words=15, pace_ms=1)
        first = start(served, "openai")
        assert "cached" not in first.end().data
        again = start(served, "openai")
        events = list(again.events())
        assert text_of(events) == words(15)
        assert events[-1].data["cached"] is True
        assert events[-1].data["cost"] == 0
        assert len(double.ledger) == 1
        start(served, "openai", prompt="Autre chose.").end()
        assert len(double.ledger) == 2


def test_half_an_answer_is_never_told_again(double: Double) -> None:
    with workbench(double, settings_for(double, cache=True)) as served:
        double.script(words=1_000, pace_ms=5)
        job = start(served)
        job.told("chunk", 2)
        job.cancel()
        double.script(words=5)
        assert text_of(start(served).events()) == words(5)


def test_a_bare_event_source_starts_a_job_and_streams_it_in_one_call(bench: Served, double: Double) -> None:
    double.script(words=10)
    named, *events = stream(bench, "/api/v1/generate/stream?prompt=Bonjour&provider=local", ADA)
    assert text_of(events) == words(10)
    job_id, _, seq = (events[-1].id or "").rpartition(".")
    assert seq == str(len(events))
    assert (named.type, named.data["job_id"], named.id) == ("job", job_id, f"{job_id}.0")
    assert bench.http.get(f"{JOBS}/{job_id}", headers=ADA).json()["state"] == "completed"


def test_its_reconnect_attaches_and_buys_nothing(bench: Served, double: Double) -> None:
    double.script(words=10)
    path = "/api/v1/generate/stream?prompt=Bonjour&provider=local"
    named, *events = stream(bench, path, ADA)
    again = list(stream(bench, path, {**ADA, "Last-Event-ID": events[3].id or ""}))
    assert again == events[4:]
    assert list(stream(bench, path, {**ADA, "Last-Event-ID": named.id or ""})) == events
    assert len(double.ledger) == 1


def test_who_has_heard_the_end_is_told_not_to_come_back(bench: Served, double: Double) -> None:
    path = "/api/v1/generate/stream?prompt=Fini&provider=local"
    *_, last = stream(bench, path, ADA)
    assert bench.http.get(path, headers={**ADA, "Last-Event-ID": last.id or ""}).status_code == 204
    job_id, _, seq = (last.id or "").rpartition(".")
    answer = bench.http.get(f"{JOBS}/{job_id}/stream", headers={**ADA, "Last-Event-ID": seq})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(double.ledger) == 1


def test_the_same_question_while_it_is_answered_joins_the_answer(bench: Served, double: Double) -> None:
    double.script(words=40, pace_ms=50)
    path = "/api/v1/generate/stream?prompt=Encore&provider=local"
    first = stream(bench, path, ADA)
    opening = next(first)
    second = list(stream(bench, path, ADA))
    assert second == [opening, *first]
    assert len(double.ledger) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://evil.example"},
        {"Sec-Purpose": "prefetch", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_get_that_spends_is_guarded_as_a_write_is(bench: Served, double: Double, headers: dict[str, str]) -> None:
    answer = bench.http.get("/api/v1/generate/stream?prompt=x&provider=local", headers={**ADA, **headers})
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert double.ledger == []


def test_our_own_page_may_use_it(bench: Served, double: Double) -> None:
    headers = {**ADA, "Sec-Fetch-Site": "same-origin"}
    assert text_of(stream(bench, "/api/v1/generate/stream?prompt=x&provider=local", headers)) == words(10)


def test_over_quota_nothing_is_called(double: Double) -> None:
    with workbench(double, settings_for(double, quota=0.01)) as served:
        answer = post(served, {"provider": "openai", "max_output_tokens": 100_000})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (429, "QUOTA_EXCEEDED")
        assert (problem["limit"], problem["spent"], problem["reserved"]) == (0.01, 0.0, 0.0)
        assert problem["resets_at"] > "2026"
        assert int(answer.headers["retry-after"]) > 0
        assert double.ledger == []
        assert start(served, "openai", max_output_tokens=100_000, headers=ROOT).end().type == "complete"


def test_a_nearly_used_quota_warns_in_header_and_stream_and_goes_on(double: Double) -> None:
    with workbench(double, settings_for(double, quota=0.0155)) as served:
        answer = post(served, {"provider": "openai", "max_output_tokens": 1_000})
        assert answer.status_code == 201
        assert answer.headers["x-quota-warning"].endswith("%")
        assert answer.json()["quota"]["warning"] is True
        Job(served, answer.json(), ADA).end()


def test_models_say_what_can_be_chosen_and_at_what_price(bench: Served) -> None:
    body = bench.http.get("/api/v1/models").json()
    by_name = {(model["provider"], model["model"]): model for model in body["models"]}
    assert body["default"] == {"provider": "openai", "model": "gpt-5.2"}
    assert by_name["openai", "gpt-5.2"]["prices"]["output"] > 0
    assert by_name["mistral", "small-creative"]["configured"]
    assert by_name["demo", "demo"]["free"]


def test_no_key_and_no_prompt_is_ever_logged(bench: Served, double: Double, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        start(bench, "openai", prompt="secret-prompt-canary").end()
        list(stream(bench, "/api/v1/generate/stream?prompt=secret-prompt-canary&provider=local", ADA))
        double.script(fault="401")
        start(bench, "mistral", prompt="secret-prompt-canary").end()
    own = [record for record in caplog.records if record.name.startswith("canvas_server")]
    assert own
    assert not any("canary" in f"{record.getMessage()} {vars(record)}" for record in own)
