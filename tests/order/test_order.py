"""Each canvas has one order that all clients agree on, whatever happens to their connections and to the server.

Sixteen clients in processes of their own write under all scopes and read, in both units. They lose answers, requests
and streams at random bytes and send again what they do not know the end of, while the server is killed under them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.crash.servers import Servers
from tests.crash.serving_process import Durability
from tests.model.history import Conflicted, Saw
from tests.order.trial import Course, Result, Trial, acked
from tests.proof.findings import Findings
from tests.proof.lane import amount

OPS: Final = amount(ci=3_008, hand=48_000)
ROUNDS: Final = amount(ci=1, hand=7)
KILLS: Final = amount(ci=4, hand=20)
RUN_S_MAX: Final = amount(ci=600, hand=900)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(RUN_S_MAX * ROUNDS),
    pytest.mark.promise("R7", "R10", "R11", "R12"),
]


def rounds(servers: Servers, folder: Path, durability: Durability, kills: int) -> list[Result]:
    """Run all rounds; whatever their course, this holds."""
    results = []
    for number in range(ROUNDS):
        place = folder / str(number)
        place.mkdir()
        result = Trial(servers, place, Course(durability, OPS, kills, number, RUN_S_MAX)).run()
        assert result.violations == []
        assert result.kills == kills
        check_enough(result)
        results.append(result)
    return results


def check_enough(result: Result) -> None:
    """A run in which too little happened shows nothing."""
    outcomes = Counter(type(record.outcome) for record in result.records)
    assert len(result.attempts) >= OPS
    assert len(acked(result.records)) >= OPS / 5
    assert outcomes[Conflicted] >= OPS / 100
    assert outcomes[Saw] >= OPS / 20
    assert result.arrivals["resumed"] >= OPS / 100
    assert sum(unknown > 0 for _known, unknown in result.attempts.values()) >= OPS / 20


def check_each_applied_once(result: Result) -> None:
    """What was acked is in the history at the version that was told, once; and nothing else is."""
    versions = acked(result.records)
    held = [(ack["op_id"], ack["server_version"]) for acks in result.histories.values() for ack in acks]
    assert len(held) == len({op_id for op_id, _etag in held})
    assert {op_id: {etag} for op_id, etag in held} == versions


def tell(findings: Findings, results: list[Result], how: str) -> None:
    operations = sum(len(result.attempts) for result in results)
    again = sum(sum(counts) - 1 for result in results for counts in result.attempts.values())
    arrivals = sum((result.arrivals for result in results), Counter[str]())
    findings.tell("R10", f"operations of 16 clients in one order, {how}", operations, goal="0 violations")
    findings.tell(
        "R11", f"operations with their ends, {how}", f"{operations}, sent again {again} times", "one end each"
    )
    findings.tell("R12", f"connections taken up again, {how}", dict(arrivals), goal="0 holes, 0 twice")
    findings.tell("R7", f"versions, {how}", sum(result.versions for result in results), goal="one text each")


def test_clients_of_a_living_server_agree_on_one_order_and_each_operation_ends_once(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    results = rounds(servers, tmp_path, "checkpoint", 0)
    for result in results:
        check_each_applied_once(result)
        for op_id, (known, unknown) in result.attempts.items():
            assert known <= result.ends[op_id] <= known + unknown, op_id
        assert result.unplaced_reads == 0
    tell(findings, results, "no kills")


def test_with_a_journal_the_order_goes_on_over_kills_as_if_there_had_been_none(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    results = rounds(servers, tmp_path, "journal", KILLS)
    for result in results:
        check_each_applied_once(result)
        assert result.unplaced_reads == 0
        assert result.arrivals["history"] == 0
    tell(findings, results, f"journal, {KILLS} kills")


def test_without_a_journal_a_kill_forgets_the_end_of_the_order_and_nothing_else(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    results = rounds(servers, tmp_path, "checkpoint", KILLS)
    for result in results:
        versions = acked(result.records)
        for acks in result.histories.values():
            assert all(ack["server_version"] in versions[ack["op_id"]] for ack in acks)
        assert result.arrivals["history"] > 0, "no kill made anybody forget anything"
    tell(findings, results, f"checkpoints, {KILLS} kills")
