"""What all tests share: one Hypothesis profile, so that the quick tier stays quick and a slow machine fails nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.proof.findings import Findings
from tests.serving import Served, serving

settings.register_profile("quick", max_examples=100, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """One server for all tests that need nothing special of it; make canvases of your own on it."""
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def findings() -> Findings:
    """Takes what a proof measured."""
    return Findings()
