"""What goes wrong whatever the API: answers that are only a status, and streams that do not end as they should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.double.answer import Answer
from tests.double.ledger import Asked
from tests.double.script import STATUSES, Plan

_DRIP_S: Final = 0.02
MALFORMED: Final = b'data: {"choices": [\n\n'


class CutError(Exception):
    """Breaks a connection: uvicorn closes it without an end."""


class EarlyEndError(Exception):
    """Ends a stream cleanly and too early."""


def refusal(plan: Plan, asked: Asked) -> Response | None:
    """Return the answer of a call that gets no stream; it echoes key and prompt, as a careless provider does."""
    fault = "400" if plan.fault == "refuse_prefix" and asked.prefix else plan.fault
    if fault == "redirect":
        return RedirectResponse("http://127.0.0.1:9/elsewhere", 307)
    if fault not in STATUSES:
        return None
    headers = {} if plan.retry_after is None else {"Retry-After": str(plan.retry_after)}
    return JSONResponse({"error": error_body(asked, fault)}, STATUSES[fault], headers)


def error_body(asked: Asked, code: str) -> dict[str, object]:
    """Return an error as the providers write it."""
    message = f"Incorrect request by {asked.authorization}: {asked.prompt}"
    return {"message": message, "type": "invalid_request_error", "param": None, "code": code}


async def gone(request: Request) -> None:
    """Wait until the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def troubled(answer: Answer, start: int, *, error_event: bytes) -> AsyncGenerator[str | bytes, None]:
    """Yield words, and bytes that go out as they are, until the answer ends or the fault of its plan comes.

    Args:
        answer: read from word `start` on.
        start: the first word.
        error_event: how the API tells an error in the middle of a stream.

    Raises:
        CutError: the connection is to break.
        EarlyEndError: the stream is to end here.
    """
    answer.readers += 1
    met = answer.readers <= answer.plan.readers
    sent = start
    async with aclosing(answer.read(start)) as words:
        while True:
            if met and sent >= answer.plan.after_words:
                async for junk in _fault(answer.plan, error_event):
                    yield junk
            word = await anext(words, None)
            if word is None:
                return
            yield word
            sent += 1


async def _fault(plan: Plan, error_event: bytes) -> AsyncGenerator[bytes, None]:
    match plan.fault:
        case "cut":
            raise CutError
        case "no_finish":
            raise EarlyEndError
        case "hang_during" | "hang_before_text":
            await asyncio.Event().wait()
        case "drip":
            while True:
                yield b": still here\n\n"
                await asyncio.sleep(_DRIP_S)
        case "malformed":
            yield MALFORMED
            raise EarlyEndError
        case "error_event":
            yield error_event
            raise EarlyEndError
        case _:
            pass


def event(data: object, name: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + json.dumps(data).encode() + b"\n\n"
