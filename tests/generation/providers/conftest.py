"""One double of the providers for all tests here; it forgets everything between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.double.running import Double, doubled


@pytest.fixture(scope="session")
def running_double() -> Iterator[Double]:
    with doubled() as double:
        yield double


@pytest.fixture
def double(running_double: Double) -> Double:
    running_double.reset()
    return running_double
