"""kill -9 at every step of a job: no output is bought twice, and nothing that was told is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from canvas_server.generation.providers.demo import MODELS
from canvas_server.generation.providers.demo_text import written
from tests.crash.job_matrix import (
    CANVAS_CELLS,
    CELLS,
    EDIT,
    PROMPT,
    START,
    Behaviour,
    Cell,
    Found,
    Stage,
    live_through,
)
from tests.crash.job_servers import starting_job_servers
from tests.crash.servers import Servers
from tests.double.running import Double
from tests.double.script import Plan
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount
from tests.serving import Json

ROUNDS: Final = amount(ci=1, hand=20)
FREE: Final = ("local", "demo")
CANVAS_POINTS: Final = (
    "chunk stored, not shown",
    "produced, not settled",
    "settled, end not stored",
    "end stored, not shown",
    "cancel: stored, provider not stopped",
    "cancel: not settled",
    "recovery: second call heard",
)
"""At which CI, too, kills a job that writes into a canvas."""
NOTES: Final = START.partition("# Story")[0]

pytestmark = pytest.mark.slow


def chosen(cell: Cell) -> bool:
    """Tell whether a cell is measured in this lane."""
    return BY_HAND or cell.point.name in CANVAS_POINTS


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    """A double that outlives the servers."""
    with Double.spawn() as running:
        yield running


@pytest.fixture(scope="module")
def job_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with starting_job_servers(tmp_path_factory.mktemp("job-servers") / "log") as starting:
        yield starting


@pytest.mark.promise("R21")
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_server_that_dies_at_a_step_of_a_job_never_buys_the_same_output_twice(
    job_servers: Servers, double: Double, tmp_path: Path, findings: Findings, cell: Cell, number: int
) -> None:
    found = live_through(job_servers, double, tmp_path, cell)
    stage, behaviour = cell.point.stage, cell.behaviour
    assert found.job["state"] == ended_as(stage, behaviour)
    check_text(found, cell)
    check_readers(found)
    check_money(found, cell)
    found.books.check_quiet()
    if number == 0 and cell is CELLS[0]:
        findings.tell("R21", "places to die, times providers", len(CELLS), goal="the output bought once")


@pytest.mark.promise("R21")
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("cell", [cell for cell in CANVAS_CELLS if chosen(cell)], ids=lambda cell: cell.name)
def test_a_canvas_holds_the_text_of_a_job_once_whatever_a_crash_forgot_of_it(
    job_servers: Servers, double: Double, tmp_path: Path, cell: Cell, number: int
) -> None:
    found = live_through(job_servers, double, tmp_path, cell)
    assert found.job["state"] == ended_as(cell.point.stage, cell.behaviour), found.job["error"]
    check_text(found, cell)
    check_readers(found)
    found.books.check_quiet()
    notes, _, story = found.canvas.partition("# Story\n\n")
    if cell.durability == "checkpoint" and any(death.step == "after save ended" for death in cell.point.deaths):
        # Who has ended writes no more: what the canvas forgets now is what it forgets of anybody.
        assert found.job["text"].startswith(story.strip())
    else:
        assert story.strip() == ("" if found.job["state"] == "cancelled" else found.job["text"])
    assert notes in (NOTES, NOTES + EDIT["content"])
    if cell.durability == "journal" and found.edited:
        assert notes == NOTES + EDIT["content"], "an edit that was acked is kept"


def ended_as(stage: Stage, behaviour: Behaviour) -> str:
    """Return how a job has to end."""
    match stage:
        case "held" | "produced":
            return "completed"
        case "cancelled":
            return "cancelled"
        case "dispatched" | "called":
            return "completed" if behaviour in FREE else "interrupted"
        case "attached":
            return "completed" if behaviour in ("background", *FREE) else "interrupted"
        case "told":
            return "completed" if behaviour in ("background", "mistral") else "interrupted"


def check_text(found: Found, cell: Cell) -> None:
    """Hold the text to what the provider would answer, no word missing and none repeated."""
    text, whole = found.job["text"], whole_text(cell)
    if found.job["state"] == "completed":
        assert text == whole
    else:
        assert whole.startswith(text)
    if cell.point.stage in ("told", "cancelled"):
        assert text, "what was told is kept"


def whole_text(cell: Cell) -> str:
    if cell.behaviour == "demo":
        return written(PROMPT, MODELS["demo-long" if cell.point.cancelled else "demo"])
    return "".join(Plan(words=cell.words).pieces)


def check_readers(found: Found) -> None:
    """Hold what one reader heard over all lives, and what a late one hears, to the job."""
    check_stream(found.late, found.job)
    if found.heard:
        assert found.heard == found.late


def check_stream(events: Sequence[tuple[str, Json]], job: Json) -> None:
    assert [number for number, _ in events] == [str(seq) for seq in range(1, len(events) + 1)]
    kinds = [event["type"] for _, event in events]
    assert kinds[-1] == ("complete" if job["state"] == "completed" else "error")
    assert not {"complete", "error"} & set(kinds[:-1])
    chunks = [event for _, event in events if event["type"] == "chunk"]
    assert all(str(chunk["seq"]) == number for number, chunk in events if chunk["type"] == "chunk")
    assert all(before["attempt"] <= after["attempt"] for before, after in pairwise(chunks))
    assert "".join(chunk["content"] for chunk in chunks if chunk["attempt"] == job["attempt"]) == job["text"]


def check_money(found: Found, cell: Cell) -> None:
    """Hold the double's bill, and ours, to what had to be bought."""
    paid = [entry for entry in found.books.entries if entry.state == "settled"]
    if cell.behaviour == "demo":
        assert not found.lines
        return
    assert len(found.lines) == calls_due(cell)
    match found.job["state"]:
        case "completed" if cell.behaviour == "mistral":
            check_continued(found, cell.words)
        case "completed":
            assert found.lines[-1].output_tokens == cell.words
            assert (paid[-1].output_tokens, paid[-1].estimated) == (cell.words, 0)
        case "interrupted" if cell.behaviour in FREE:
            assert paid[-1].cost_micros == 0
        case "interrupted":
            assert (paid[-1].cost_micros, paid[-1].estimated) == (paid[-1].reserved_micros, 1), "the worst case"
        case _:
            assert paid[-1].output_tokens >= len(found.job["text"].split()), "what was told"


def check_continued(found: Found, words: int) -> None:
    """Each call goes on after what was stored of the one before: its input is paid again, no stored word is."""
    for asked, line in zip(found.calls, found.lines, strict=True):
        stored = len(asked.prefix.split())
        assert line.input_tokens == len(PROMPT.split()) + stored
        assert line.output_tokens <= words - stored
        assert bool(stored) == (line.id > 1)
    assert found.lines[-1].output_tokens == words - len(found.calls[-1].prefix.split())


def calls_due(cell: Cell) -> int:
    """Return how many calls the provider has to see."""
    stage, behaviour = cell.point.stage, cell.behaviour
    if stage == "dispatched":
        return 1 if behaviour in FREE else 0
    if behaviour in FREE and stage in ("called", "attached"):
        return 2
    if behaviour == "mistral" and stage == "told":
        # A second call that was heard, and died too, is gone on with by a third.
        return 3 if cell.point.deaths[-1].step in ("call heard", "after append") and len(cell.point.deaths) > 1 else 2
    return 1
