"""What all tests share: one Hypothesis profile, so that the quick tier stays quick and a slow machine fails nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import settings

from tests.proof.findings import Findings
from tests.serving import Served, serving

EXPECTED_WITHIN_MS: Final = 20_000
"""How long what a test expects of a page may take; long, as it is waited for only where it does not come."""

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


def pytest_collection_finish() -> None:
    """Have the tests that drive a browser wait long enough; where there are none, Playwright is not loaded."""
    if driver := sys.modules.get("playwright.sync_api"):
        driver.expect.set_options(timeout=EXPECTED_WITHIN_MS)


@pytest.fixture(scope="session")
def findings() -> Findings:
    """Takes what a proof measured."""
    return Findings()
