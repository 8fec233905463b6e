"""OpenAI's Responses API on the wire.

Events are numbered: four open the answer, then one comes for each word, and four close it, so that a reader can go on
after any of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from starlette.requests import Request

from tests.double.answer import Answer
from tests.double.faults import EarlyEndError, error_body, event, troubled
from tests.double.ledger import Asked

_OPENING: Final = 4
_PART: Final = {"item_id": "item-1", "output_index": 0, "content_index": 0}


async def read_request(request: Request) -> Asked:
    """Return what a request asks for."""
    body = await request.json()
    text_format = body.get("text", {}).get("format", {})
    return Asked(
        api="openai",
        model=body["model"],
        prompt=body["input"],
        schema=text_format.get("schema"),
        strict=text_format.get("strict"),
        max_output_tokens=body.get("max_output_tokens"),
        background=bool(body.get("background")),
        store=body.get("store"),
        authorization=request.headers.get("authorization", ""),
        headers=dict(request.headers),
    )


async def stream(answer: Answer, after: int = -1) -> AsyncGenerator[bytes, None]:
    """Yield the events numbered above `after`."""
    for number, data in enumerate(_opening(answer)):
        if number > after:
            yield _event(number, data)
    if answer.plan.fault == "refusal":
        yield _event(_OPENING, {"type": "response.refusal.delta", **_PART, "delta": "I will not."})
    number = max(_OPENING, after + 1)
    error = event({**error_body(answer.asked, "server_error"), "type": "error", "sequence_number": number}, "error")
    try:
        async for piece in troubled(answer, max(0, after + 1 - _OPENING), error_event=error):
            if isinstance(piece, bytes):
                yield piece
                continue
            yield _event(number, {"type": "response.output_text.delta", **_PART, "delta": piece, "logprobs": []})
            number += 1
    except EarlyEndError:
        return
    for place, data in enumerate(_closing(answer), _OPENING + len(answer.pieces)):
        if place > after:
            yield _event(place, data)


def _opening(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": response(answer, "in_progress")},
        {"type": "response.in_progress", "response": response(answer, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": _message("")},
        {"type": "response.content_part.added", **_PART, "part": _text("")},
    ]


def _closing(answer: Answer) -> list[dict[str, Any]]:
    text = answer.text
    return [
        {"type": "response.output_text.done", **_PART, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **_PART, "part": _text(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(text)},
        _last(answer),
    ]


def _last(answer: Answer) -> dict[str, Any]:
    if answer.line.cancelled:
        return {"type": "response.cancelled", "response": response(answer, "cancelled")}
    if answer.plan.fault == "failed":
        error = error_body(answer.asked, "server_error")
        return {"type": "response.failed", "response": {**response(answer, "failed"), "error": error}}
    reason = "content_filter" if answer.plan.fault == "content_filter" else "max_output_tokens"
    if answer.cut_short or reason == "content_filter":
        details = {"incomplete_details": {"reason": reason}}
        return {"type": "response.incomplete", "response": {**response(answer, "incomplete"), **details}}
    return {"type": "response.completed", "response": response(answer, "completed")}


def response(answer: Answer, status: str) -> dict[str, Any]:
    """Return the response object."""
    told = answer.plan.usage and status != "in_progress"
    return {
        "id": answer.line.response_id,
        "object": "response",
        "created_at": 1,
        "model": answer.asked.model,
        "status": status,
        "output": [_message(answer.text)] if answer.pieces else [],
        "usage": _usage(answer) if told else None,
        "error": None,
        "incomplete_details": None,
        "background": answer.asked.background,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }


def _usage(answer: Answer) -> dict[str, Any]:
    inputs, outputs = answer.usage
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": answer.plan.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": answer.plan.reasoning_tokens},
        "total_tokens": inputs + outputs,
    }


def _message(text: str) -> dict[str, Any]:
    return {"id": "item-1", "type": "message", "role": "assistant", "status": "completed", "content": [_text(text)]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _event(number: int, data: dict[str, Any]) -> bytes:
    return event({**data, "sequence_number": number}, data["type"])
