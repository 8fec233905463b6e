"""Programs that a test cannot do without."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> None:
    """Skip aloud if a program is missing, or fail where everything must be there."""
    if shutil.which(program) is not None:
        return
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{program} is not installed, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{program} is not installed")
