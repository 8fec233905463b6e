"""What the tests of ending servers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.servers import Servers, starting_servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts servers, one at a time."""
    with starting_servers(tmp_path_factory.mktemp("servers") / "log") as starting:
        yield starting
