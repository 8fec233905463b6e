"""Sends what waits in a replica, one request at a time, again and again until its outcome is known.

Nothing is ever dropped: what the server does not take stays in the text, and is tried again. What was sent more than
once, since no answer came, and then refused may have been applied all the same, as the one or the other: it counts as
refused only when the last copy was answered, and the history, read after that, does not have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
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
from canvas_server.client.unsaved import Op
from canvas_server.core.event import Ack, Conflict, Failure

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 5.0
ANSWER_S: Final = 10.0
"""After which an operation whose outcome was not told is sent again: it should be told at once."""
TEMPORARY: Final = frozenset({"STORAGE_UNAVAILABLE"})
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
        self._times = 0
        """How often the request that is under way was sent."""
        self._is_answered = False
        """Whether the last of these copies was: else it may still be on its way."""
        self.overdue_at = 0.0
        """By the clock of the loop: when what became of the request that is under way should have been told."""
        self._doubts: dict[str, Conflict | Failure] = {}
        self._refusal: RefusedError | None = None
        self._unheard: dict[str, Conflict] = {}
        """Operations that cannot have been run, for one before them failed; that is not told of them yet."""

    @property
    def has_work(self) -> bool:
        """Whether there is something to send now."""
        replica = self._canvas.replica
        if replica.is_sending:
            return self._must_resend
        return not replica.is_settled and (not self.is_blocked or replica.has_raw_waiting)

    @property
    def has_doubts(self) -> bool:
        """Whether `decide` is to be called when the history was read."""
        return bool(self._doubts) or self._refusal is not None

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
            if canvas.state != "live":
                # What a crash made the server forget is to be sent before anything that stands on it.
                return
        again, self._must_resend = canvas.replica.is_sending, False
        ops = canvas.replica.unanswered if again else self._next_request()
        self._times = self._times + 1 if again else 1
        self._is_answered = False
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
            self._is_answered = True
            if self._times > 1:
                self._refusal = error
                canvas.heal = canvas.heal or "history"
            else:
                self._refuse(error)
        else:
            self._is_answered = True
            self._failures = 0
            self.overdue_at = asyncio.get_running_loop().time() + ANSWER_S
            if not self.is_blocked:
                canvas.problem = None
        canvas.pulse()

    def take(self, ack: Ack) -> bool:
        """Take what the server applied; return False if something before it was missed."""
        canvas = self._canvas
        try:
            taken = canvas.replica.take(ack)
        except ValueError:
            log.warning("the text drifted", extra={"canvas": canvas.ref, "version": canvas.replica.version})
            canvas.heal = "text"
            return True
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
        if self._times > 1 and self._canvas.replica.has_sent(event.op_id):
            self._doubts[event.op_id] = event
            self._canvas.heal = self._canvas.heal or "history"
        else:
            self._fail(event)

    def forget_doubts(self) -> None:
        """The text was read without what led to it: all that is under way is sent again, and told anew."""
        self._doubts.clear()
        self._refusal = None

    def decide(self) -> None:
        """Take for refused what was, and is not in the history, which was just read to its end.

        If the last copy was not answered, one more is sent, and what becomes of that is told. What was applied since
        the history was read is held as an ack. Edits are made again under other names: what is said to those is the
        last word.
        """
        doubts, self._doubts = self._doubts, {}
        refusal, self._refusal = self._refusal, None
        if not self._is_answered:
            return
        replica, applied = self._canvas.replica, {event.op_id for event in self._canvas.held if isinstance(event, Ack)}
        for event in doubts.values():
            if event.op_id not in applied and (replica.has_sent(event.op_id) or event.op_id in self._unheard):
                self._fail(event, is_last_word=False)
        # What was told of them may have gone with a stream that broke meanwhile.
        self.tell_unheard()
        if refusal is not None and replica.is_sending and not any(map(replica.has_sent, applied)):
            self._refuse(refusal)

    def tell_unheard(self) -> None:
        """Tell of operations that were not run what nobody will tell of them any more."""
        for event in tuple(self._unheard.values()):
            self._fail(event)

    def _next_request(self) -> Sequence[Op]:
        return self._canvas.replica.next_request(self._canvas.limits, new_name, raw_only=self.is_blocked)

    def _fail(self, event: Conflict | Failure, *, is_last_word: bool = True) -> None:
        canvas = self._canvas
        self._unheard.pop(event.op_id, None)
        if canvas.replica.has_sent(event.op_id):
            is_edit = event.op_id in {sent.op_id for sent in canvas.replica.edits_sent}
            for after in canvas.replica.fail(event.op_id):
                if after.is_raw:
                    self._unheard[after.op_id] = self._not_executed(after.op_id)
            if is_edit and is_last_word:
                self._mend(event)
            elif is_edit:
                self._conflicts += 1
        for writer in canvas.writers:
            writer.hear(event)
        canvas.outcomes.tell(event)

    def _not_executed(self, op_id: str) -> Conflict:
        return Conflict(
            canvas=self._canvas.ref,
            op_id=op_id,
            reason="not_executed",
            client_version=None,
            expected_version=self._canvas.replica.version,
            hint="An operation before it in the request failed: mend that one, then send this one again.",
            client_id=self._canvas.connection.client_id,
        )

    def _mend(self, event: Conflict | Failure) -> None:
        if isinstance(event, Conflict):
            if event.reason in _LOST_BASE:
                self._canvas.heal = "history"
            self._conflicts += event.reason != "not_executed"
        elif event.code in TEMPORARY:
            self._conflicts += 2
            self._canvas.problem = problem_of(OperationError(event))
        else:
            self.is_blocked = True
            self._canvas.problem = problem_of(OperationError(event))

    async def _pause(self, error: BusyError | UnreachableError | UnauthorizedError) -> None:
        self._failures += 1
        if not self.is_blocked:
            self._canvas.problem = problem_of(error)
        self._canvas.pulse()
        pause_s = min(PAUSE_S * 2.0 ** min(self._failures, 10), PAUSE_S_MAX)
        await asyncio.sleep(max(pause_s, error.retry_after_s) if isinstance(error, BusyError) else pause_s)

    def _refuse(self, error: RefusedError) -> None:
        """The request as a whole is refused: edits wait until something changes, raw operations are the caller's."""
        canvas = self._canvas
        canvas.outcomes.fail([str(op["op_id"]) for op in canvas.replica.unanswered], error)
        if canvas.replica.edits_sent:
            self.is_blocked = True
            canvas.problem = error.problem
        canvas.replica.drop_raw()
        canvas.replica.take_back()
