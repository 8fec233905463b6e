"""How a session gets back to the server's history after it missed something, or after a crash forgot something."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec

from canvas_server.client.changeset import ChangeSet
from canvas_server.client.courier import Courier
from canvas_server.client.errors import NotFoundError, RefusedError, UnreachableError
from canvas_server.client.opened import OpenCanvas
from canvas_server.client.unsaved import Entry
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.version import seq_of

PATIENCE_S: Final = 3.0
"""How long one waits for others to send again what the server forgot of theirs."""
_ROUNDS_MAX: Final = 20
_ENVELOPE_BYTES: Final = 64
"""Of a request, around its operations."""


class _Stretch(NamedTuple):
    """The server's history above the last checkpoint that is known."""

    head: str
    known: frozenset[str]


class Recovery:
    """Of one canvas.

    Args:
        canvas: to be healed.
        courier: takes the acks.
    """

    def __init__(self, canvas: OpenCanvas, courier: Courier) -> None:
        self._canvas = canvas
        self._courier = courier
        self.has_rewound = False
        """Whether lost edits are under way that are to be sent anew once the history is known."""
        self._unanswered: Sequence[Entry] = ()
        """Sent again, and perhaps to be applied still."""

    async def heal(self) -> None:
        """Get to the newest version; raises as `Connection.read` does.

        Raises:
            NotFoundError: there is no canvas any more.
        """
        await self._catch_up()
        if self._canvas.heal == "text":
            await self._mend_text()
        if self.has_rewound:
            self._canvas.replica.take_back()
            self.has_rewound = False
        self._courier.decide()
        self._courier.resend()

    async def _reread(self, version: str | None = None) -> None:
        state = await self._canvas.read(version)
        self._canvas.title = state.title
        self._canvas.show(self._canvas.replica.reread(state.text, state.version), "rebase")

    async def _mend_text(self) -> None:
        """Read the text as it was at our version, so that nothing which is under way can be in it unnoticed."""
        # It may have been forgotten since; or the canvas is gone, which is told next.
        with suppress(NotFoundError):
            await self._reread(self._canvas.replica.version)
        self._canvas.heal = "history"
        await self._catch_up()

    async def _catch_up(self) -> None:
        for _ in range(_ROUNDS_MAX):
            try:
                await self._take_history()
            except NotFoundError:
                await self._recover()
            else:
                self._unanswered = ()
                return
        await self._start_over()

    async def _take_history(self) -> None:
        async for page in self._canvas.history(self._canvas.replica.version):
            for ack in page.events:
                self._courier.take(ack)

    async def _recover(self) -> None:
        """The server does not know our version: find out what it has of our history, and give back what it lost."""
        replica, stretch = self._canvas.replica, await self._stretch()
        kept = None if stretch is None else replica.find_fork(stretch.known)
        if self._canvas.was_recreated or stretch is None:
            await self._start_over()
            return
        entries = replica.log.entries
        base = entries[0].base if entries else replica.version
        if kept is None and (seq_of(stretch.head) or 0) < (seq_of(base) or 0):
            # What was read when the canvas was opened is forgotten too: its authors may bring it back.
            kept = 0 if await self._hears(base) else None
            is_orderly = kept == 0
        else:
            is_orderly = kept is not None and stretch.head == self._version_at(kept)
        if kept is None:
            await self._start_over()
        elif not is_orderly or not await self._replay(entries[kept:]):
            await self._diverge()

    async def _stretch(self) -> _Stretch | None:
        """Return what the server has; None if that is nothing of ours for sure."""
        after = seq_of(self._canvas.replica.checkpoint) or 0
        known: set[str] = set()
        head = ""
        try:
            async for page in self._canvas.history(after):
                head = page.server_version
                known |= {version for ack in page.events for version in (ack.base_version, ack.server_version)}
        except NotFoundError:
            # Either the history is shorter than that, or there is no canvas: then this raises.
            await self._canvas.read()
            return None
        return _Stretch(head, frozenset(known | {head}))

    def _version_at(self, kept: int) -> str:
        entries = self._canvas.replica.log.entries
        return entries[kept].base if kept < len(entries) else self._canvas.replica.version

    async def _replay(self, lost: Sequence[Entry]) -> bool:
        """Have all that was lost sent again in its old order, which gives the old versions back.

        Returns:
            False if that cannot be, for others came first, or did not come back.
        """
        done = 0
        while done < len(lost):
            run = self._next_run(lost[done:])
            if not run and lost[done].is_own:
                return False
            if run and not await self._send(run):
                return False
            expected = max(len(run), 1)
            for entry in lost[done : done + expected]:
                if not await self._hears(entry.version):
                    return False
            done += expected
        return True

    def _next_run(self, lost: Sequence[Entry]) -> Sequence[Entry]:
        """Return what can be sent again in one request; nothing if the first is not ours to send."""
        limits, run = self._canvas.limits, list[Entry]()
        room = limits.body_bytes_max - _ENVELOPE_BYTES
        for entry in takewhile(lambda entry: entry.op is not None, lost[: limits.ops_max]):
            room -= len(msgspec.json.encode(entry.op)) + 1
            if run and room < 0:
                break
            run.append(entry)
        return run

    async def _send(self, run: Sequence[Entry]) -> bool:
        self._unanswered = run
        try:
            await self._canvas.connection.ask(
                "POST",
                f"{self._canvas.path}/ops:stream",
                query=[("unit", "codepoint")],
                body={"ops": [entry.op for entry in run]},
            )
        except RefusedError as error:
            if error.retryable:
                raise
            self._unanswered = ()
            return False
        self._unanswered = ()
        return True

    async def _hears(self, version: str) -> bool:
        """Wait until a version is told that is to come; False when another comes in its place, or none."""
        canvas, seq = self._canvas, seq_of(version) or 0

        def is_told() -> bool:
            return not canvas.is_connected or version in _told(canvas.held) or _is_passed(canvas, seq)

        try:
            async with asyncio.timeout(PATIENCE_S):
                await canvas.until(is_told)
        except TimeoutError:
            return False
        if not canvas.is_connected:
            raise UnreachableError("the stream broke off")
        return version in _told(canvas.held)

    async def _diverge(self) -> None:
        """Go back to the fork, take the server's way from there, and have what is lost of ours sent anew."""
        if self._unanswered:
            # Under its old names until it is answered: then the history tells what came of it.
            await self._send(self._unanswered)
        stretch = await self._stretch()
        kept = None if stretch is None else self._canvas.replica.find_fork(stretch.known)
        if kept is None:
            await self._start_over()
            return
        self._show_rewound(self._canvas.replica.rewind(kept))

    async def _start_over(self) -> None:
        """The server's history has nothing of ours: keep what this client wrote, and take the text as it is."""
        self._courier.forget_doubts()
        if not self._canvas.was_recreated:
            self._show_rewound(self._canvas.replica.rewind(0))
        else:
            self._adopt()
        await self._reread()
        self._canvas.was_recreated = False

    def _show_rewound(self, view: ChangeSet) -> None:
        self.has_rewound = True
        self._canvas.show(view, "rebase")
        self._adopt()

    def _adopt(self) -> None:
        for writer in self._canvas.writers:
            writer.adopt()


def _told(held: Sequence[object]) -> set[str]:
    return {event.server_version for event in held if isinstance(event, Ack)}


def _is_passed(canvas: OpenCanvas, seq: int) -> bool:
    """Tell whether the place of a version is taken by another, or what was sent for it is refused."""
    own = canvas.connection.client_id
    return any(
        (isinstance(event, Conflict | Failure) and event.client_id == own)
        or (isinstance(event, Ack) and (seq_of(event.server_version) or 0) >= seq)
        for event in canvas.held
    )
