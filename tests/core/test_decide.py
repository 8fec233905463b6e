"""What each scope lets through and what it does not, and what is undone by a revert."""

from __future__ import annotations

import msgspec
import pytest

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.event import Outcome as OutcomeEvent
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, Unit
from canvas_server.core.ports import CanvasKey
from canvas_server.core.version import genesis

ADA = Author("ada", "human", "tab-1")
LIMITS = Limits(canvas_bytes_max=400)
SECTIONS = "# A\n\none\n\n## A1\n\ntwo\n\n# B\n\nthree\n"

END: dict[str, object] = {"type": "position", "position": {"mode": "end"}}
START: dict[str, object] = {"type": "position", "position": {"mode": "start"}}


def at(offset: int) -> dict[str, object]:
    return {"type": "position", "position": {"mode": "offset", "offset": offset}}


def between(start: int, end: int) -> dict[str, object]:
    return {"type": "position", "position": {"mode": "range", "from": start, "to": end}}


def section(title: str) -> dict[str, object]:
    return {"type": "heading", "heading": {"path": [title]}}


def match(text: str) -> dict[str, object]:
    return {"type": "text", "text": {"match": text}}


def text_by(op_id: str) -> dict[str, object]:
    return {"type": "op", "op": {"op_id": op_id}}


class Desk:
    """A canvas, and authors who name the versions they have seen by their count."""

    def __init__(self, content: str, window: int = 100) -> None:
        version = genesis("0123456789abcdef")
        self.canvas = Canvas(CanvasKey(1), CanvasRef("c"), "C", Document(content, version), History(version, window))
        self.names = 0

    @property
    def text(self) -> str:
        return str(self.canvas.document.text)

    def run(
        self,
        action: str,
        target: dict[str, object],
        content: str | None = None,
        *,
        seen: int | str | None = None,
        unit: Unit = "codepoint",
        op_id: str | None = None,
        **more: object,
    ) -> OutcomeEvent:
        self.names += 1
        fields = {"op_id": op_id or f"op-{self.names}", "action": action, "target": target, "content": content, **more}
        operation = msgspec.convert(fields, Operation)
        base = (
            seen
            if isinstance(seen, str)
            else self.canvas.history.etag_at(self.canvas.version.seq if seen is None else seen)
        )
        assert base is not None
        event = self.canvas.submit(operation, base, unit, ADA, LIMITS, now_ms=1).event
        self.canvas.history.trim()
        return event


def reason(event: OutcomeEvent) -> str:
    """Return what became of an operation in one word."""
    if isinstance(event, Ack):
        return "ack"
    return event.reason if isinstance(event, Conflict) else event.code


def test_scope_canvas_takes_nothing_that_stands_on_an_older_version() -> None:
    desk = Desk(SECTIONS)
    desk.run("insert", END, "x")
    event = desk.run("insert", START, "y", seen=0)
    assert isinstance(event, Conflict)
    assert (event.reason, event.missed, event.expected_version) == ("etag_mismatch", 1, desk.canvas.version.etag)
    assert desk.text == SECTIONS + "x"


@pytest.mark.parametrize(
    ("changed", "written", "outcome"),
    [
        ("three", section("A1"), "ack"),
        ("three", section("A"), "ack"),
        ("two", section("A1"), "section_changed"),
        ("two", section("B"), "ack"),
        ("one", section("A1"), "ack"),
        ("one", section("B"), "ack"),
    ],
)
def test_scope_section_conflicts_only_over_its_own_sections(
    changed: str, written: dict[str, object], outcome: str
) -> None:
    desk = Desk(SECTIONS)
    desk.run("replace", match(changed), "changed")
    assert (
        reason(desk.run("replace", written, "new", seen=0, scope="section", options={"subsections": False})) == outcome
    )


def test_appending_to_a_section_conflicts_with_a_change_of_its_own_text_though_it_lands_in_a_subsection() -> None:
    desk = Desk(SECTIONS)
    assert reason(desk.run("insert", at(6), "X", scope="range", seen=0)) == "ack"
    assert reason(desk.run("insert", section("A"), "more", scope="section", seen=0)) == "section_changed"


def test_replacing_a_section_conflicts_with_a_change_in_its_subsection() -> None:
    desk = Desk(SECTIONS)
    desk.run("replace", match("two"), "changed")
    assert reason(desk.run("replace", section("A"), "new", seen=0, scope="section")) == "section_changed"


@pytest.mark.parametrize(
    ("renamed", "outcome"), [("# B", "section_changed"), ("## A1", "ack")], ids=["its own", "another"]
)
def test_renaming_a_heading_touches_its_section(renamed: str, outcome: str) -> None:
    desk = Desk(SECTIONS)
    desk.run("insert", match(renamed), " renamed", where="after")
    assert reason(desk.run("replace", match("three"), "new", seen=0, scope="section")) == outcome


