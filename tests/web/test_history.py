"""The outline and the history of a canvas, and what became of one operation (PROTOCOL section 2)."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, insert, serving

TEXT: Final = "# One 😀\n\nfirst\n\n## Two\n\nsecond\n\n# One 😀\n"


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def history(canvas: Canvas, **query: str | int) -> Json:
    answer = canvas.http.get(f"{canvas.path}/ops", params=query)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def applied(text: str, events: list[Json], *, wide: bool) -> str:
    """Return what the changes of some acks make of a text."""
    coding = "utf-16-le" if wide else "utf-32-le"
    width = 2 if wide else 4
    units = text.encode(coding)
    for event in events:
        for change in event["changes"]:
            insert_units = change["insert"].encode(coding)
            units = units[: change["from"] * width] + insert_units + units[change["to"] * width :]
    return units.decode(coding)


def test_the_outline_names_every_heading_with_its_place_in_either_unit(canvas: Canvas) -> None:
    for unit, coding, width in (("utf16", "utf-16-le", 2), ("codepoint", "utf-32-le", 4)):
        outline = canvas.http.get(f"{canvas.path}/outline", params={"unit": unit}).json()
        assert (outline["ref"], outline["version"], outline["unit"]) == (canvas.ref, canvas.version, unit)
        units = TEXT.encode(coding)
        cut = [units[h["start"] * width : h["end"] * width].decode(coding) for h in outline["headings"]]
        assert cut == [TEXT[:32], "## Two\n\nsecond\n\n", "# One 😀\n"]
        told = [(h["id"], h["level"], h["path"], h["line"]) for h in outline["headings"]]
        assert told == [
            ("one-", 1, ["One 😀"], 1),
            ("two", 2, ["One 😀", "Two"], 5),
            ("one--1", 1, ["One 😀"], 9),
        ]


def test_a_section_has_the_version_of_its_last_change_sub_sections_included(canvas: Canvas) -> None:
    before = canvas.version
    target = {"type": "heading", "heading": {"heading_id": "two"}}
    operation = {"op_id": "into-two", "action": "insert", "target": target, "content": "more"}
    [ack] = canvas.submit(operation)
    headings = canvas.http.get(f"{canvas.path}/outline").json()["headings"]
    assert [heading["version"] for heading in headings] == [ack["server_version"], ack["server_version"], before]


def test_pages_of_the_history_hold_every_ack_once_and_lead_to_the_text(canvas: Canvas) -> None:
    canvas.submit(*(insert(number, "😀x") for number in (0, 3, 6)), append("end"), insert(0, "y"))
    for unit, wide in (("utf16", True), ("codepoint", False)):
        events: list[Json] = []
        after: int | None = 0
        while after is not None:
            page = history(canvas, after=after, limit=2, unit=unit)
            events += page["events"]
            after = page["next_after"]
        assert page["server_version"] == canvas.version
        assert [int(event["server_version"][3]) for event in events] == [1, 2, 3, 4, 5]
        assert applied(TEXT, events, wide=wide) == canvas.text


def test_the_history_tells_the_very_events_that_were_broadcast(canvas: Canvas) -> None:
    with canvas.listen("unit=codepoint") as listener:
        listener.expect("snapshot")
        canvas.submit(*(insert(0, content, meta={"model": "m"}, timestamp=5) for content in ("😀", "b")))
        heard = [event.data for event in listener.take(2)]
    assert history(canvas, unit="codepoint")["events"] == heard
    assert heard[0]["meta"] == {"model": "m"}


def test_the_history_after_a_version_begins_right_behind_it(canvas: Canvas) -> None:
    acks = canvas.submit(append("a"), append("b"), append("c"))
    for after in ("1", acks[0]["server_version"], acks[0]["server_version"][3:-1]):
        assert history(canvas, after=after)["events"] == acks[1:]
    assert history(canvas, after=acks[2]["server_version"])["events"] == []


@pytest.mark.parametrize("after", ["1", "0-0123456789abcdef"])
def test_the_history_after_a_version_that_is_not_in_it_is_not_found(canvas: Canvas, after: str) -> None:
    answer = canvas.http.get(f"{canvas.path}/ops", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("query", [{"after": "x"}, {"limit": "0"}, {"limit": "1001"}, {"unit": "byte"}])
def test_a_page_of_history_that_cannot_be_is_an_invalid_field(canvas: Canvas, query: dict[str, str]) -> None:
    answer = canvas.http.get(f"{canvas.path}/ops", params=query)
    assert (answer.status_code, answer.json()["pointer"]) == (422, f"/{next(iter(query))}")


def test_the_outcome_of_every_kind_can_be_looked_up_as_it_was_told(canvas: Canvas) -> None:
    wrong = {"op_id": "wrong", "action": "delete", "target": {"type": "text", "text": {"match": "nowhere"}}}
    with canvas.listen() as listener:
        listener.expect("snapshot")
        canvas.submit(append("😀", op_id="right"), wrong, append("x", op_id="left-over"))
        told = [event.data for event in listener.take(3)]
    assert [event["type"] for event in told] == ["ack", "error", "conflict"]
    assert [canvas.outcome(name) for name in ("right", "wrong", "left-over")] == told


def test_the_outcome_of_an_operation_is_told_in_the_unit_asked_for(canvas: Canvas) -> None:
    canvas.submit(insert(8, "x", op_id="wide"))
    offsets = [canvas.outcome("wide", f"unit={unit}")["changes"][0]["from"] for unit in ("utf16", "codepoint")]
    assert offsets == [8, 7]


def test_history_and_outcomes_reach_back_beyond_what_is_held_in_memory() -> None:
    """Operations before the retained window, and all of a closed canvas, come from the store."""
    with serving(replace(IN_MEMORY, limits=LimitSettings(retained_ops_max=2))) as served:
        canvas = served.canvas("😀")
        acks = [canvas.submit(append(f"{number}😀"))[0] for number in range(6)]
        canvas.http.post(f"{canvas.path}:close")
        assert history(canvas)["events"] == acks
        assert history(canvas, after=1, limit=2)["events"] == acks[1:3]
        assert [canvas.outcome(ack["op_id"]) for ack in acks] == acks
        past = canvas.http.get(canvas.path, params={"at": acks[1]["server_version"]}).json()["content"]
        assert past == "😀0😀1😀"
