"""What every store answers when it cannot do what it is asked."""

from __future__ import annotations

from canvas_server.core.errors import ExistsError, NotFoundError


def canvas_exists(ref: str) -> ExistsError:
    """Return the error for a ref that is taken."""
    return ExistsError(f"canvas {ref} exists", hint="Choose another ref, or change the canvas that is there.")


def canvas_deleted() -> NotFoundError:
    """Return the error for a key whose canvas is gone."""
    return NotFoundError("the canvas was deleted", hint="Create it again, or leave it.")


def not_in_history(seq: int) -> NotFoundError:
    """Return the error for a version that is older than the history, or newer."""
    return NotFoundError(f"the history does not hold version {seq}", hint="Ask for a version that it holds.")
