"""The log: one line per fact on standard error, as text or as JSON.

Rules: nothing a client sends can start a line of its own or move a terminal's cursor, so whatever is not printable is
escaped. What looks like a credential is masked, whoever logs it. Only our own loggers follow the chosen level:
libraries speak from `warning` up, because their debug lines hold SQL parameters and streamed text, that is canvases.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TextIO, TypeAlias

from canvas_server.core.current import JOB_ID, REQUEST_ID

log = logging.getLogger(__name__)

MASK: Final = "***"

_Fact: TypeAlias = str | int | float | bool | list[str] | None
_ORIGIN: Final = frozenset({"request_id", "job_id"})

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_SECRET_NAME: Final = re.compile(r"(^|_)(api_?key|authorization|cookie|password|secret|token)$", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)
_OURS: Final = re.compile(r"cvs_[A-Za-z0-9_-]{16,}")
"""Whatever this server gives out that lets somebody in begins like that."""
_BARE: Final = re.compile(r"[^\s\"=\\]+")


def configure(level: str = "info", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send all log records to `stream`, replacing what an earlier call set up.

    Args:
        level: the least important thing our own loggers tell: debug, info, warning or error.
        as_json: one JSON object a line, not text.
        stream: standard error if not given.
    """
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    own = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(own, logging.WARNING))
    logging.getLogger("canvas_server").setLevel(own)
    # It prints queries, and so whatever a client put there; the web floor writes its own line.
    logging.getLogger("uvicorn.access").disabled = True


def catch_the_rest() -> None:
    """Have all else that Python would print on standard error told as log records, so that no line is of another form.

    That is: warnings, and exceptions that nobody catches, in any thread or in the collector.
    """
    logging.captureWarnings(capture=True)
    sys.excepthook = _tell_uncaught
    threading.excepthook = lambda thread: _tell_uncaught(thread.exc_type, thread.exc_value, thread.exc_traceback)
    sys.unraisablehook = lambda it: _tell_uncaught(it.exc_type, it.exc_value, it.exc_traceback)


def _tell_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log.critical("uncaught exception", exc_info=(kind, error or kind(), traceback))


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO canvas_server.web.ops message key=value`; tracebacks follow, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines that only the first of which starts at the margin."""
        head = f"{_time(record)} {record.levelname} {record.name} {_escaped(_masked(record.getMessage()))}"
        facts = [*_facts(record), *((name, value) for name, value in _origin(record).items() if value)]
        line = " ".join([head, *(f"{_escaped(name)}={_quoted(value)}" for name, value in facts)])
        trace = "".join(f"\n    | {_escaped(text)}" for text in _trace(record).split("\n") if text)
        return line + trace


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `logger`, `message`, `request_id`, the facts; `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON in ASCII, which no terminal and no reader can take for anything else."""
        entry: dict[str, object] = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        entry |= {"message": _masked(record.getMessage()), **_origin(record)}
        entry |= {name: value for name, value in _facts(record) if name not in entry}
        if trace := _trace(record):
            entry["exception"] = trace
        return json.dumps(entry, ensure_ascii=True, allow_nan=False)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second `configure` finds it and leaves the handlers of others alone."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name is logging's
        """Say in a line of the usual form that a record could not be told; nothing if that cannot be told either."""
        facts = {"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR", "msg": "record not told"}
        with suppress(Exception):
            self.stream.write(self.format(logging.makeLogRecord({**facts, "of": record.pathname})) + self.terminator)


def _origin(record: logging.LogRecord) -> dict[str, str | None]:
    """Return the request and the job that a record is told for; a record that names them itself knows best."""
    told = vars(record)
    origin: dict[str, str | None] = {"request_id": _text_or_none(told.get("request_id") or REQUEST_ID.get())}
    if job_id := _text_or_none(told.get("job_id") or JOB_ID.get()):
        origin["job_id"] = job_id
    return origin


def _text_or_none(value: object) -> str | None:
    return _masked(str(value)) if value else None


def _facts(record: logging.LogRecord) -> Iterator[tuple[str, _Fact]]:
    for name, value in vars(record).items():
        if name not in _STANDARD and name not in _ORIGIN:
            yield name, MASK if _SECRET_NAME.search(name) else _plain(value)


def _plain(value: object) -> _Fact:
    match value:
        case list() | tuple() if all(isinstance(item, str) for item in value):
            return [_masked(item) for item in value]
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            return _masked(str(value))


def _quoted(value: _Fact) -> str:
    if isinstance(value, list):
        return _quoted(",".join(value))
    if isinstance(value, str) and not _BARE.fullmatch(value):
        return '"' + _escaped(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'
    return _escaped(str(value))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _masked(text: str) -> str:
    return _OURS.sub(MASK, _CREDENTIAL.sub(rf"\1 {MASK}", text))


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return _masked(logging.Formatter().formatException(record.exc_info))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
