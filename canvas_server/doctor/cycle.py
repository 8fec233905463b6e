"""The life of a canvas in a few seconds: made, listened to, written, saved, read back and deleted.

Rule: it leaves nothing behind, whatever goes wrong; and it tells a server that does not work from a proxy that does not
let events through.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from time import monotonic
from typing import Final

from canvas_server.doctor.finding import Finding, Level
from canvas_server.doctor.visit import Answer, UnreachableError, Visit

EVENT_S_ENOUGH: Final = 1.0
"""From sending an operation to hearing its ack."""
_OPS: Final = 3
_LANGUAGE: Final = "# Doctor\n"
_CREATED: Final = 201
_TAKEN: Final = 202
_OK: Final = 200
_DELETED: Final = 204
_NOT_ALLOWED: Final = frozenset({401, 403, 404})
_BUFFERED: Final = (
    "turn off buffering of text/event-stream in the proxy (nginx: `proxy_buffering off`, `gzip off`; see running.md,"
    " Behind a reverse proxy)"
)


class _FailedError(Exception):
    """A step did not do what it should."""

    def __init__(self, step: str, answer: Answer) -> None:
        super().__init__(f"{step}: {answer.refusal}")
        self.hint = answer.hint


def cycle(visit: Visit) -> Iterator[Finding]:
    """Yield how the canvas fared, how fast its events were heard, and whether it is gone again."""
    path = f"/api/v2/canvas/doctor-{secrets.token_hex(8)}"
    try:
        made = visit.ask("PUT", path, {"title": "doctor", "content": _LANGUAGE})
    except UnreachableError as error:
        yield Finding("cycle", "fail", f"making a canvas: {error}", "see the log of the server")
        return
    if made.status in _NOT_ALLOWED:
        level: Level = "warn" if made.status == 401 else "ok"
        mend = "put a token that may write into CANVAS_TOKEN" if level == "warn" else ""
        yield Finding("cycle", level, f"left out: this token may not make canvases ({made.refusal})", mend)
        return
    if made.status != _CREATED:
        yield Finding("cycle", "fail", f"making a canvas: {made.refusal}", made.hint or "see the log of the server")
        return
    try:
        yield from _live(visit, path, str(made.field("version")))
    except (_FailedError, UnreachableError) as error:
        mend = getattr(error, "hint", "") or "see the log of the server"
        yield Finding("cycle", "fail", str(error), mend)
    finally:
        left = _delete(visit, path)
    if left:
        yield Finding("tidying up", "warn", f"{path} is still there: {left}", "delete it")


def _live(visit: Visit, path: str, version: str) -> Iterator[Finding]:
    """Write and hear, then save and read back."""
    text, heard_s, deaf = _LANGUAGE, [], ""
    try:
        with visit.listen(f"{path}/ops:listen") as events:
            _until(events, "snapshot", "")
            for number in range(_OPS):
                started_s = monotonic()
                word, op_id = f"{number}", f"doctor-{number}"
                text, version = text + word, _write(visit, path, version, op_id, word)
                _until(events, "ack", op_id)
                heard_s.append(monotonic() - started_s)
    except UnreachableError as error:
        deaf = str(error)
    if not text.endswith(f"{_OPS - 1}"):
        # Nothing was heard, or not all: whether the server takes what is written is another question.
        for number in range(len(text) - len(_LANGUAGE), _OPS):
            text, version = text + f"{number}", _write(visit, path, version, f"doctor-{number}", f"{number}")
    yield _stream(heard_s, deaf)
    started_s = monotonic()
    _expect("closing it", visit.ask("POST", f"{path}:close"), _OK)
    saved_s = monotonic() - started_s
    read = _expect("reading it", visit.ask("GET", path, headers={"Accept": "text/markdown"}), _OK)
    if read.body != text.encode():
        detail = f"{len(read.body)} bytes came back that are not the {len(text)} that were written"
        yield Finding("cycle", "fail", detail, "keep the data folder as it is, and report this")
    else:
        detail = f"made, written {_OPS} times, on disk in {saved_s * 1000:.0f} ms, read back"
        yield Finding("cycle", "ok", detail)


def _until(events: Iterator[dict[str, object]], kind: str, op_id: str) -> None:
    """Wait for an event; raises `UnreachableError` when it does not come."""
    for event in events:
        if event.get("type") == kind and (not op_id or event.get("op_id") == op_id):
            return


def _write(visit: Visit, path: str, version: str, op_id: str, word: str) -> str:
    """Append a word; return the version that has it, which the server is asked for, not the stream."""
    target = {"type": "position", "position": {"mode": "end"}}
    op = {"op_id": op_id, "client_version": version, "action": "insert", "target": target, "content": word}
    _expect("writing", visit.ask("POST", f"{path}/ops:stream", {"ops": [op]}), _TAKEN)
    outcome = _expect("asking for the outcome", visit.ask("GET", f"{path}/ops/{op_id}"), _OK)
    if outcome.field("type") != "ack":
        raise _FailedError(f"writing ended as {outcome.field('type')}", outcome)
    return str(outcome.field("server_version"))


def _stream(heard_s: list[float], deaf: str) -> Finding:
    if deaf:
        detail = f"{len(heard_s)} of {_OPS} acks were heard, though all were made: {deaf}"
        return Finding("event stream", "fail", detail, _BUFFERED)
    slowest_s = max(heard_s)
    detail = f"each ack was heard within {slowest_s * 1000:.0f} ms of sending"
    if slowest_s > EVENT_S_ENOUGH:
        return Finding("event stream", "fail", detail, _BUFFERED)
    return Finding("event stream", "ok", detail)


def _expect(step: str, answer: Answer, status: int) -> Answer:
    if answer.status != status:
        raise _FailedError(step, answer)
    return answer


def _delete(visit: Visit, path: str) -> str:
    """Delete the canvas; return why it is still there, or nothing."""
    try:
        answer = visit.ask("DELETE", path)
    except UnreachableError as error:
        return str(error)
    return "" if answer.status == _DELETED else answer.refusal
