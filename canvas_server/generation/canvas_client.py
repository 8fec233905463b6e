"""A client of one canvas over HTTP, with no way in but the public one: it submits, listens, and reads the history."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Literal

import httpx2
import msgspec

from canvas_server.core.errors import CanvasError

log = logging.getLogger(__name__)

_NDJSON: Final = "application/x-ndjson"
_REQUEST_S: Final = 10.0
_SILENCE_S: Final = 45.0
"""Of a stream that has a heartbeat every 15 s: it is lost."""
_RECONNECT_S: Final = 0.5
_HISTORY_PAGE: Final = 1_000


class CanvasUnavailableError(CanvasError):
    """The canvas did not take what was sent, now; nothing more is known."""

    code = "CANVAS_UNAVAILABLE"


class CanvasRefusedError(CanvasError):
    """The canvas does not take it, however often it is sent."""

    code = "CANVAS_NOT_WRITTEN"


class Heard(msgspec.Struct, frozen=True):
    """What of an event matters to an author."""

    type: str
    op_id: str = ""
    server_version: str = ""
    expected_version: str = ""
    reason: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    action: str = ""
    duplicate: bool = False

    @property
    def applied(self) -> bool:
        """Whether it tells that an operation was applied."""
        return self.type == "ack"


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""
    hint: str = ""
    retryable: bool = False


class Applied(msgspec.Struct, frozen=True):
    """An operation of the history."""

    op_id: str
    action: str
    changes: tuple[dict[str, object], ...]
    meta: dict[str, str] = {}


class _History(msgspec.Struct, frozen=True):
    events: tuple[Applied, ...]
    next_after: int | None = None


_GONE: Final = Heard("deleted")
"""What is heard last, whether the canvas was deleted or the right to it was lost."""

_decode_event: Final = msgspec.json.Decoder(Heard).decode
_decode_problem: Final = msgspec.json.Decoder(_Problem).decode
_decode_history: Final = msgspec.json.Decoder(_History).decode
_encode: Final = msgspec.json.Encoder().encode


class CanvasClient:
    """Use as an async context manager: it listens from then on.

    Args:
        base_url: of the server.
        ref: of the canvas.
        token: says who writes.
        client_id: names this client among those of the same actor.
        hear: is told each outcome in order, and at last that there is no canvas for it any more.
        headers: go with each request.
    """

    def __init__(
        self,
        base_url: str,
        ref: str,
        token: str,
        client_id: str,
        hear: Callable[[Heard], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._path = f"/api/v2/canvas/{ref}"
        self._client_id = client_id
        self._hear = hear
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={**(headers or {}), "Authorization": f"Bearer {token}", "X-Client-Id": client_id},
            timeout=httpx2.Timeout(_REQUEST_S, read=None),
            trust_env=False,
            # Plain HTTP to ourselves: reading all certificates of the system would hold up the loop for nothing.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        self._exit = AsyncExitStack()
        self._listening: asyncio.Task[None] | None = None
        self._last_event_id: str | None = None
        self._started = asyncio.Event()
        self.version = ""
        """The newest that was heard of."""
        self.gone: CanvasRefusedError | None = None
        """Why there is nothing to listen to any more."""

    async def __aenter__(self) -> CanvasClient:
        await self._exit.enter_async_context(self._http)
        self._listening = asyncio.get_running_loop().create_task(self._listen(), name="canvas-client")
        self._exit.push_async_callback(self._stop_listening)
        try:
            async with asyncio.timeout(_REQUEST_S):
                await self._started.wait()
        except BaseException as error:
            await self._exit.aclose()
            if isinstance(error, TimeoutError):
                raise CanvasUnavailableError("the canvas did not answer", hint="Try again.") from error
            raise
        if self.gone is not None:
            await self._exit.aclose()
            raise self.gone
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def upload(self, lines: AsyncIterable[bytes]) -> None:
        """Send lines as they come, in one request; returns when the last was taken.

        Raises:
            CanvasUnavailableError: the request ended before its end.
            CanvasRefusedError: it was refused for good.
        """
        await self._ask("POST", "/ops:stream", content=lines, headers={"Content-Type": _NDJSON})

    async def submit(self, operations: Sequence[dict[str, object]]) -> None:
        """Send operations in one request; the errors are those of `upload`."""
        body = _encode({"ops": operations})
        await self._ask("POST", "/ops:stream", content=body, headers={"Content-Type": "application/json"})

    async def outcome(self, op_id: str) -> Heard | None:
        """Ask what became of an operation; None if the server never saw it."""
        try:
            return _decode_event((await self._ask("GET", f"/ops/{op_id}")).content)
        except CanvasRefusedError:
            return None

    async def read_version(self) -> str:
        """Read the newest version again."""
        self.version = (await self._ask("HEAD", "")).headers["etag"]
        return self.version

    async def applied_since(self, version: str, prefix: str) -> Sequence[Applied]:
        """Return the operations after a version whose names begin with `prefix`, in order.

        None are found where a crash made the server forget that version: what came after it is forgotten too.

        Raises:
            CanvasRefusedError: the history was cut since, so nobody can tell.
        """
        found: list[Applied] = []
        after: str | int | None = version
        while after is not None:
            try:
                page = await self._read_history(after)
            except CanvasRefusedError:
                await self._read_history(0)
                return found
            found += [op for op in page.events if op.op_id.startswith(prefix)]
            after = page.next_after
        return found

    async def _read_history(self, after: str | int) -> _History:
        answer = await self._ask("GET", "/ops", params={"after": str(after), "limit": str(_HISTORY_PAGE)})
        return _decode_history(answer.content)

    async def _ask(
        self,
        method: Literal["GET", "HEAD", "POST"],
        path: str,
        *,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx2.Response:
        try:
            answer = await self._http.request(
                method, self._path + path, content=content, headers=headers, params=params
            )
        except httpx2.TransportError as error:
            raise CanvasUnavailableError("the server did not answer", hint="Try again.") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)

    async def _listen(self) -> None:
        while self.gone is None:
            try:
                await self._listen_once()
            except httpx2.TransportError as error:
                log.debug("stream lost", extra={"reason": type(error).__name__})
            await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        headers = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        query = {"unit": "codepoint", "snapshot": "false"}
        timeout = httpx2.Timeout(_REQUEST_S, read=_SILENCE_S)
        url = f"{self._path}/ops:listen"
        async with self._http.stream("GET", url, params=query, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                await answer.aread()
                error = _refusal(answer)
                if isinstance(error, CanvasRefusedError):
                    self._end(error)
                return
            rest = b""
            async for piece in answer.aiter_raw():
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    self._take(block)

    def _take(self, block: bytes) -> None:
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"id":
                self._last_event_id = value.decode()
            elif name == b"data":
                self._take_event(_decode_event(value))

    def _take_event(self, event: Heard) -> None:
        match event.type:
            case "start" | "snapshot":
                self.version = event.server_version
                self._started.set()
            case "ack" if not event.duplicate:
                self.version = event.server_version
            case "deleted":
                self._end(CanvasRefusedError("the canvas was deleted", hint="Read the text from the job."))
            case _:
                pass
        if event.op_id:
            self._hear(event)

    def _end(self, error: CanvasRefusedError) -> None:
        """There is nothing to listen to any more: say so to whoever waits for an outcome."""
        self.gone = error
        self._started.set()
        self._hear(_GONE)

    async def _stop_listening(self) -> None:
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.wait({self._listening})


def _refusal(answer: httpx2.Response) -> CanvasError:
    try:
        problem = _decode_problem(answer.content)
    except msgspec.MsgspecError:
        problem = _Problem(detail=f"the server answered {answer.status_code}")
    kind = CanvasUnavailableError if problem.retryable else CanvasRefusedError
    return kind(problem.detail, hint=problem.hint)
