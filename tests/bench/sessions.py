"""Recorded editing sessions, each edit an operation on the newest version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import process_time
from typing import Final

from canvas_server.core.limits import Limits
from canvas_server.core.operation import Scope
from canvas_server.core.submission import Submission
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.rules import AUTHOR, open_canvas
from tests.bench.runs import Plan, in_turns
from tests.conformance.traces import NAMES, Trace, beginning, operations, read_trace, trace_path

EDIT_US_GOAL: Final = 10

_EDITS_A_SECOND: Final = 30_000
"""Edits replayed for each second that a rate is measured."""

_SCOPES: Final[tuple[Scope, ...]] = ("canvas", "range")


def sessions(plan: Plan) -> Group:
    """Measure what an edit costs, decided and applied."""
    measures = {name: each for trace in there() for name, each in measures_of(trace, plan).items()}
    costs = {name: min(runs) for name, runs in in_turns(plan, measures).items()}
    note = "Decided and applied; the lowest of all rounds."
    if not measures:
        note = "The recordings are not here: ../shared/traces is missing."
    return Group("Recorded sessions", note, [edit_row(name, us) for name, us in costs.items()])


def there() -> list[str]:
    """Return the names of the recordings that are there."""
    return [name for name in NAMES if trace_path(name).exists()]


def measures_of(name: str, plan: Plan) -> Mapping[str, Callable[[], float]]:
    """Return what is measured of a recording, in µs of an edit."""
    trace = shortened(name, plan)
    return {
        f"{name}: splices of a plain str": partial(splice_us, trace),
        **{f"{name}: scope {scope}": partial(replay_us, trace, scope) for scope in _SCOPES},
    }


def shortened(name: str, plan: Plan) -> Trace:
    """Return as much of a recording as there is time for."""
    return beginning(read_trace(name), round(_EDITS_A_SECOND * plan.seconds))


def edit_row(what: str, us: float, *besides: Beside) -> Row:
    """Return what an edit costs as a row; with the goal if it was decided."""
    goal = [Beside(us, "µs an edit", EDIT_US_GOAL, at_most=True)] if ": scope" in what else []
    return Row(what, [Value("an edit", us, "µs")], [*goal, *besides])


def splice_us(trace: Trace) -> float:
    """Return what an edit of a session costs where nothing is kept but the text."""
    text = trace.start
    began_s = process_time()
    for splice in trace.splices:
        text = text[: splice.start] + splice.insert + text[splice.end :]
    took_s = process_time() - began_s
    assert text == trace.end
    return took_s / len(trace.splices) * 1e6


def replay_us(trace: Trace, scope: Scope) -> float:
    """Return what an edit of a session costs."""
    canvas = open_canvas(trace.start)
    submission = Submission(canvas, AUTHOR, "codepoint", Limits())
    edits = list(operations(trace.splices, scope))
    began_s = process_time()
    for operation in edits:
        submission.step(operation, 0)
        canvas.history.trim()
    took_s = process_time() - began_s
    assert str(canvas.document.text) == trace.end
    return took_s / len(edits) * 1e6
