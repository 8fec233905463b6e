"""Every planted bug still has its place, changes something, and is one that Python can read."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, StaleMutantError
from tests.mutants.tree import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_has_its_place(mutant: Mutant) -> None:
    source = mutant.file_in(ROOT).read_text()
    assert ast.dump(ast.parse(mutant.plant(source))) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("test", sorted({test for mutant in MUTANTS for test in mutant.tests}))
def test_the_tests_that_a_mutant_names_are_there(test: str) -> None:
    assert (ROOT / test.partition("::")[0]).exists()


def test_no_two_mutants_have_one_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names)


def test_a_mutant_whose_place_is_gone_says_so() -> None:
    mutant = Mutant("stale", "cli.py", "text that is nowhere", "", ())
    with pytest.raises(StaleMutantError, match="0 times"):
        mutant.plant("other text")
