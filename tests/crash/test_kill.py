"""kill -9: what was told durable is there, nothing is forked, and clients can mend the rest (PROTOCOL section 8)."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from tests.crash.kill_points import Point
from tests.crash.lives import Lives, Loss, Plan
from tests.crash.servers import Servers
from tests.proof.findings import Findings
from tests.proof.lane import amount

PERIOD_S: Final = 1.5
PERIODS_S_MAX: Final = 1.6 * PERIOD_S
PAUSES_S: Final = (0.02, 0.05, 0.2)
"""From a checkpoint for every 50 operations to one for every period."""
LOST_OPS_MAX: Final = amount(ci=400, hand=150)
"""50 wait for the checkpoint that they start; the rest came in while it was written, on a machine that is busy."""
OLDEST_S_MAX: Final = amount(ci=4, hand=2) * PERIOD_S
"""The period, and as long again for the write on a machine that is busy; elsewhere than by hand it may be very busy."""
FOLDER_KILLS_MAX: Final = 60
"""Kills on one folder; then a new one keeps the histories, and so the starts, short."""


class Kills(NamedTuple):
    """What a number of kills cost, each followed by a start.

    Attributes:
        losses: of each kill.
        texts: how many versions were told or read, none of them for two texts.
        taken_back: how many versions that somebody had read were forgotten.
        ahead_max: how many operations of a canvas came in while it was saved, at most.
        died: how many servers died by themselves.
    """

    losses: list[Loss]
    texts: int
    taken_back: int
    ahead_max: int
    died: int

    @property
    def costly(self) -> int:
        """How many kills came while something was unsaved."""
        return sum(any(loss.ops) for loss in self.losses)


def kill(servers: Servers, folder: Path, plan: Plan, rounds: int, seed: int) -> Kills:
    """Kill that many servers, and one more on each folder, whose loss nobody looks at."""
    random, all_lives = Random(seed), []
    for start in range(0, rounds, FOLDER_KILLS_MAX):
        lives = Lives(servers, folder / f"{start}", plan, random)
        for _ in range(min(FOLDER_KILLS_MAX, rounds - start) + 1):
            lives.live()
        all_lives.append(lives)
    lineages = [lineage for lives in all_lives for lineage in lives.lineages.values()]
    return Kills(
        losses=[loss for lives in all_lives for loss in lives.losses],
        texts=sum(lineage.named_texts for lineage in lineages),
        taken_back=sum(lineage.taken_back for lineage in lineages),
        ahead_max=max(lineage.ahead_max for lineage in lineages),
        died=sum(len(lives.died) for lives in all_lives),
    )


def tell_texts(findings: Findings, kills: Kills) -> None:
    findings.tell("R7", f"versions over {len(kills.losses)} kills", kills.texts, goal="0 that name two texts")


@pytest.mark.promise("R1", "R7")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=600, hand=9_000))
def test_a_kill_at_a_random_moment_costs_what_one_period_brought_and_nothing_durable(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    rounds = amount(ci=60, hand=1_000)
    plan = Plan("checkpoint", interval_s=PERIOD_S, moment_s_max=PERIODS_S_MAX, pauses_s=PAUSES_S)
    kills = kill(servers, tmp_path, plan, rounds, seed=3)
    worst = max(max(loss.ops) for loss in kills.losses)
    oldest_s = max(loss.oldest_s for loss in kills.losses)
    findings.tell("R1", "kills -9, checkpoint mode", rounds, goal="0 violations")
    findings.tell("R1", "kills that came while something was unsaved", kills.costly, goal=f"at least {rounds // 2}")
    findings.tell("R1", "operations of one canvas lost, at most", worst, goal="50 and what came during the write")
    findings.tell("R1", "operations of one canvas that came during a write, at most", kills.ahead_max)
    findings.tell("R1", f"oldest operation lost, period {PERIOD_S} s", f"{oldest_s:.2f} s", goal="the period")
    tell_texts(findings, kills)
    assert kills.costly >= rounds / 2, "too few kills came while something was unsaved"
    assert worst <= LOST_OPS_MAX
    assert oldest_s <= OLDEST_S_MAX


@pytest.mark.promise("R1", "R7")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
def test_a_server_that_dies_in_the_middle_of_a_checkpoint_loses_nothing_it_told_durable(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    rounds = amount(ci=20, hand=300)
    plan = Plan("checkpoint", points=("before the write", "before the commit", "before the ack"))
    kills = kill(servers, tmp_path, plan, rounds, seed=4)
    findings.tell("R1", "deaths in the middle of a checkpoint", kills.died, goal="0 violations")
    tell_texts(findings, kills)
    assert kills.died >= rounds


@pytest.mark.promise("R2", "R7")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=4_000))
def test_with_a_journal_a_kill_at_a_random_moment_costs_nothing_that_was_acked_or_read(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    rounds = amount(ci=60, hand=1_000)
    kills = kill(servers, tmp_path, Plan("journal", moment_s_max=0.6, pauses_s=(0.0, 0.02)), rounds, seed=5)
    findings.tell("R2", "kills -9, journal mode", rounds, goal="0 operations lost")
    tell_texts(findings, kills)
    assert (kills.costly, kills.taken_back) == (0, 0)
    assert kills.texts > 10 * rounds, "too little was written"


@pytest.mark.promise("R2", "R7")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
@pytest.mark.parametrize("point", ["before the write", "within a group", "before the commit", "before the ack"])
def test_a_journal_that_dies_at_a_step_of_a_save_has_lost_nothing_that_was_acked_or_read(
    servers: Servers, tmp_path: Path, findings: Findings, point: Point
) -> None:
    rounds = amount(ci=20, hand=300)
    kills = kill(servers, tmp_path, Plan("journal", points=(point,)), rounds, seed=6)
    findings.tell("R2", f"deaths {point}", kills.died, goal="0 operations lost")
    tell_texts(findings, kills)
    assert (kills.costly, kills.taken_back) == (0, 0)
    assert kills.died >= rounds


@pytest.mark.promise("R2", "R7")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
def test_a_journal_that_is_killed_as_an_ack_arrives_has_lost_nothing_that_was_acked_or_read(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    rounds = amount(ci=20, hand=300)
    kills = kill(servers, tmp_path, Plan("journal", events_max=150), rounds, seed=7)
    findings.tell("R2", "kills after the ack", rounds, goal="0 operations lost")
    tell_texts(findings, kills)
    assert (kills.costly, kills.taken_back) == (0, 0)
