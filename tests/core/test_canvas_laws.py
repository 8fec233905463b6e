"""The laws of a canvas: several authors, each with a version of its own, do whatever the language allows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from canvas_server.core.canvas import Author, Canvas, Outcome
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Conflict, Failure, in_utf16
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, PositionTarget, RangeMode, Unit
from canvas_server.core.outline import Outline
from canvas_server.core.ports import CanvasKey, LoadedCanvas, SavedCanvas, SavedOp
from canvas_server.core.saved import open_canvas
from canvas_server.core.splice import Splice, apply_changes, utf16_length
from canvas_server.core.submission import Submission
from canvas_server.core.text import Text
from canvas_server.core.version import Version, genesis, next_version
from tests.core.authors import STARTS, contents, operations, units

ADA = Author("ada", "human", "tab-1")
LIMITS = Limits(canvas_bytes_max=600)
WINDOW = 12


def apply_wide(text: str, changes: tuple[Splice, ...]) -> str:
    """Apply changes that count UTF-16 code units."""
    wide = text.encode("utf-16-le")
    for splice in changes:
        wide = wide[: 2 * splice.start] + splice.insert.encode("utf-16-le") + wide[2 * splice.end :]
    return wide.decode("utf-16-le")


def wanted_text(seen: str, place: RangeMode, unit: Unit) -> str:
    """Return what an author saw between two offsets."""
    if unit == "codepoint":
        return seen[place.start : place.end]
    return seen.encode("utf-16-le")[2 * place.start : 2 * place.end].decode("utf-16-le")


def segments(text: str) -> list[tuple[int, int, str]]:
    """Cut a text at its headings: start, end and text of each part."""
    starts = [0, *(heading.start for heading in Outline.parse(Text(text), None).headings())]
    return [(start, end, text[start:end]) for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def touched_segments(text: str, splice: Splice) -> list[str]:
    """Return the parts that a splice acts in; of two that an insertion comes between, the first."""
    parts = segments(text)
    if splice.start == splice.end:
        return [next(part for _start, end, part in parts if splice.start <= end)]
    return [part for start, end, part in parts if start < splice.end and end > splice.start]


def outline_of(canvas: Canvas) -> object:
    outline = canvas.document.outline
    paths = [outline.path(index) for index in range(len(outline))]
    ends = [(outline.own_end(index), outline.section_end(index)) for index in range(len(outline))]
    return outline.headings(), paths, ends, list(outline.ids()), outline.front_matter_end


def state_of(canvas: Canvas) -> object:
    """Return all by which two canvases can be told apart."""
    history = canvas.history
    held = [
        (
            msgspec.json.encode(applied.ack),
            applied.version,
            applied.spans,
            applied.wide_spans,
            applied.removed,
            applied.digest(),
        )
        for applied in history.newest_first()
    ]
    reverted = {applied.ack.op_id: history.reverted_by(applied.ack.op_id) for applied in history.newest_first()}
    sections = list(canvas.document.outline.changed)
    return str(canvas.document.text), canvas.version, outline_of(canvas), sections, history.floor, held, reverted


class Laws(RuleBasedStateMachine):
    """Holds a canvas against a plain model: the text after each version, by the acks alone."""

    @initialize(start=st.sampled_from(STARTS))
    def begin(self, start: str) -> None:
        version = genesis("0123456789abcdef")
        self.canvas = Canvas(CanvasKey(1), CanvasRef("c"), "C", Document(start, version), History(version, WINDOW))
        self.canvas.history.hold_after(0)
        self.versions, self.texts = [version], [start]
        self.text_of_etag = {version.etag: start}
        self.acked: dict[str, tuple[Operation, Ack]] = {}
        self.refused: list[tuple[Operation, Unit]] = []
        self.saved_text = self.canvas.saved_text()
        self.saved_ops: list[SavedOp] = []
        self.names = 0

    def _draw(self, data: st.DataObject, unit: Unit, *, based: bool = True) -> Operation:
        self.names += 1
        seq = len(self.versions) - 1 - min(data.draw(st.sampled_from([0, 0, 1, 2, 3, 30])), len(self.versions) - 1)
        base = self.versions[seq].etag if based else None
        return data.draw(operations(f"op-{self.names}", base, self.texts[seq], unit, list(self.acked)))

    def _step(self, submission: Submission, operation: Operation, unit: Unit) -> Outcome:
        """Run one operation and hold what happened against the model."""
        before, version = self.texts[-1], self.versions[-1]
        stands_on = operation.client_version
        outcome = submission.step(operation, now_ms=1)
        self.canvas.history.trim()
        event = outcome.event
        if isinstance(event, Ack) and outcome.changed:
            self._take_in(operation, event, outcome)
            if stands_on is not None:
                self._check_scope(operation, event, stands_on, unit, before)
        else:
            assert (str(self.canvas.document.text), self.canvas.version) == (before, version)
            assert not isinstance(event, Conflict | Failure) or event.hint
        if isinstance(event, Conflict):
            assert event.reason in ("not_executed", "overlap") or stands_on != version.etag
            self.refused.append((operation, unit))
        return outcome

    def _take_in(self, operation: Operation, ack: Ack, outcome: Outcome) -> None:
        before, version = self.texts[-1], self.versions[-1]
        assert outcome.applied is not None
        changes = tuple(ack.changes)
        after = apply_changes(before, changes)
        assert apply_wide(before, tuple(in_utf16(ack, outcome.applied.wide_spans).changes)) == after
        assert ack.base_version == version.etag
        assert ack.server_version == next_version(version, operation.op_id, changes).etag
        assert operation.op_id not in self.acked
        assert self.text_of_etag.setdefault(ack.server_version, after) == after
        assert "\r" not in after
        assert len(after.encode()) <= max(LIMITS.canvas_bytes_max, len(before.encode()))
        self.texts.append(after)
        self.versions.append(Version(version.seq + 1, ack.server_version))
        self.acked[operation.op_id] = operation, ack

    def _check_scope(self, operation: Operation, ack: Ack, base: str, unit: Unit, before: str) -> None:
        seen = self.text_of_etag[base]
        assert ack.rebased == (base != ack.base_version)
        if operation.scope == "canvas":
            assert base == ack.base_version
        *tail, splice = ack.changes
        splice = Splice(splice.start, splice.end, splice.insert + "".join(newlines.insert for newlines in tail))
        target = operation.target
        if isinstance(target, PositionTarget) and isinstance(target.position, RangeMode):
            removed = before[splice.start : splice.end]
            assert operation.action == "insert" or removed == wanted_text(seen, target.position, unit)
        if operation.scope == "section" and ack.rebased:
            unchanged = [part for _start, _end, part in segments(seen)]
            assert all(part in unchanged for part in touched_segments(before, splice))

    @rule(data=st.data(), unit=units)
    def submit(self, data: st.DataObject, unit: Unit) -> None:
        self._step(Submission(self.canvas, ADA, unit, LIMITS), self._draw(data, unit), unit)

    @rule(data=st.data(), unit=units, count=st.integers(2, 4))
    def submit_many(self, data: st.DataObject, unit: Unit, count: int) -> None:
        submission = Submission(self.canvas, ADA, unit, LIMITS)
        failed = False
        for index in range(count):
            operation = self._draw(data, unit, based=index == 0 or data.draw(st.booleans()))
            outcome = self._step(submission, operation, unit)
            if failed:
                assert isinstance(outcome.event, Conflict)
                assert outcome.event.reason == "not_executed"
            failed = failed or not isinstance(outcome.event, Ack)

    @precondition(lambda self: self.acked)
    @rule(data=st.data(), unit=units)
    def send_again(self, data: st.DataObject, unit: Unit) -> None:
        op_id = data.draw(st.sampled_from(list(self.acked)))
        operation, ack = self.acked[op_id]
        if self.canvas.history.find(op_id) is None:
            assert self.canvas.history.may_have_forgotten(op_id)
            return
        outcome = self._step(Submission(self.canvas, ADA, unit, LIMITS), operation, unit)
        assert isinstance(outcome.event, Ack)
        assert (outcome.event.server_version, outcome.event.duplicate) == (ack.server_version, True)
        other = msgspec.structs.replace(operation, content=f"{operation.content} and more")
        outcome = self._step(Submission(self.canvas, ADA, unit, LIMITS), other, unit)
        assert isinstance(outcome.event, Failure)
        assert outcome.event.code == "OP_ID_REUSED"

    @precondition(lambda self: self.refused)
    @rule()
    def send_what_conflicted_again(self) -> None:
        operation, unit = self.refused.pop()
        if operation.op_id in self.acked:
            return
        newer = msgspec.structs.replace(operation, client_version=self.versions[-1].etag)
        outcome = self._step(Submission(self.canvas, ADA, unit, LIMITS), newer, unit)
        assert not isinstance(outcome.event, Conflict) or outcome.event.reason == "overlap"
        self.refused = self.refused[-8:]

    @rule(content=contents)
    def name_a_version_that_never_was(self, content: str) -> None:
        newest = self.versions[-1]
        target = PositionTarget(position=RangeMode(start=0, end=0))
        operation = Operation(op_id="never", action="insert", target=target, scope="range", content=content)
        for seq in (newest.seq, newest.seq + 1, max(0, newest.seq - 1)):
            base = f'W/"{seq}-{"f" * 16}"'
            outcome = self.canvas.submit(operation, base, "codepoint", ADA, LIMITS, now_ms=1)
            assert isinstance(outcome.event, Conflict)
            assert outcome.event.reason in ("unknown_version", "version_too_old")

    @rule(data=st.data(), unit=units)
    def preview(self, data: st.DataObject, unit: Unit) -> None:
        before = state_of(self.canvas)
        twin = self.canvas.copy()
        assert state_of(twin) == before
        submission = Submission(twin, ADA, unit, LIMITS)
        for _ in range(3):
            submission.step(self._draw(data, unit), now_ms=2)
        assert state_of(self.canvas) == before

    @rule(data=st.data(), unit=units)
    def take_back(self, data: st.DataObject, unit: Unit) -> None:
        before = state_of(self.canvas)
        sections_changed = tuple(self.canvas.document.outline.changed)
        self.canvas.history.hold_after(self.canvas.history.floor.seq)
        changed = 0
        for _ in range(3):
            operation = self._draw(data, unit)
            changed += Submission(self.canvas, ADA, unit, LIMITS).step(operation, now_ms=2).changed
        self.canvas.take_back(changed, sections_changed)
        self.canvas.history.hold_after(self._saved_seq())
        assert state_of(self.canvas) == before

    @rule(full=st.booleans())
    def checkpoint(self, full: bool) -> None:
        self.saved_ops += self.canvas.saved_ops_since(self._saved_seq())
        self.canvas.history.hold_after(self._saved_seq())
        if full:
            self.saved_text = self.canvas.saved_text()

    @rule()
    def load_again(self) -> None:
        """The canvas that is opened from the store is the one that was saved, and takes its place."""
        self.checkpoint(full=False)
        count = max(len(self.canvas.history), self.canvas.version.seq - self.saved_text.version.seq)
        start = self.canvas.version.seq - count
        saved = SavedCanvas(
            key=self.canvas.key,
            ref=self.canvas.ref,
            title="C",
            version=self.canvas.version,
            size_bytes=0,
            created_unix_ms=0,
            updated_unix_ms=0,
        )
        older = [op.op_id for op in self.saved_ops[:start]]
        loaded = LoadedCanvas(canvas=saved, text=self.saved_text, recent=self.saved_ops[start:], older_op_ids=older)
        opened = open_canvas(loaded, max(WINDOW, count))
        if count == len(self.canvas.history):
            assert state_of(opened) == state_of(self.canvas)
        assert opened.document.sections_changed() == self.canvas.document.sections_changed()
        assert all(opened.history.may_have_forgotten(op_id) for op_id in older)
        self.canvas = opened
        self.canvas.history._ops_max = WINDOW
        self.canvas.history.hold_after(self._saved_seq())

    def _saved_seq(self) -> int:
        return len(self.saved_ops)

    @invariant()
    def the_text_is_what_the_acks_make_of_the_snapshot(self) -> None:
        text = self.canvas.document.text
        model = self.texts[-1]
        assert str(text) == model
        assert self.canvas.version == self.versions[-1]
        assert (len(text), text.size_bytes, text.utf16_length) == (
            len(model),
            len(model.encode()),
            utf16_length(model),
        )

    @invariant()
    def as_many_operations_are_held_as_are_promised(self) -> None:
        """Without those that are not saved: they may be taken back yet."""
        assert self.canvas.history.floor.seq <= max(0, self._saved_seq() - WINDOW)

    @invariant()
    def the_outline_is_that_of_a_full_parse(self) -> None:
        document = Document(self.texts[-1], self.versions[-1])
        fresh = Canvas(self.canvas.key, self.canvas.ref, "C", document, self.canvas.history)
        assert outline_of(self.canvas) == outline_of(fresh)
        assert len(self.canvas.document.outline.changed) == len(self.canvas.document.outline) + 1

    @invariant()
    def every_version_held_has_its_text(self) -> None:
        floor = self.canvas.history.floor.seq
        assert self.canvas.version.seq - floor == len(self.canvas.history)
        for seq in {floor, (floor + self.canvas.version.seq) // 2}:
            assert self.canvas.text_at(seq) == self.texts[seq]
            assert self.canvas.history.etag_at(seq) == self.versions[seq].etag


class LawsAtLength(Laws):
    """The same, for longer."""


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestLawsAtLength = pytest.mark.slow(pytest.mark.timeout(600)(LawsAtLength.TestCase))
TestLawsAtLength.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
