"""The writer of a job: brings the text of a job into a canvas, as any client would.

It streams NDJSON under scope `section`, joins what comes within a moment into one operation, and after a conflict reads
the version again and goes on behind what it wrote last. The names of its operations say where in the text they begin,
so that after a crash the history tells how far the text had come.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from canvas_server.core.content import normalise
from canvas_server.core.job import CanvasOutput, Job
from canvas_server.core.job_event import CanvasResult
from canvas_server.generation.canvas_client import (
    Applied,
    CanvasClient,
    CanvasRefusedError,
    CanvasUnavailableError,
    Heard,
)
from canvas_server.generation.outcomes import Outcomes

log = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder().encode

_IDLE_S: Final = 10.0
"""A request that has nothing to send for so long is ended; the next text begins another."""
_TROUBLES_MAX: Final = 50
"""Conflicts and lost requests in a row, without a word written in between."""
_RETRY_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
_LINE_CHARS_MAX: Final = 16 * 1024
_BATCH: Final = 25
"""Operations that are taken back in one request: they are applied in one turn of the server's loop."""


class Writer:
    """Writes the text of one attempt of a job.

    Args:
        job: says where, and names itself in what it writes.
        attempt: whose text; each has operations of its own.
        join_s: how long text is joined into one operation.
    """

    def __init__(self, job: Job, attempt: int, join_s: float) -> None:
        assert job.spec.canvas is not None
        self._output: CanvasOutput = job.spec.canvas
        self._meta = _meta(job)
        self._prefix = f"{job.id}-{attempt}-"
        self._join_s = join_s
        self._text = ""
        self._half = ""
        self._whole = False
        self._more = asyncio.Event()
        self._written = 0
        self._applied: list[str] = []
        self._last: str | None = None
        self._outcomes = Outcomes()
        self._lengths: dict[str, int] = {}
        self._client: CanvasClient | None = None

    def connect(
        self, base_url: str, token: str, client_id: str, headers: Mapping[str, str] | None = None
    ) -> CanvasClient:
        """Return the client that this writer is to be run with; `headers` go with each of its requests."""
        self._client = CanvasClient(base_url, self._output.ref, token, client_id, self._hear, headers)
        return self._client

    @property
    def result(self) -> CanvasResult:
        """What was written."""
        assert self._client is not None
        return CanvasResult(ref=self._output.ref, server_version=self._client.version, ops=len(self._applied))

    def feed(self, text: str) -> None:
        """Take in more of the text."""
        text = self._half + text
        # What ends in half of a line end waits for the other half.
        self._half = "\r" if text.endswith("\r") else ""
        self._text += normalise(text[:-1] if self._half else text).replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._more.set()

    def finish(self) -> None:
        """Say that the text is whole."""
        self._text += normalise(self._half)
        self._half = ""
        self._whole = True
        self._more.set()

    async def recall(self, since: str) -> None:
        """Find out how much of the text an earlier life of this server has written since a version."""
        assert self._client is not None
        for op in await self._client.applied_since(since, self._prefix):
            if op.action != "revert":
                self._written += _carried(op)
                self._note(op.op_id)

    async def run(self) -> None:
        """Write until the text is whole and all of it is in the canvas.

        Raises:
            CanvasRefusedError: it cannot be written.
        """
        troubles = 0
        while not (self._whole and self._written >= len(self._text)):
            before = self._written
            await self._wait_for_text()
            try:
                await self._write_on()
            except CanvasUnavailableError as error:
                log.info("canvas busy", extra={"canvas": self._output.ref, "reason": str(error)})
            troubles = 0 if self._written > before else troubles + 1
            if troubles >= _TROUBLES_MAX:
                raise CanvasRefusedError("the text could not be written: others kept changing the very place")
            if troubles:
                await asyncio.sleep(_RETRY_S[min(troubles, len(_RETRY_S)) - 1])

    async def revert(self) -> int:
        """Undo what was written, newest first; what somebody changed since stays. Return how many stay.

        Raises:
            CanvasUnavailableError, CanvasRefusedError: the rest could not be undone.
        """
        assert self._client is not None
        await self._absorb(self._client)
        waiting = deque(reversed(self._applied))
        kept = 0
        while waiting:
            batch = [waiting.popleft() for _ in range(min(_BATCH, len(waiting)))]
            undone = await self._undo(self._client, batch)
            if undone < len(batch):
                kept += 1
                waiting.extendleft(reversed(batch[undone + 1 :]))
        self._applied.clear()
        return kept

    async def _write_on(self) -> None:
        """Send what is not written yet in one request, and wait for what becomes of it."""
        assert self._client is not None
        self._outcomes = Outcomes(failed=self._more.set)
        version = await self._client.read_version()
        try:
            await self._client.upload(self._lines(version))
        finally:
            await self._absorb(self._client)
        if self._client.gone is not None:
            raise self._client.gone
        failure = self._outcomes.failure
        if failure is not None and failure.type == "error":
            self._reconsider(failure)

    async def _absorb(self, client: CanvasClient) -> None:
        """Wait until it is known what was applied, and remember it."""
        try:
            await self._outcomes.settle(client)
        finally:
            for op_id in self._outcomes.applied:
                self._written += self._lengths.pop(op_id)
                self._note(op_id)
            self._outcomes.applied.clear()

    async def _lines(self, version: str) -> AsyncIterator[bytes]:
        offset = self._written
        name, number = f"{self._prefix}{offset}", 0
        while self._outcomes.failure is None:
            piece = self._text[offset : offset + _LINE_CHARS_MAX]
            if piece:
                op_id = f"{name}.{number}" if number else name
                self._lengths[op_id] = len(piece)
                self._outcomes.expect(op_id)
                yield _encode({"content": piece} if number else self._first(name, version, piece)) + b"\n"
                offset, number = offset + len(piece), number + 1
                await asyncio.sleep(self._join_s)
            elif self._whole or not await self._more_comes():
                return

    def _first(self, op_id: str, version: str, piece: str) -> dict[str, object]:
        """Return the operation that begins a request: where the job was told, or behind what it wrote last."""
        operation: dict[str, object] = {
            "op_id": op_id,
            "client_version": version,
            "scope": "section",
            "content": piece,
            "meta": {**self._meta, "length": str(len(piece))},
        }
        if self._last is not None:
            target = {"type": "op", "op": {"op_id": self._last}}
            return {**operation, "action": "insert", "where": "after", "target": target}
        operation |= {"action": self._output.action, "target": self._output.target}
        if self._output.where is not None:
            operation["where"] = self._output.where
        if self._output.options is not None:
            operation["options"] = self._output.options
        return operation

    def _hear(self, event: Heard) -> None:
        self._outcomes.hear(event)

    def _reconsider(self, failure: Heard) -> None:
        """Go back to the place that was asked for if what was written last is gone; give up if that is not there."""
        if failure.code == "STORAGE_UNAVAILABLE":
            return
        lost = failure.code in ("TARGET_NOT_FOUND", "UNKNOWN_OP") and self._last is not None
        # Any other action would do away with what somebody wrote there since.
        if lost and self._output.action == "insert":
            self._last = None
            return
        raise CanvasRefusedError(f"the text could not be written: {failure.message}", hint=failure.hint)

    async def _undo(self, client: CanvasClient, op_ids: Sequence[str]) -> int:
        """Revert operations in one request; return how many were, up to the first that could not be."""
        version = await client.read_version()
        names = [f"{op_id.replace('.', '_')}-undo" for op_id in op_ids]
        operations: list[dict[str, object]] = [
            {"op_id": name, "action": "revert", "scope": "range", "target": {"type": "op", "op": {"op_id": op_id}}}
            for name, op_id in zip(names, op_ids, strict=True)
        ]
        operations[0]["client_version"] = version
        outcomes = self._outcomes = Outcomes()
        for name in names:
            outcomes.expect(name)
        await client.submit(operations)
        await outcomes.settle(client)
        self._outcomes = Outcomes()
        return len(outcomes.applied)

    def _note(self, op_id: str) -> None:
        """Remember an operation that was applied."""
        self._applied.append(op_id)
        self._last = op_id

    async def _wait_for_text(self) -> None:
        while not self._whole and self._written >= len(self._text):
            self._more.clear()
            await self._more.wait()

    async def _more_comes(self) -> bool:
        """Wait for more text; False if none comes for a while."""
        self._more.clear()
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._more.wait()
        except TimeoutError:
            return False
        return True


def _carried(op: Applied) -> int:
    """Return how much of the job's text an operation carries: the first of a request says, its continuations are it."""
    if "length" in op.meta:
        return int(op.meta["length"])
    return sum(len(str(change.get("insert", ""))) for change in op.changes)


def _meta(job: Job) -> dict[str, str]:
    meta = {"job": job.id, "provider": job.spec.provider, "model": job.spec.model[:256]}
    return meta | ({"preset": job.spec.preset_id} if job.spec.preset_id else {})
