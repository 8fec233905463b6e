"""What all tests share: one Hypothesis profile, so that the quick tier stays quick and a slow machine fails nothing."""

from __future__ import annotations

import os
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out proofs of other promises than those that were asked for by CANVAS_PROMISES."""
    asked = set(filter(None, os.environ.get("CANVAS_PROMISES", "").split(",")))
    if not asked:
        return
    others = [
        item for item in items if not asked & {name for mark in item.iter_markers("promise") for name in mark.args}
    ]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def findings() -> Findings:
    """Takes what a proof measured."""
    return Findings()