def test_a_deleted_section_is_not_found_whatever_the_author_saw() -> None:
    desk = Desk(SECTIONS)
    desk.run("delete", section("B"))
    assert reason(desk.run("insert", section("B"), "new", seen=0, scope="section")) == "TARGET_NOT_FOUND"


@pytest.mark.parametrize(
    ("earlier", "later", "outcome"),
    [
        ((0, 2), (4, 6), "ack"),
        ((4, 6), (0, 2), "ack"),
        ((0, 4), (4, 6), "range_changed"),
        ((6, 8), (4, 6), "range_changed"),
        ((5, 5), (4, 6), "range_changed"),
        ((4, 4), (4, 6), "range_changed"),
        ((4, 4), (4, 4), "ack"),
        ((3, 5), (4, 4), "range_changed"),
    ],
)
def test_scope_range_conflicts_only_over_its_very_range(
    earlier: tuple[int, int], later: tuple[int, int], outcome: str
) -> None:
    desk = Desk("0123456789")
    desk.run("insert" if earlier[0] == earlier[1] else "replace", between(*earlier), "X")
    event = desk.run("insert" if later[0] == later[1] else "replace", between(*later), "Y", seen=0, scope="range")
    assert reason(event) == outcome
    assert ("Y" in desk.text) == (outcome == "ack")


def test_two_inserts_at_one_point_keep_the_order_they_came_in() -> None:
    desk = Desk("ab")
    desk.run("insert", at(1), "1", seen=0, scope="range")
    event = desk.run("insert", at(1), "2", seen=0, scope="range")
    assert isinstance(event, Ack)
    assert (desk.text, event.rebased) == ("a12b", True)


def test_a_match_must_not_have_changed_since_the_author_saw_it() -> None:
    desk = Desk("one two three")
    desk.run("replace", match("one"), "two too, not")
    assert reason(desk.run("replace", match("three"), "3", seen=0, scope="range")) == "ack"
    desk = Desk("one tw three")
    desk.run("insert", at(6), "o")
    assert reason(desk.run("replace", match("two"), "2", seen=0, scope="range")) == "range_changed"


def test_offsets_in_utf16_are_carried_over_changes_with_wide_characters() -> None:
    desk = Desk("a😀b")
    desk.run("insert", START, "😀😀", unit="utf16")
    desk.run("insert", at(7), "|", seen=1, unit="utf16", scope="range")
    assert desk.text == "😀😀a😀|b"
    assert reason(desk.run("insert", at(3), "!", seen=0, unit="utf16", scope="range")) == "ack"
    assert desk.text in ("😀😀a😀|!b", "😀😀a😀!|b")
    assert reason(desk.run("insert", at(2), "!", seen=0, unit="utf16", scope="range")) == "OFFSET_IN_SURROGATE"


def test_offsets_in_utf16_are_carried_over_the_first_wide_characters_of_a_text() -> None:
    desk = Desk("ab")
    desk.run("insert", START, "😀")
    assert reason(desk.run("insert", at(2), "!", seen=0, unit="utf16", scope="range")) == "ack"
    assert desk.text == "😀ab!"


def test_an_offset_is_held_against_the_text_of_its_own_version() -> None:
    desk = Desk("0123456789")
    desk.run("delete", between(2, 8))
    assert reason(desk.run("insert", at(10), "x", seen=0, scope="range")) == "ack"
    assert desk.text == "0189x"
    assert reason(desk.run("insert", at(10), "x", scope="range")) == "OFFSET_OUT_OF_RANGE"


def test_a_version_from_before_the_window_is_too_old() -> None:
    desk = Desk("", window=4)
    first = desk.canvas.version.etag
    for _ in range(12):
        desk.run("insert", END, "x")
    assert reason(desk.run("insert", END, "y", seen=first, scope="range")) == "version_too_old"
    assert reason(desk.run("insert", END, "y", seen=first)) == "etag_mismatch"


@pytest.mark.parametrize("etag", ['W/"0-ffffffffffffffff"', 'W/"7-0123456789abcdef"', "nonsense", ""])
def test_a_version_of_no_history_is_unknown(etag: str) -> None:
    assert reason(Desk("a").run("insert", END, "y", seen=etag, scope="section")) == "unknown_version"


def test_conflicts_and_errors_bind_nothing() -> None:
    desk = Desk("one")
    desk.run("insert", END, "x")
    assert reason(desk.run("insert", END, "y", seen=0, op_id="mine")) == "etag_mismatch"
    assert reason(desk.run("delete", match("missing"), op_id="mine")) == "TARGET_NOT_FOUND"
    assert reason(desk.run("insert", START, "z", op_id="mine")) == "ack"


