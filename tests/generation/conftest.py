"""One double of the providers for all tests here; it forgets everything between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.double.running import Double, doubled
from tests.generation.workbench import workbench
from tests.serving import Served


@pytest.fixture(scope="session")
def running_double() -> Iterator[Double]:
    with doubled() as double:
        yield double


@pytest.fixture
def double(running_double: Double) -> Double:
    running_double.reset()
    return running_double


@pytest.fixture(scope="session")
def bench(running_double: Double) -> Iterator[Served]:
    """One server with default bounds whose providers are the double; jobs of ada's, bob's and root's."""
    with workbench(running_double) as served:
        yield served
