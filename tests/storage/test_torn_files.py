"""Files that were cut or of which a bit was flipped: what is read is right, or it is refused with the file's name."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

import pytest

from canvas_server.storage.canvases import open_store
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.storage.damage import DATABASE, LOG, Damage, Parts, Refused, cut, flip, read_damaged, save_and_copy

SECTOR_BYTES: Final = 512
"""What a disk writes whole."""


def damaged_logs(whole: bytes, count: int) -> Iterator[bytes]:
    """Yield the log cut at each sector, or at some of them all along, then with one bit flipped, that many in all."""
    random = Random(3)
    sectors = range(0, len(whole), SECTOR_BYTES)
    cuts = sectors[:: -(-len(sectors) * 4 // (count * 3))]
    yield from (whole[:end] for end in cuts)
    yield from (flip(whole, random) for _ in range(count - len(cuts)))


def is_part_of(read: Parts, state: Parts) -> bool:
    """Whether all that was read, and not refused, is as in that state."""
    return all(isinstance(part, Refused) or part == state[name] for name, part in read.items())


def refusals(read: Parts) -> list[str]:
    return [part.why for part in read.values() if isinstance(part, Refused)]


@pytest.mark.promise("R3")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
@pytest.mark.parametrize("together", [False, True], ids=["one canvas a commit", "all canvases in each commit"])
async def test_a_torn_log_gives_one_of_the_commits_or_a_refusal_never_a_mixture(
    tmp_path: Path, findings: Findings, *, together: bool
) -> None:
    variants = amount(ci=500, hand=10_000)
    states = await save_and_copy(tmp_path / "data", tmp_path / "crashed", together=together)
    whole, seen, refused = (tmp_path / "crashed" / LOG).read_bytes(), set(), 0
    for content in damaged_logs(whole, variants):
        read = await read_damaged(tmp_path / "crashed", tmp_path / "torn", LOG, content)
        shutil.rmtree(tmp_path / "torn")
        if refusals(read):
            refused += 1
            assert any(is_part_of(read, state) for state in states), "a mixture"
        else:
            seen.add(states.index(read))
    what = "torn logs, canvases together" if together else "torn logs"
    findings.tell("R3", what, variants, goal="0 mixtures")
    findings.tell("R3", f"{what}, refused", refused)
    findings.tell("R3", f"{what}: commits that they gave", f"{len(seen)} of {len(states)}")
    assert len(seen) > len(states) / 2, "the damage hardly shows"


@pytest.mark.promise("R5")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=600))
@pytest.mark.parametrize("damage", [cut, flip])
async def test_a_damaged_database_gives_what_is_right_or_a_refusal_with_its_name_and_is_left_as_it_is(
    tmp_path: Path, findings: Findings, damage: Damage
) -> None:
    variants = amount(ci=150, hand=500)
    right = (await save_and_copy(tmp_path / "data", tmp_path / "crashed"))[-1]
    async with open_store(tmp_path / "crashed"):
        pass  # at its end the log is copied back
    (tmp_path / "crashed" / LOG).touch()
    whole, random, refused = (tmp_path / "crashed" / DATABASE).read_bytes(), Random(4), 0
    for _ in range(variants):
        content = damage(whole, random)
        read = await read_damaged(tmp_path / "crashed", tmp_path / "torn", DATABASE, content)
        assert (tmp_path / "torn" / DATABASE).read_bytes() == content, "the file was changed"
        shutil.rmtree(tmp_path / "torn")
        assert is_part_of(read, right)
        assert all(DATABASE in why for why in refusals(read))
        refused += bool(refusals(read))
    findings.tell("R5", f"databases with one {damage.__name__}", variants, goal="0 wrong, 0 empty, 0 overwritten")
    findings.tell("R5", f"databases with one {damage.__name__} that were refused", refused)
    assert refused >= variants / 20, "the damage hardly shows"


def pages_of_refs(database: Path) -> list[range]:
    """Return where the file keeps the refs: in the table of canvases, and in its index."""
    with closing(sqlite3.connect(database)) as connection:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'canvas' AND rootpage > 0")
        return [range((root - 1) * page_bytes, root * page_bytes) for (root,) in roots]


@pytest.mark.promise("R5")
async def test_a_canvas_whose_ref_is_damaged_is_refused_not_missing(tmp_path: Path) -> None:
    """With a bit flipped in the index the canvas was a 404, and whoever created it anew got an empty one."""
    await save_and_copy(tmp_path / "data", tmp_path / "crashed")
    async with open_store(tmp_path / "crashed"):
        pass
    whole = (tmp_path / "crashed" / DATABASE).read_bytes()
    pages = pages_of_refs(tmp_path / "crashed" / DATABASE)
    (tmp_path / "crashed" / LOG).touch()
    places = [whole.find(b"two", page.start, page.stop) for page in pages]
    assert len(places) == 2
    for place in places:
        content = whole[:place] + b"T" + whole[place + 1 :]
        read = await read_damaged(tmp_path / "crashed", tmp_path / f"{place}", DATABASE, content)
        assert len(refusals(read)) == len(read)
