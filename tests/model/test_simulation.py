"""Whatever happens to a server, in whatever order: its promises hold, and in the end all is well."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Simulation, WithCheckpoints, WithJournal
from tests.proof.findings import Findings
from tests.proof.lane import amount

EXAMPLES: Final = int(os.environ.get("CANVAS_EXAMPLES", amount(ci=1_500, hand=25_000)))
"""Of each mode; the quick tests do a hundred at most."""
PROMISES: Final = ("R1", "R2", "R4", "R7", "R10", "R11", "R12", "R14")
MODES: Final = [WithCheckpoints, WithJournal]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults of the disk are what this is about; to log each of them takes longer than to have it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def simulate(machine: type[Simulation], examples: int) -> Counter[str]:
    """Run examples of a mode; return what happened in them, which must be enough to show something."""
    machine.totals.clear()
    how = settings(
        max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=how)
    totals = machine.totals
    assert totals["examples"] >= examples
    if examples >= 50:
        assert_enough(totals, examples, expects_losses=machine is WithCheckpoints)
    return totals


def assert_enough(totals: Counter[str], examples: int, *, expects_losses: bool) -> None:
    """A run in which too little happened has shown nothing; what is rare may be missing in a short one."""
    for what in ("drains", "resumes", "resets", "evicted"):
        assert totals[what] >= examples // 200, f"too few {what}: {totals}"
    per_ten_examples = {"steps": 100, "answers": 50, "kills": 4, "reads": 1}
    for what, least in per_ten_examples.items():
        assert totals[what] >= least * examples // 10, f"too few {what}: {totals}"
    if expects_losses:
        assert totals["kills with unsaved operations"] >= examples // 20, f"too few losses: {totals}"
    else:
        assert totals["operations forgotten"] == 0


@pytest.mark.parametrize("machine", MODES)
def test_a_hundred_simulated_servers_keep_their_promises(machine: type[Simulation]) -> None:
    simulate(machine, min(100, EXAMPLES))


@pytest.mark.promise(*PROMISES)
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=900, hand=4 * 3_600))
@pytest.mark.parametrize("machine", MODES)
def test_simulated_servers_keep_their_promises(machine: type[Simulation], findings: Findings) -> None:
    totals = simulate(machine, EXAMPLES)
    mode = machine.durability
    figures = ", ".join(f"{totals[what]:,} {what}" for what in ("examples", "steps", "kills", "drains", "answers"))
    for promise in PROMISES:
        findings.tell(promise, f"simulated lives, durability {mode}", figures, goal="0 violations")
    findings.tell("R12", f"simulated resumes, durability {mode}", totals["resumes"], goal="0 violations")
    findings.tell("R12", f"simulated resets, durability {mode}", totals["resets"], goal="0 violations")
