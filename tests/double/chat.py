"""The chat API on the wire, as OpenAI's imitators and Mistral speak it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request

from tests.double.answer import Answer
from tests.double.faults import EarlyEndError, error_body, event, troubled
from tests.double.ledger import Api, Asked

DONE = b"data: [DONE]\n\n"


async def read_request(request: Request, api: Api) -> Asked:
    """Return what a chat request asks for."""
    body = await request.json()
    messages = body["messages"]
    prefix = messages[-1]["content"] if messages[-1].get("prefix") else ""
    prompts = [message["content"] for message in messages if not message.get("prefix")]
    response_format = body.get("response_format") or {}
    return Asked(
        api=api,
        model=body["model"],
        prompt="\n".join(prompts),
        prefix=prefix,
        schema=(response_format.get("json_schema") or {}).get("schema"),
        max_output_tokens=body.get("max_tokens") or body.get("max_completion_tokens"),
        usage=api != "local" or bool((body.get("stream_options") or {}).get("include_usage")),
        authorization=request.headers.get("authorization", ""),
        headers=dict(request.headers),
    )


async def stream(answer: Answer, *, usage_apart: bool) -> AsyncGenerator[bytes, None]:
    """Yield the answer as server-sent events.

    Args:
        answer: to read.
        usage_apart: OpenAI tells usage in a chunk of its own, Mistral with the finish reason.
    """
    yield _chunk(answer, {"role": "assistant", "content": ""})
    if answer.asked.prefix and answer.plan.echo_prefix:
        yield _chunk(answer, {"content": answer.asked.prefix})
    if answer.plan.fault == "refusal":
        yield _chunk(answer, {"refusal": "I will not."})
    error = event({"error": error_body(answer.asked, "server_error")})
    try:
        async for piece in troubled(answer, 0, error_event=error):
            yield piece if isinstance(piece, bytes) else _chunk(answer, {"content": piece})
    except EarlyEndError:
        return
    usage = {"usage": _usage(answer)} if answer.plan.usage and answer.asked.usage else {}
    if usage_apart:
        yield _chunk(answer, {}, _finish(answer))
        yield _event(answer, [], **usage)
    else:
        yield _chunk(answer, {"content": ""}, _finish(answer), **usage)
    yield DONE


def _finish(answer: Answer) -> str:
    match answer.plan.fault:
        case "content_filter":
            return "content_filter"
        case "failed":
            return "error"
        case _:
            return "length" if answer.cut_short else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    inputs, outputs = answer.usage
    return {
        "prompt_tokens": inputs,
        "completion_tokens": outputs,
        "total_tokens": inputs + outputs,
        "prompt_tokens_details": {"cached_tokens": answer.plan.cached_tokens},
    }


def _chunk(answer: Answer, delta: dict[str, str], finish: str | None = None, **fields: object) -> bytes:
    return _event(answer, [{"index": 0, "delta": delta, "finish_reason": finish}], **fields)


def _event(answer: Answer, choices: list[dict[str, Any]], **fields: object) -> bytes:
    head = {"id": f"chat-{answer.line.id}", "object": "chat.completion.chunk", "created": 1}
    return event({**head, "model": answer.asked.model, "choices": choices, **fields})
