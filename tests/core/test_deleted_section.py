"""A section that was deleted was changed: whoever touches it under scope `section` conflicts (PROTOCOL section 4)."""

from __future__ import annotations

from canvas_server.core.canvas import Author, Canvas, Outcome
from canvas_server.core.document import Document
from canvas_server.core.event import Conflict
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import HeadingPlace, HeadingTarget, OffsetMode, Operation, PositionTarget, RangeMode
from canvas_server.core.ports import CanvasKey
from canvas_server.core.version import genesis

TEXT = "# A\n\none\n# B\n\ntwo\n# C\n\nthree\n"
START = genesis("0123456789abcdef")


def submit(canvas: Canvas, operation: Operation) -> Outcome:
    """Submit what an author asks who has seen the first version."""
    return canvas.submit(operation, START.etag, "codepoint", Author("ada", "human", None), Limits(), now_ms=1)


def test_a_range_over_a_section_that_was_deleted_conflicts_under_scope_section() -> None:
    """Bob deletes section B; Ada, who has not heard of it, replaces a range from A to the end of B.

    Her range was carried to what was left of it, in A alone, which nobody had changed, and her text replaced less than
    she saw. Found by the simulation, where what was replaced was not what the author saw.
    """
    document = Document(TEXT, START)
    canvas = Canvas(CanvasKey(1), CanvasRef("notes"), "Notes", document, History(START, 100))
    section = HeadingTarget(heading=HeadingPlace(path=("B",)))
    submit(canvas, Operation(op_id="bob-1", action="delete", target=section, scope="section"))
    seen = RangeMode(start=TEXT.index("one"), end=TEXT.index("# C"))
    replace = Operation(
        op_id="ada-1", action="replace", target=PositionTarget(position=seen), scope="section", content="new\n"
    )
    event = submit(canvas, replace).event
    assert isinstance(event, Conflict)
    assert event.reason == "section_changed"


def test_a_point_in_or_behind_a_section_that_was_deleted_conflicts_under_scope_section() -> None:
    """What Ada inserts in section B, or at its end, would land in A, which she does not touch."""
    for offset in (TEXT.index("two"), TEXT.index("# C")):
        canvas = Canvas(CanvasKey(1), CanvasRef("notes"), "Notes", Document(TEXT, START), History(START, 100))
        section = HeadingTarget(heading=HeadingPlace(path=("B",)))
        submit(canvas, Operation(op_id="bob-1", action="delete", target=section, scope="section"))
        point = PositionTarget(position=OffsetMode(offset=offset))
        event = submit(canvas, Operation(op_id="a", action="insert", target=point, scope="section", content="x")).event
        assert isinstance(event, Conflict)
        assert event.reason == "section_changed"
