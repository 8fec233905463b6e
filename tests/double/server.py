"""The double as an ASGI app: what the providers' servers do, and what they would never tell.

/openai/v1      Responses API
/mistral        Mistral's chat API
/local/v1       the chat API of any other
/script         POST: how the next calls are answered
/ledger         GET: what is billed; /ledger/{call}/{field}/{least} waits until it is so
/calls          GET: what was asked
/reset          POST: forget everything
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.double import chat, responses
from tests.double.answer import Answer
from tests.double.faults import error_body, gone, refusal
from tests.double.ledger import Asked, Ledger, Line
from tests.double.script import Plan, Script

_WAIT_S: Final = 10.0


class Provider:
    """All providers in one."""

    def __init__(self) -> None:
        self._script = Script()
        self._ledger = Ledger()
        self._answers: dict[str, Answer] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    def app(self) -> Starlette:
        """What serves it."""
        chat_path = "/v1/chat/completions"
        return Starlette(
            routes=[
                Route("/openai/v1/responses", self.respond, methods=["POST"]),
                Route("/openai/v1/responses/{id}", self.retrieve),
                Route("/openai/v1/responses/{id}/cancel", self.cancel, methods=["POST"]),
                Route(f"/mistral{chat_path}", partial(self.chat, api="mistral"), methods=["POST"]),
                Route(f"/local{chat_path}", partial(self.chat, api="local"), methods=["POST"]),
                Route("/script", self.tell, methods=["POST"]),
                Route("/ledger", self.show_ledger),
                Route("/ledger/{call:int}/{field}/{least:int}", self.wait),
                Route("/calls", self.show_calls),
                Route("/reset", self.reset, methods=["POST"]),
            ]
        )

    async def chat(self, request: Request, *, api: str) -> Response:
        """Answer a chat."""
        answer = await self._begin(request, await chat.read_request(request, api))
        if isinstance(answer, Response):
            return answer
        return self._stream(answer, chat.stream(answer, usage_apart=api == "local"))

    async def respond(self, request: Request) -> Response:
        """Answer by the Responses API."""
        answer = await self._begin(request, await responses.read_request(request))
        if isinstance(answer, Response):
            return answer
        answer.line.response_id = f"resp_{answer.line.id}"
        self._answers[answer.line.response_id] = answer
        if answer.asked.background:
            self._do(answer)
        return self._stream(answer, responses.stream(answer))

    async def retrieve(self, request: Request) -> Response:
        """Tell an answer again, after an event."""
        answer = self._answers.get(request.path_params["id"])
        if answer is None or not answer.asked.background or answer.plan.fault == "forgotten":
            return _unknown(request)
        after = int(request.query_params.get("starting_after", -1))
        return self._stream(answer, responses.stream(answer, after))

    async def cancel(self, request: Request) -> Response:
        """Stop an answer."""
        answer = self._answers.get(request.path_params["id"])
        if answer is None or not answer.asked.background:
            return _unknown(request)
        if answer.plan.fault == "hang_cancel":
            await gone(request)
        else:
            answer.stop()
        return JSONResponse(responses.response(answer, "completed" if answer.line.finished else "cancelled"))

    async def tell(self, request: Request) -> Response:
        """Take a plan."""
        self._script.tell(msgspec.json.decode(await request.body(), type=Plan))
        return Response(status_code=204)

    async def show_ledger(self, _request: Request) -> Response:
        """Show the bill."""
        return _json(self._ledger.lines)

    async def show_calls(self, _request: Request) -> Response:
        """Show what was asked."""
        return _json(self._ledger.calls)

    async def wait(self, request: Request) -> Response:
        """Show a line once it is as it is waited for."""
        wanted = request.path_params
        try:
            async with asyncio.timeout(_WAIT_S):
                return _json(await self._ledger.until(wanted["call"], wanted["field"], wanted["least"]))
        except TimeoutError:
            return Response(status_code=504)

    async def reset(self, _request: Request) -> Response:
        """Forget everything."""
        for task in self._work:
            task.cancel()
        self._script, self._ledger, self._answers = Script(), Ledger(), {}
        return Response(status_code=204)

    async def _begin(self, request: Request, asked: Asked) -> Answer | Response:
        plan, line = self._script.take(), self._ledger.open(asked)
        refused = refusal(plan, asked)
        if refused is not None:
            line.status = refused.status_code
            return refused
        if plan.fault == "hang_before_headers":
            await self._hang(request, line)
            return Response(status_code=504)
        return Answer(asked, plan, line, self._ledger)

    async def _hang(self, request: Request, line: Line) -> None:
        line.open_streams += 1
        await gone(request)
        line.disconnected = True
        self._closed(line)

    def _stream(self, answer: Answer, events: AsyncGenerator[bytes, None]) -> Response:
        return StreamingResponse(self._watched(answer, events), media_type="text/event-stream")

    async def _watched(self, answer: Answer, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes]:
        answer.line.open_streams += 1
        try:
            async with aclosing(events):
                async for data in events:
                    yield data
        except (asyncio.CancelledError, GeneratorExit):
            answer.line.disconnected = True
            if answer.plan.fault == "ignore_disconnect" and not answer.asked.background:
                self._do(answer)
            raise
        finally:
            self._closed(answer.line)

    def _closed(self, line: Line) -> None:
        line.open_streams -= 1
        self._ledger.changed()

    def _do(self, answer: Answer) -> None:
        task = asyncio.ensure_future(answer.produce())
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _unknown(request: Request) -> Response:
    asked = Asked(api="openai", model="", prompt="", authorization=request.headers.get("authorization", ""))
    return JSONResponse({"error": error_body(asked, "not_found")}, 404)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
