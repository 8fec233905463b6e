"""Names on the wire, as types in code: plain strings that a checker can tell apart."""

from __future__ import annotations

import re
from typing import Final, NewType

CanvasRef = NewType("CanvasRef", str)
"""The name of a canvas: a UUID or a slug (PROTOCOL section 1)."""

OpId = NewType("OpId", str)
"""The name of an operation, unique in its canvas; a `.` only in the names of continuation lines."""

CANVAS_REF_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
OP_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"
CONTINUATION_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}(\.[1-9][0-9]{0,11})?$"
CLIENT_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"

_CANVAS_REF: Final = re.compile(CANVAS_REF_PATTERN[1:-1])
_OP_ID: Final = re.compile(OP_ID_PATTERN[1:-1])
_CONTINUATION_ID: Final = re.compile(CONTINUATION_ID_PATTERN[1:-1])
_CLIENT_ID: Final = re.compile(CLIENT_ID_PATTERN[1:-1])


def is_canvas_ref(text: str) -> bool:
    """Tell whether `text` can name a canvas."""
    return _CANVAS_REF.fullmatch(text) is not None


def is_op_id(text: str) -> bool:
    """Tell whether an author may choose `text` to name an operation."""
    return _OP_ID.fullmatch(text) is not None


def is_any_op_id(text: str) -> bool:
    """Tell whether `text` can name an operation, continuation lines included."""
    return _CONTINUATION_ID.fullmatch(text) is not None


def is_client_id(text: str) -> bool:
    """Tell whether `text` can name one tab or program of an actor."""
    return _CLIENT_ID.fullmatch(text) is not None
