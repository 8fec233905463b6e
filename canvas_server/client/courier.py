"""Sends what waits in a replica, one request at a time, again and again until its outcome is known.

Nothing is ever dropped: what the server does not take stays in the text, and is tried again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from canvas_server.client.errors import (
    BusyError,
    OperationError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
    problem_of,
)
from canvas_server.client.names import new_name
from canvas_server.client.opened import OpenCanvas
from canvas_server.core.event import Ack, Conflict, Failure

PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 5.0
ANSWER_S: Final = 10.0
"""After which an operation whose outcome was not told is sent again: it should be told at once."""
_TEMPORARY: Final = frozenset({"STORAGE_UNAVAILABLE"})
_LOST_BASE: Final = frozenset({"unknown_version", "version_too_old"})


class Courier:
    """Of one canvas.

    Args:
        canvas: that is written to.
    """

    def __init__(self, canvas: OpenCanvas) -> None:
        self._canvas = canvas
        self._must_resend = False
        self.is_blocked = False
        """Whether edits wait until something changes, for the server does not take them as they are."""
        self._failures = 0
        self._conflicts = 0

    @property
    def has_work(self) -> bool:
        """Whether there is something to send now."""
        replica = self._canvas.replica
        if replica.is_sending:
            return self._must_resend
        return not replica.is_settled and not self.is_blocked

    def unblock(self) -> None:
        """Try again what was refused."""
        self.is_blocked = False
        self._canvas.problem = None
        self._canvas.pulse()

    def resend(self) -> None:
        """Send again what is under way, unchanged: what was applied of it comes back as a duplicate."""
        self._must_resend = self._canvas.replica.is_sending

    async def step(self) -> None:
        """Send one request."""
        canvas = self._canvas
        if self._conflicts > 1:
            await asyncio.sleep(min(PAUSE_S * 2.0 ** min(self._conflicts, 10), PAUSE_S_MAX))
        again, self._must_resend = canvas.replica.is_sending, False
        ops = canvas.replica.unanswered if again else canvas.replica.next_request(canvas.limits, new_name)
        if not ops:
            canvas.pulse()
            return
        try:
            await canvas.connection.ask(
                "POST", f"{canvas.path}/ops:stream", query=[("unit", "codepoint")], body={"ops": ops}
            )
        except (BusyError, UnreachableError, UnauthorizedError) as error:
            self._must_resend = True
            await self._pause(error)
        except RefusedError as error:
            self._refuse([str(op["op_id"]) for op in ops], error)
        else:
            self._failures = 0
            if not self.is_blocked:
                canvas.problem = None
        canvas.pulse()

    def take(self, ack: Ack) -> bool:
        """Take what the server applied; return False if something before it was missed."""
        canvas = self._canvas
        taken = canvas.replica.take(ack)
        if taken.kind == "gap":
            return False
        if taken.kind == "applied" or isinstance(ack.duplicate, bool):
            canvas.tell(ack)
        if taken.is_own:
            self._conflicts = 0
        # Whoever writes must know what it wrote before it hears where that is.
        for writer in canvas.writers:
            writer.hear(ack)
        canvas.show(taken.view, "rebase" if taken.is_own and taken.kind == "included" else "remote", ack)
        canvas.outcomes.tell(ack)
        return True

    def failed(self, event: Conflict | Failure) -> None:
        """Note that an operation was not applied; an edit is made again, on the text as it is now."""
        canvas = self._canvas
        if canvas.replica.has_sent(event.op_id):
            is_edit = event.op_id in {sent.op_id for sent in canvas.replica.edits_sent}
            canvas.replica.fail(event.op_id)
            if is_edit:
                self._mend(event)
        for writer in canvas.writers:
            writer.hear(event)
        canvas.outcomes.tell(event)

    def _mend(self, event: Conflict | Failure) -> None:
        if isinstance(event, Conflict):
            if event.reason in _LOST_BASE:
                self._canvas.heal = "history"
            self._conflicts += event.reason != "not_executed"
        elif event.code in _TEMPORARY:
            self._conflicts += 2
        else:
            self.is_blocked = True
            self._canvas.problem = problem_of(OperationError(event))

    async def _pause(self, error: BusyError | UnreachableError | UnauthorizedError) -> None:
        self._failures += 1
        self._canvas.problem = problem_of(error)
        self._canvas.pulse()
        pause_s = min(PAUSE_S * 2.0 ** min(self._failures, 10), PAUSE_S_MAX)
        await asyncio.sleep(max(pause_s, error.retry_after_s) if isinstance(error, BusyError) else pause_s)

    def _refuse(self, op_ids: list[str], error: RefusedError) -> None:
        """The request as a whole is refused: edits wait until something changes, raw operations are the caller's."""
        canvas = self._canvas
        canvas.outcomes.fail(op_ids, error)
        if canvas.replica.edits_sent:
            self.is_blocked = True
            canvas.problem = error.problem
        canvas.replica.drop_raw()
        canvas.replica.take_back()
