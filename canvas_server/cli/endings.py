"""How commands end: the exit codes, and what each means.

Rule: 0 done; 1 asked well, and not done: nothing found, a conflict; 2 cannot: wrong use, bad settings, no server,
refused; 130 cut off by Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

from typing import Final

from canvas_server.core.errors import CanvasError

EXIT_NOT_DONE: Final = 1
EXIT_REFUSED: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_UNREAD: Final = 141
"""As of a program that SIGPIPE ended."""


class NotDoneError(CanvasError):
    """What was asked for could be understood, and did not happen: it is not there, or it conflicts."""

    code = "NOT_DONE"


class StoppedError(CanvasError):
    """The person said stop, and was told what became of what had begun."""

    code = "INTERRUPTED"


def exit_code_of(error: CanvasError) -> int:
    """Return the exit code that an error ends a command with."""
    match error:
        case NotDoneError():
            return EXIT_NOT_DONE
        case StoppedError():
            return EXIT_INTERRUPTED
        case _:
            return EXIT_REFUSED
