"""kill -9 of a backup and of a restore, at every step and at random moments: all or nothing, and nothing is lost."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.archive import verify_backup
from canvas_server.storage.canvases import open_store
from tests.crash.keeping_process import Job, Keeping, keeping, kill
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.storage.damage import Parts, read_parts
from tests.storage.keeping import KINDS, make_sides, names_in, quiet, read_all

STEPS_MIN: Final = 15
KILLED: Final = -9


@pytest.fixture(scope="module")
def jobs() -> Iterator[Keeping]:
    with keeping() as one:
        yield one


class Sides(NamedTuple):
    """An old folder, a backup of a newer one, and what is in each."""

    folder: Path
    file: Path
    old: Parts
    new: Parts


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    return asyncio.run(_sides(tmp_path_factory.mktemp("sides")))


async def _sides(folder: Path) -> Sides:
    old, file = await make_sides(folder)
    # Of copies, for whoever opens a folder changes it.
    shutil.copytree(old, folder / "old-read")
    shutil.copytree(folder / "newer", folder / "newer-read")
    sides = Sides(old, file, await read_all(folder / "old-read"), await read_all(folder / "newer-read"))
    assert sides.old != sides.new
    return sides


def backup_is_whole_or_not_there(file: Path) -> bool:
    """Return whether it is there."""
    if not file.exists():
        return False
    assert verify_backup(file, KINDS, quiet).counts["canvases"] == 3
    return True


@pytest.mark.promise("R8", "R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
def test_a_backup_that_is_killed_leaves_no_file_or_a_whole_one_and_the_next_cleans_up(
    jobs: Keeping, sides: Sides, tmp_path: Path, findings: Findings
) -> None:
    shutil.copytree(sides.folder, tmp_path / "data")
    random, there, killed, file = Random(5), 0, 0, tmp_path / "b.zip"
    for step in count(1):
        code = jobs.do(Job("backup", str(tmp_path / "data"), str(file), die_at=step))
        assert backup_is_whole_or_not_there(file) or code == KILLED
        file.unlink(missing_ok=True)
        if code == 0:
            break
        killed += 1
    assert step > 4
    started_s = time.monotonic()
    assert jobs.do(Job("backup", str(tmp_path / "data"), str(file))) == 0
    took_s = time.monotonic() - started_s
    assert names_in(tmp_path) == {"data", "b.zip"}
    for _ in range(amount(ci=40, hand=500)):
        file.unlink(missing_ok=True)
        pid = jobs.start(Job("backup", str(tmp_path / "data"), str(file)))
        time.sleep(random.uniform(0, took_s))
        kill(pid)
        killed += jobs.ending() == KILLED
        there += backup_is_whole_or_not_there(file)
    file.unlink(missing_ok=True)
    assert jobs.do(Job("backup", str(tmp_path / "data"), str(file))) == 0
    assert names_in(tmp_path) == {"data", "b.zip"}
    findings.tell("R9", "kill -9 of a backup", f"{killed} kills, {there} backups were whole by then", "0 torn")
    assert killed >= STEPS_MIN


async def old_or_new(place: Path, sides: Sides) -> str:
    """Hold a folder in which a restore was killed to being whole; return which it is."""
    await readers_see_one_side(place, sides)
    parts = await read_all(place)
    assert parts in (sides.old, sides.new), "a mixture"
    side = "new" if parts == sides.new else "old"
    aside = [name for name in names_in(place) if name.startswith("before-restore-")]
    if side == "new":
        (before,) = aside
        assert await read_all(place / before) == sides.old, "the old is lost"
    else:
        assert aside == []
    assert not [name for name in names_in(place) if name.endswith(".tmp")]
    return side


async def readers_see_one_side(place: Path, sides: Sides) -> None:
    """Read as `export` does, before anything is finished: from one of both, or not at all."""
    try:
        async with open_store(place, readonly=True) as store:
            seen = await read_parts(store)
    except StorageUnavailableError as error:
        assert "was cut off" in str(error)  # noqa: PT017 - no error is right, too
        return
    assert seen in ({name: side[name] for name in seen} for side in (sides.old, sides.new))


@pytest.mark.promise("R8", "R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
async def test_a_restore_that_is_killed_at_any_step_leaves_the_old_or_the_new(
    jobs: Keeping, sides: Sides, tmp_path: Path, findings: Findings
) -> None:
    seen = []
    for step in count(1):
        place = shutil.copytree(sides.folder, tmp_path / f"{step}")
        code = jobs.do(Job("restore", str(place), str(sides.file), die_at=step))
        seen.append(await old_or_new(place, sides))
        shutil.rmtree(place)
        if code == 0:
            break
        assert code == KILLED
    findings.tell("R9", "steps of a restore killed at", f"{len(seen) - 1}, {seen.count('old')} left the old", "0 mixed")
    # Before the decision the old, after it the new.
    assert seen == sorted(seen, reverse=True)
    assert seen.count("old") >= STEPS_MIN / 2
    assert seen.count("new") >= STEPS_MIN / 2


@pytest.mark.promise("R8", "R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
async def test_a_restore_that_is_killed_again_and_again_is_finished_by_the_next(
    jobs: Keeping, sides: Sides, tmp_path: Path
) -> None:
    for first in range(1, 60, amount(ci=6, hand=1)):
        place = shutil.copytree(sides.folder, tmp_path / f"{first}")
        for step in (first, 3, 6, 9):
            if jobs.do(Job("restore", str(place), str(sides.file), die_at=step)) == 0:
                break
        assert jobs.do(Job("restore", str(place), str(sides.file))) == 0
        assert await read_all(place) == sides.new
        before = sorted(name for name in names_in(place) if name.startswith("before-restore-"))
        assert await read_all(place / before[0]) == sides.old
        shutil.rmtree(place)


@pytest.mark.promise("R8", "R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
async def test_a_restore_that_is_killed_at_a_random_moment_leaves_the_old_or_the_new(
    jobs: Keeping, sides: Sides, tmp_path: Path, findings: Findings
) -> None:
    random, seen = Random(6), []
    place = shutil.copytree(sides.folder, tmp_path / "timed")
    started_s = time.monotonic()
    assert jobs.do(Job("restore", str(place), str(sides.file))) == 0
    took_s = time.monotonic() - started_s
    for number in range(amount(ci=25, hand=300)):
        place = shutil.copytree(sides.folder, tmp_path / f"{number}")
        pid = jobs.start(Job("restore", str(place), str(sides.file)))
        await asyncio.sleep(random.uniform(0, took_s))
        kill(pid)
        jobs.ending()
        seen.append(await old_or_new(place, sides))
        shutil.rmtree(place)
    findings.tell("R9", "restores killed at random", f"{len(seen)}, {seen.count('old')} left the old", "0 mixed")
