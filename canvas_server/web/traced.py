"""The span of a request: from its first line to the end of its answer, or to the beginning of a stream.

A stream lives for hours. Its span ends when it is established, for that is what took time; what follows is silence.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canvas_server.core.tracer import Span, Tracer

_OUR_FAULT: Final = 500


async def serve_traced(app: ASGIApp, tracer: Tracer, scope: Scope, receive: Receive, send: Send) -> None:
    """Have `app` serve a request within a span of `tracer`."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    with tracer.request(scope["method"], headers) as span:

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(span, scope, message["status"])
                if _begins_stream(message):
                    await send(message)
                    span.end()
                    return
            await send(message)

        await app(scope, receive, send_noted)


def _note(span: Span, scope: Scope, status: int) -> None:
    """Say what is known once the answer begins; a route is known by its template, which names no canvas."""
    method, state = scope["method"], scope["state"]
    facts = {"http.request.method": method, "http.response.status_code": status, "request_id": state["request_id"]}
    if route := state.get("route"):
        span.rename(f"{method} {route}")
        facts["http.route"] = route
    span.note(facts)
    if status >= _OUR_FAULT:
        span.fail(str(status))


def _begins_stream(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message.get("headers", ())
    )
