"""`cli/generating.py`: a language model writes, to the terminal and into a canvas."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import DemoSettings, GenerationSettings
from tests.cli.program import Program
from tests.serving import IN_MEMORY, Served, serving

TEXT = "# Scene\n\n## Notes\n\nOld.\n\n## Draft\n"
SETTINGS = replace(
    IN_MEMORY, generation=GenerationSettings(provider="demo", cache=False), demo=DemoSettings(delay_ms=5)
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Served]:
    with serving(SETTINGS) as running:
        yield running


@pytest.fixture
def program(demo: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.chdir(tmp_path)
    return Program(demo.url, tmp_path)


def test_the_text_is_on_stdout_and_the_rest_on_stderr(program: Program) -> None:
    result = program.run("generate", "A scene.")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("**This is a demonstration.**")
    assert re.fullmatch(r"note: \d+ tokens, 0\.0000 EUR\n", result.stderr)


def test_without_a_key_demo_writes_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fresh machine: the server's own choice is a provider that has no key there."""
    monkeypatch.chdir(tmp_path)
    with serving(replace(SETTINGS, generation=GenerationSettings(cache=False))) as keyless:
        result = Program(keyless.url, tmp_path).run("generate", "A scene.", "--max-tokens", "8")
        refused = Program(keyless.url, tmp_path).run("generate", "A scene.", "--provider", "openai")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("note: demo writes, with sentences of its own: no provider has a key here\n")
    assert refused.exit_code == 2


def test_it_writes_into_a_section_or_at_the_end_or_start_of_a_canvas(program: Program, demo: Served) -> None:
    canvas = demo.canvas(TEXT)
    said = program.run("generate", "A scene.", "--canvas", canvas.ref, "--section", "Notes", "--max-tokens", "8")
    assert said.exit_code == 0, said.output
    assert canvas.text == TEXT.replace("Old.\n", f"Old.\n\n{said.stdout}")
    assert f"; written into {canvas.ref}, now at version " in said.stderr
    assert "; cut off at --max-tokens;" in said.stderr
    assert f"hint: Take it back with: canvas-server undo {canvas.ref} --job " in said.stderr
    end = program.out("generate", "The end.", "--canvas", canvas.ref).strip()
    assert canvas.text.endswith(end)
    start = program.out("generate", "The start.", "--canvas", canvas.ref, "--at", "start").strip()
    assert canvas.text.startswith(start)
    made = program.out("generate", "New.", "--canvas", canvas.ref, "--section", "New", "--create").strip()
    assert f"## New\n\n{made}" in canvas.text


def test_what_a_job_wrote_can_be_taken_back(program: Program, demo: Served) -> None:
    canvas = demo.canvas(TEXT)
    told = program.out("generate", "A scene.", "--canvas", canvas.ref, "--section", "Draft", "--json").splitlines()
    assert json.loads(told[-1])["type"] == "complete"
    (job,) = {one["actor"] for one in json.loads(program.out("history", canvas.ref, "--limit", "500", "--json"))}
    assert program.run("undo", canvas.ref, "--job", job.removeprefix("job:")).exit_code == 0
    assert canvas.text == TEXT


def test_a_job_that_is_left_alone_can_be_followed_later(program: Program) -> None:
    job = program.out("generate", "-", "--detach", stdin="A scene.").strip()
    followed = program.run("generate", "--follow", job)
    assert followed.exit_code == 0
    assert followed.stdout.startswith("**This is a demonstration.**")
    assert followed.stderr.endswith(" EUR\n")
    again = json.loads(program.out("generate", "Another.", "--detach", "--json"))
    assert set(again) == {"job_id", "state"}


def test_a_job_that_has_no_answer_ends_with_1_and_its_reason(
    program: Program, demo: Served, caplog: pytest.LogCaptureFixture
) -> None:
    job = program.out("generate", "Long.", "--model", "demo-long", "--detach").strip()
    assert demo.http.post(f"/api/v1/dialogues/generate/jobs/{job}/cancel").status_code == 200
    caplog.clear()
    told = program.run("generate", "--follow", job)
    assert told.exit_code == 1
    assert re.fullmatch(r"error: .* \(CANCELLED\)\nhint: .*\n", told.stderr)
    assert [record for record in caplog.records if record.name == "asyncio"] == []
    nobody = program.run("generate", "--follow", "7d306b20-6843-4c33-9544-1e77efb5321d")
    assert nobody.exit_code == 1
    assert nobody.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x", "--section", "Draft"),
        ("x", "--canvas", "c", "--create"),
        ("x", "--canvas", "c", "--section", "Draft", "--at", "end"),
        ("x", "--follow", "j"),
        ("x", "--provider", "nobody"),
        ("x", "--provider", "openai"),
    ],
)
def test_what_makes_no_sense_or_cannot_be_is_refused(program: Program, arguments: tuple[str, ...]) -> None:
    result = program.run("generate", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.slow
def test_ctrl_c_cancels_the_job_and_what_it_wrote_is_taken_back(program: Program, demo: Served) -> None:
    canvas = demo.canvas(TEXT)
    with program.process("generate", "Long.", "--model", "demo-long", "--canvas", canvas.ref) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"*"
        os.kill(process.pid, signal.SIGINT)
        code, _, err = program.ended(process)
    assert code == 130
    assert re.fullmatch(r"note: cancelling ...\nerror: interrupted: job [0-9a-f-]{36} is cancelled\n", err)
    assert canvas.text == TEXT
    (job,) = demo.http.get("/api/v1/dialogues/generate/jobs").json()["jobs"][:1]
    assert job["state"] == "cancelled"
