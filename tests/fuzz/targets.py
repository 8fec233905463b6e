"""All parsers that take bytes from outside, by name; see `law.Target`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.fuzz import doors, files, markdown, operations, providers
from tests.fuzz.law import Target

TARGETS: Final[Mapping[str, Target]] = {
    **operations.TARGETS,
    **markdown.TARGETS,
    **files.TARGETS,
    **doors.TARGETS,
    **providers.TARGETS,
}
