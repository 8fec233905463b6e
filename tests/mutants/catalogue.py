"""All planted bugs."""

from __future__ import annotations

from typing import Final

from tests.mutants import addresses, admission, durability, generation, identity, preview, rules, streams
from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *durability.MUTANTS,
    *rules.MUTANTS,
    *streams.MUTANTS,
    *admission.MUTANTS,
    *addresses.MUTANTS,
    *identity.MUTANTS,
    *generation.MUTANTS,
    *preview.MUTANTS,
)