def test_the_same_operation_twice_changes_once_and_is_answered_with_its_first_version() -> None:
    desk = Desk("one")
    first = desk.run("insert", END, "x", op_id="mine")
    desk.run("insert", END, "y")
    again = desk.run("insert", END, "x", op_id="mine", seen=0)
    assert isinstance(first, Ack)
    assert again == msgspec.structs.replace(first, duplicate=True)
    assert desk.text == "onexy"
    assert reason(desk.run("insert", END, "other", op_id="mine")) == "OP_ID_REUSED"


def test_a_revert_puts_back_what_was_there() -> None:
    desk = Desk("one two three")
    desk.run("replace", match("two"), "2", op_id="mine")
    desk.run("insert", START, "zero ")
    event = desk.run("revert", text_by("mine"))
    assert isinstance(event, Ack)
    assert (desk.text, event.reverts) == ("zero one two three", "mine")


def test_an_operation_is_reverted_once_and_a_revert_can_be_reverted() -> None:
    desk = Desk("one two")
    desk.run("delete", match(" two"), op_id="mine")
    desk.run("revert", text_by("mine"), op_id="undo")
    assert reason(desk.run("revert", text_by("mine"))) == "overlap"
    assert reason(desk.run("revert", text_by("undo"))) == "ack"
    assert desk.text == "one"


def test_a_revert_that_was_taken_back_can_be_made_again() -> None:
    desk = Desk("one two")
    desk.run("delete", match(" two"), op_id="mine")
    sections_changed = tuple(desk.canvas.document.outline.changed)
    for _ in range(2):
        assert reason(desk.run("revert", text_by("mine"))) == "ack"
        assert desk.text == "one two"
        desk.canvas.take_back(1, sections_changed)
        assert desk.text == "one"


def test_what_was_changed_since_cannot_be_reverted() -> None:
    desk = Desk("one")
    desk.run("insert", END, " two three", op_id="mine")
    desk.run("insert", match("two"), "and ", where="before")
    assert reason(desk.run("revert", text_by("mine"))) == "overlap"
    assert reason(desk.run("revert", text_by("never"))) == "UNKNOWN_OP"
    assert reason(desk.run("revert", match("one"))) == "INVALID_OPERATION"


def test_a_text_grows_to_its_limit_and_no_further() -> None:
    desk = Desk("é" * 100)
    assert reason(desk.run("insert", END, "é" * 100)) == "ack"
    assert reason(desk.run("insert", END, "x")) == "CANVAS_TOO_LARGE"
    assert reason(desk.run("replace", between(0, 2), "éé")) == "ack"
    assert reason(desk.run("replace", between(0, 2), "ééx")) == "CANVAS_TOO_LARGE"


def test_a_revert_does_not_pass_the_limit_either() -> None:
    """What a revert put back was not counted: deleting, writing and reverting doubled the largest text."""
    desk = Desk("x" * 400)
    desk.run("delete", between(0, 400), op_id="mine")
    desk.run("insert", END, "y" * 400)
    event = desk.run("revert", text_by("mine"))
    assert isinstance(event, Failure)
    assert event.code == "CANVAS_TOO_LARGE"


def test_writing_goes_on_behind_the_text_of_an_operation_wherever_that_is() -> None:
    desk = Desk("# A\n\n# B\n")
    desk.run("insert", at(5), "one", op_id="stream")
    desk.run("insert", START, "top\n\n")
    desk.run("insert", text_by("stream"), " two", seen=1, scope="range")
    assert desk.text == "top\n\n# A\n\none two# B\n"


@pytest.mark.parametrize("action", ["insert", "upsert_section"])
@pytest.mark.parametrize("before", ["# A\ntext\n# B\n", "# A\n# B\n", "# A\n\ntext\n\n# B\n", "# A\n"])
def test_writing_goes_on_before_the_newlines_that_set_text_apart(before: str, action: str) -> None:
    """In a text without blank lines they counted as the text, so a streamed answer broke after its first piece."""
    desk = Desk(before)
    desk.run(action, section("A"), "Hello", op_id="stream")
    whole = desk.text.replace("Hello", "Hello world")
    desk.run("insert", text_by("stream"), " world", scope="range")
    assert desk.text == whole


def test_text_that_was_set_apart_is_undone_and_put_back_as_it_was() -> None:
    desk = Desk("# A\ntext\n# B\n")
    desk.run("insert", section("A"), "new", op_id="new")
    desk.run("insert", text_by("new"), " more", op_id="more")
    written = desk.text
    desk.run("revert", text_by("more"))
    desk.run("revert", text_by("new"), op_id="undo")
    assert desk.text == "# A\ntext\n# B\n"
    desk.run("revert", text_by("undo"))
    assert desk.text == written.replace(" more", "")


def test_text_set_apart_before_a_heading_leaves_its_section_alone() -> None:
    desk = Desk("# A\ntext\n# B\n\nthree\n")
    desk.run("insert", section("B"), "new", where="before")
    assert desk.text == "# A\ntext\n\nnew\n\n# B\n\nthree\n"
    assert reason(desk.run("insert", section("B"), "x", seen=0, scope="section")) == "ack"
