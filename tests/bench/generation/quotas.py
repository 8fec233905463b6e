"""The quota: a hundred requests at once of which it covers ten, and what one check takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.bench.generation.readers import JOBS, Answer, ask
from tests.bench.generation.servers import generating
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns, loaded
from tests.double.running import Double

REQUESTS: Final = 100
COVERED: Final = 10

_OUTPUT_TOKENS: Final = 100_000
_QUOTA: Final = 14.1
"""Ten times what so many tokens and a prompt may cost at most, and less than eleven times."""

_AT_ONCE: Final = f"{REQUESTS} at once"
_REFUSED: Final = "refused, one after the other"


class _Checks(NamedTuple):
    taken_ms: Sequence[float]
    refused_ms: Sequence[float]
    later_ms: Sequence[float]
    """Of requests one after the other, all refused."""
    used: float
    """Spent and held in the end, as a share of the quota."""


def quotas(plan: Plan) -> Group:
    """Measure requests that a nearly used quota does not cover."""
    told = in_turns(plan, {f"{_AT_ONCE}, {_REFUSED}": _measured})
    rows = [row for runs in told.values() for row in _rows(runs)]
    note = (
        f"Each may cost {_OUTPUT_TOKENS:,} tokens of output at most, and the quota covers {COVERED} such; the provider "
        "never answers, so nothing is settled meanwhile. From before the connection is made until the answer; "
        f"{plan.rounds} times, each time a new server."
    )
    return Group("Generation: a quota that is nearly used", note, rows)


def _rows(runs: Sequence[_Checks]) -> list[Row]:
    taken = [each for run in runs for each in run.taken_ms]
    refused = [each for run in runs for each in run.refused_ms]
    later = [each for run in runs for each in run.later_ms]
    most = max(run.used for run in runs)
    over = Beside(most * 100, "% of the quota spent or held", 100, at_most=True)
    return [
        _row(f"{_AT_ONCE}: taken", taken, len(runs), [over]),
        _row(f"{_AT_ONCE}: refused", refused, len(runs)),
        _row(_REFUSED, later, len(runs)),
    ]


def _row(name: str, took_ms: Sequence[float], runs: int, besides: Sequence[Beside] = ()) -> Row:
    took_ms = sorted(took_ms)
    values = [
        Value("requests", len(took_ms) / runs),
        Value("p50", took_ms[len(took_ms) // 2], "ms"),
        Value("p99", took_ms[int(len(took_ms) * 0.99)], "ms"),
    ]
    return Row(name, values, besides)


def _measured() -> _Checks:
    with Double.spawn() as double, generating(double, cost__monthly_quota=_QUOTA) as server:
        double.script(fault="hang_before_headers", default=True)
        # What is loaded once is loaded by a job that costs next to nothing.
        loaded(_post(server.port, 0, output_tokens=1))
        double.called()
        return loaded(_checks(server.port))


async def _checks(port: int) -> _Checks:
    answers = await asyncio.gather(*(_post(port, number) for number in range(REQUESTS)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses == {201: COVERED, 429: REQUESTS - COVERED}, statuses
    later = [await _post(port, number) for number in range(REQUESTS)]
    assert all(answer.status == 429 for answer in later)
    usage = (await ask(port, "GET", "/api/v1/costs/usage")).body["total"]
    return _Checks(
        [answer.took_ms for answer in answers if answer.status == 201],
        [answer.took_ms for answer in answers if answer.status == 429],
        [answer.took_ms for answer in later],
        (usage["spent"] + usage["reserved"]) / _QUOTA,
    )


async def _post(port: int, number: int, output_tokens: int = _OUTPUT_TOKENS) -> Answer:
    body = {"prompt": f"Write {number}.", "provider": "openai", "max_output_tokens": output_tokens}
    return await ask(port, "POST", JOBS, body)
