"""What the tests of the client share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.servers import Servers, starting_servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts servers that may be killed, one at a time."""
    with starting_servers(tmp_path_factory.mktemp("servers") / "log") as starting:
        yield starting
