"""Every parser keeps its law for whatever bytes; `make fuzz` looks further, by the paths that inputs take.

What was ever found lies in `found/`, one folder a target, and is tried again here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Final

import pytest

from tests.fuzz.law import Target, accepted, without_warnings
from tests.fuzz.mutator import mutants
from tests.fuzz.rooms import close_rooms
from tests.fuzz.targets import TARGETS
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.web.corpora import naughty_bytes

pytestmark = [pytest.mark.promise("R30", "R31"), pytest.mark.slow, pytest.mark.timeout(amount(ci=300, hand=900))]

FOUND: Final = Path(__file__).parent / "found"
RUNS: Final = amount(ci=150, hand=20_000)
READING: Final = ("operations", "upload", "targets", "names", "pricing", "preset", "dialogue", "schema")
"""Those that tell what they accept."""
SLOWEST_S_MAX: Final = 5.0
"""For any one input of `BYTES_MAX`; most of what it takes is the machine's other work."""


@pytest.fixture(scope="module", autouse=True)
def rooms_are_closed() -> Iterator[None]:
    yield
    close_rooms()


@pytest.fixture(scope="module", autouse=True)
def nobody_warns() -> Iterator[None]:
    with without_warnings():
        yield


def hold(target: Target, inputs: Iterator[bytes] | Sequence[bytes]) -> None:
    """Try inputs."""
    slowest_s = 0.0
    # The first opens the application, or loads an SDK.
    target.run(b"")
    for data in inputs:
        started_s = perf_counter()
        try:
            with warnings.catch_warnings():
                # What the SDKs' models say of odd values.
                warnings.simplefilter("ignore")
                target.run(data)
        except BaseException as error:
            error.add_note(f"input: {data!r}")
            raise
        slowest_s = max(slowest_s, perf_counter() - started_s)
    assert slowest_s < SLOWEST_S_MAX


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_keeps_its_law_for_changed_seeds(name: str, findings: Findings) -> None:
    target = TARGETS[name]
    hold(target, islice(mutants(target.seeds, target.words, Random(name)), RUNS))
    findings.tell("R30", "inputs made for each parser", f"{RUNS}, {len(TARGETS)} parsers", "their laws hold")


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_keeps_its_law_for_seeds_with_naughty_strings_in_them(name: str) -> None:
    target, words = TARGETS[name], naughty_bytes()
    hold(target, islice(mutants(target.seeds, words, Random(name)), RUNS))


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_not_found_again(name: str) -> None:
    hold(TARGETS[name], [path.read_bytes() for path in sorted((FOUND / name).glob("*"))])


def test_everything_that_was_found_belongs_to_a_target() -> None:
    assert {path.name for path in FOUND.iterdir() if path.is_dir()} <= set(TARGETS)


@pytest.mark.parametrize("name", READING)
def test_a_parser_takes_some_of_its_seeds(name: str) -> None:
    # One that refuses them all would keep any law.
    accepted.clear()
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)
    assert accepted


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_says_its_law(name: str) -> None:
    assert TARGETS[name].run.__doc__
