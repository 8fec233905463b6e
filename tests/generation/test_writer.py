"""The writer: a job's text in a canvas, beside people, under everybody's rules."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from canvas_server.config.settings import AutosaveSettings, StorageSettings
from canvas_server.core.job import CanvasOutput, Job, JobId, JobSpec
from canvas_server.core.operation import AnchorPlace, AnchorTarget
from canvas_server.generation.writer import Writer
from tests.double.running import Double
from tests.generation.workbench import ADA, settings_for, start, text_of, words, workbench
from tests.serving import Canvas, Served


def heading(ref: str, *path: str, **fields: object) -> dict[str, object]:
    return {"ref": ref, "target": {"type": "heading", "heading": {"path": path}}, **fields}


def insert_into(title: str, text: str, op_id: str) -> dict[str, object]:
    return {
        "op_id": op_id,
        "scope": "section",
        "action": "insert",
        "target": {"type": "heading", "heading": {"path": [title]}},
        "content": text,
    }


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def history(canvas: Canvas) -> list[dict[str, object]]:
    events: list[dict[str, object]] = canvas.http.get(f"{canvas.path}/ops?limit=1000").json()["events"]
    return events


def test_the_text_arrives_in_its_section_word_for_word(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n\n## One\n\nmine\n\n## Two\n\nother\n")
    double.script(words=200, pace_ms=2)
    job = start(bench, canvas=heading(canvas.ref, "One"))
    complete = job.end().data
    assert canvas.text == f"# A\n\n## One\n\nmine\n\n{words(200)}\n\n## Two\n\nother\n"
    assert complete["result"]["canvas"]["server_version"] == canvas.version


def test_it_comes_under_credentials_of_its_own_with_its_provenance(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    job = start(bench, canvas=heading(canvas.ref, "A"))
    job.end()
    acks = history(canvas)
    assert {ack["kind"] for ack in acks} == {"job"}
    assert {ack["actor"] for ack in acks} == {f"job:{job.id}"}
    meta = acks[0]["meta"]
    assert isinstance(meta, dict)
    assert meta.pop("length").isdecimal()
    assert meta == {"job": job.id, "provider": "local", "model": "toy"}
    assert {ack["action"] for ack in acks} == {"insert"}


def test_its_credentials_are_worth_nothing_afterwards(bench: Served, double: Double) -> None:
    before = len(bench.house.engine._shop.credentials._issued)  # type: ignore[attr-defined]
    canvas = bench.canvas("# A\n")
    start(bench, canvas=heading(canvas.ref, "A")).end()
    until(lambda: len(bench.house.engine._shop.credentials._issued) == before)  # type: ignore[attr-defined]


def test_tokens_are_joined_so_that_a_canvas_hears_no_more_than_it_must(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    double.script(words=1_000, pace_ms=1)
    start(bench, canvas=heading(canvas.ref, "A")).end()
    assert words(1_000) in canvas.text
    assert len(history(canvas)) < 500


def test_a_person_in_another_section_and_the_job_never_wait_for_each_other(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n\n## One\n\n## Two\n\nother\n")
    double.script(words=150, pace_ms=10)
    with canvas.listen() as listener:
        job = start(bench, canvas=heading(canvas.ref, "One"))
        job.told("chunk", 3)
        outcomes = [canvas.submit(insert_into("Two", f"line {number}", f"p-{number}"))[0] for number in range(25)]
        job.end()
        canvas.submit(insert_into("Two", "the end", "last"))
        kinds = [event.type for event in listener.until("ack", op_id="last")]
    assert {outcome["type"] for outcome in outcomes} == {"ack"}
    assert "conflict" not in kinds
    assert words(150) in canvas.text
    assert all(f"line {number}" in canvas.text for number in range(25))


def test_a_person_in_the_very_place_is_not_overwritten_and_the_text_still_arrives(
    bench: Served, double: Double
) -> None:
    canvas = bench.canvas("# A\n\nstart\n")
    double.script(words=200, pace_ms=10)
    job = start(bench, canvas=heading(canvas.ref, "A"))
    until(lambda: "mot-10" in canvas.text)
    for number in range(10):
        canvas.submit(
            {
                "op_id": f"end-{number}",
                "scope": "range",
                "action": "insert",
                "target": {"type": "heading", "heading": {"path": ["A"]}},
                "content": f"[{number}]",
                "options": {"surround_with_blank_lines": 0},
            }
        )
        time.sleep(0.05)
    assert job.end().type == "complete"
    text = canvas.text
    assert all(f"[{number}]" in text for number in range(10))
    found = [word for word in text.replace("[", " [").replace("]", "] ").split() if word.startswith("mot-")]
    assert found == words(200).split(), "each word once, in order"


def test_when_somebody_takes_its_text_away_it_goes_on_in_its_section(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n\nstart\n\n# B\n")
    double.script(words=600, pace_ms=10)
    job = start(bench, canvas=heading(canvas.ref, "A"))
    until(lambda: "mot-20" in canvas.text)
    wipe = {
        "op_id": "wipe",
        "scope": "canvas",
        "action": "replace",
        "target": {"type": "heading", "heading": {"path": ["A"]}},
        "content": "wiped",
    }
    # Between reading the version and writing on it the job may write: then it is sent again.
    until(lambda: canvas.submit(wipe)[0]["type"] == "ack")
    assert job.end().type == "complete"
    text = canvas.text
    assert "mot-600" in text
    assert "wiped" in text
    assert text.index("mot-600") < text.index("# B")


def test_a_canvas_that_is_deleted_ends_the_job_and_the_spending(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    double.script(words=5_000, pace_ms=10)
    job = start(bench, canvas=heading(canvas.ref, "A"))
    until(lambda: "mot-5" in canvas.text)
    assert canvas.http.delete(canvas.path).status_code == 204
    failure = job.end().data
    assert (failure["code"], failure["state"]) == ("CANVAS_NOT_WRITTEN", "failed")
    assert not double.closed().finished
    assert job.state["text"].startswith("mot-1 mot-2")


def test_a_place_that_is_not_there_is_refused_before_anything_is_paid(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    body = {"prompt": "x", "provider": "openai", "canvas": heading(canvas.ref, "Nowhere")}
    answer = bench.http.post("/api/v1/dialogues/generate/jobs", json=body, headers=ADA)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/canvas/target")
    body["canvas"] = {"ref": canvas.ref, "target": {"type": "position", "position": {"mode": "offset", "offset": 1}}}
    assert bench.http.post("/api/v1/dialogues/generate/jobs", json=body, headers=ADA).status_code == 422
    assert double.ledger == []


def test_a_section_that_is_not_there_can_be_made(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    job = start(bench, canvas=heading(canvas.ref, "A", "New", action="upsert_section"))
    assert job.end().type == "complete"
    assert f"## New\n\n{words(10)}" in canvas.text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("one\r\ntwo\rthree \r\n four", "one\ntwo\nthree \n four"),
        ("emoji 😀 and é and \u2028 and أهلا", "emoji 😀 and é and \u2028 and أهلا"),
        ("nul \x00 here", "nul \ufffd here"),
        ('"quotes" \\ and {"content": "x"}', '"quotes" \\ and {"content": "x"}'),
    ],
)
def test_any_text_arrives_as_a_canvas_can_hold_it(bench: Served, double: Double, text: str, written: str) -> None:
    canvas = bench.canvas("# A\n")
    double.script(text=text, pace_ms=60)
    job = start(bench, canvas=heading(canvas.ref, "A"))
    assert text_of(job.events()) == text
    assert written in canvas.text


def test_a_structured_answer_is_written_once_it_fits(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n")
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    double.script(text='{"humour": "calme"}')
    double.script(text='{"mood": "calm"}')
    start(bench, "mistral", schema=schema, canvas=heading(canvas.ref, "A")).end()
    assert json.dumps({"mood": "calm"}) in canvas.text
    assert "humour" not in canvas.text


def test_two_jobs_write_into_two_sections_at_once(bench: Served, double: Double) -> None:
    canvas = bench.canvas("# A\n\n# B\n")
    double.script(words=150, pace_ms=3, times=2)
    jobs = [start(bench, prompt=title, canvas=heading(canvas.ref, title)) for title in ("A", "B")]
    threads = [threading.Thread(target=job.end) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert canvas.text == f"# A\n\n{words(150)}\n\n# B\n\n{words(150)}\n"


def test_the_copy_of_a_canvas_waits_until_the_job_is_done_with_it(double: Double, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        settings_for(double),
        storage=StorageSettings(data_dir=str(tmp_path)),
        autosave=AutosaveSettings(interval_s=0.05),
    )
    with workbench(double, settings) as served:
        canvas = served.canvas("# A\n")
        copy = tmp_path / "interactions" / f"{canvas.ref}.json"
        canvas.submit(insert_into("A", "mine", "by-ada"))
        until(copy.exists)
        double.script(words=2_000, pace_ms=10)
        job = start(served, canvas=heading(canvas.ref, "A"))
        until(lambda: "mot-30" in canvas.text)
        assert "mot" not in copy.read_text()
        job.cancel()
        assert "mot" not in copy.read_text(), "nothing partial is ever saved"
        double.script(words=20)
        start(served, canvas=heading(canvas.ref, "A")).end()
        until(lambda: "mot-20" in copy.read_text())


def test_a_line_end_that_comes_in_two_halves_is_one() -> None:
    output = CanvasOutput(ref="a", target=AnchorTarget(anchor=AnchorPlace(name="doc_end")))
    spec = JobSpec(prompt="x", provider="demo", model="demo", max_output_tokens=1, canvas=output)
    writer = Writer(Job(id=JobId("job"), user="ada", kind="human", spec=spec, created_unix_ms=0), 1, 0.05)
    for piece in ("one\r", "\ntwo", "\r", "three\r"):
        writer.feed(piece)
    writer.finish()
    assert writer._text == "one\ntwo\nthree\n"
