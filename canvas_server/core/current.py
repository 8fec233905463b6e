"""On whose behalf something runs: the request and the job, so that every line of the log can say so.

Rule: these are for the log and for traces alone; nothing is ever decided by them. Tasks inherit them from who starts
them. What serves many requests at once, such as a timer of a canvas, runs without.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is being answered, or that made the job; empty outside of any."""

JOB_ID: Final[ContextVar[str]] = ContextVar("job_id", default="")
"""The id of the job that runs; empty outside of any."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_request_id(text: str) -> bool:
    """Tell whether a client may choose `text` to name a request: 1 to 64 letters, digits, `.`, `_` or `-`."""
    return _REQUEST_ID.fullmatch(text) is not None
