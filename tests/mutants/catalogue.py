"""All planted bugs."""

from __future__ import annotations

from typing import Final

from tests.mutants import admission, durability, generation, preview, rules, streams
from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *durability.MUTANTS,
    *rules.MUTANTS,
    *streams.MUTANTS,
    *admission.MUTANTS,
    *generation.MUTANTS,
    *preview.MUTANTS,
)
