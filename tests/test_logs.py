"""`canvas_server.logs`: one line per fact, nothing that a client sends can forge one, no credential shows."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server import logs
from canvas_server.config import Secret
from canvas_server.core.current import JOB_ID, REQUEST_ID

TOKEN = "correct-horse-battery-staple"

any_text = st.text(st.characters(exclude_categories=[])) | st.sampled_from(
    ["a\nb", "\x1b[2J", "\u202eabc", "\ud800", "\x85"]
)
any_fact = st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary() | st.lists(any_text)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A place for log lines; afterwards logging is as it was before."""
    names = (None, "canvas_server", "uvicorn.access")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = logging.getLogger().handlers[:]
    yield io.StringIO()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger("uvicorn.access").disabled = False
    for logger, level in before:
        logger.setLevel(level)


def record(message: str, **facts: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "canvas_server.x", "levelno": 20, "levelname": "INFO", "msg": message})
    vars(made).update(facts)
    return made


def failed(error: Exception) -> logging.LogRecord:
    made = record("failed")
    try:
        raise error
    except type(error):
        made.exc_info = sys.exc_info()
    return made


def test_a_text_line_has_time_level_logger_message_and_facts() -> None:
    made = record("checkpoint", ref="notes", took_ms=1.5, reason="close quiet", ops=3, failed=False, error=None)
    made.created = 1_767_225_600.25

    line = logs.TextFormatter().format(made)

    assert line == (
        "2026-01-01T00:00:00.250Z INFO canvas_server.x checkpoint "
        'ref=notes took_ms=1.5 reason="close quiet" ops=3 failed=False error=None'
    )


def test_a_json_line_has_the_same_as_keys() -> None:
    made = record("checkpoint", ref="notes", took_ms=1.5, failed=False, error=None)
    made.created = 1_767_225_600.25

    assert json.loads(logs.JsonFormatter().format(made)) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "canvas_server.x",
        "message": "checkpoint",
        "request_id": None,
        "ref": "notes",
        "took_ms": 1.5,
        "failed": False,
        "error": None,
    }


def test_a_fact_with_quotes_or_signs_of_its_own_is_quoted() -> None:
    line = logs.TextFormatter().format(record("x", a='say "hi"', b="k=v", c="", d="back\\slash"))

    assert line.endswith(r' x a="say \"hi\"" b="k=v" c="" d="back\\slash"')


def test_a_fact_cannot_take_the_place_of_a_part_of_the_line() -> None:
    entry = json.loads(logs.JsonFormatter().format(record("x", level="forged", time="forged", logger="forged")))

    assert (entry["level"], entry["logger"]) == ("info", "canvas_server.x")
    assert entry["time"] != "forged"


@given(any_text, st.dictionaries(st.text(min_size=1), any_fact, max_size=3))
def test_any_record_is_one_printable_line_of_text(message: str, facts: dict[str, object]) -> None:
    line = logs.TextFormatter().format(record("%s", args=(message,), **renamed(facts)))

    assert line.isprintable()


@given(any_text, st.dictionaries(st.text(min_size=1), any_fact, max_size=3))
def test_any_record_is_one_ascii_line_of_json(message: str, facts: dict[str, object]) -> None:
    line = logs.JsonFormatter().format(record("%s", args=(message,), **renamed(facts)))

    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line)["message"] == message


def renamed(facts: dict[str, object]) -> dict[str, object]:
    """Keep the facts from being called like an attribute that a record has anyway."""
    return {f"fact {name}": value for name, value in facts.items()}


def test_a_traceback_cannot_be_taken_for_log_lines() -> None:
    lines = (
        logs.TextFormatter().format(failed(ValueError("a\n2026-01-01T00:00:00.000Z INFO forged\x1b[2J"))).split("\n")
    )

    assert len(lines) > 2
    assert all(line.startswith("    | ") and line.isprintable() for line in lines[1:])


def test_a_traceback_is_a_key_of_the_json_line() -> None:
    line = logs.JsonFormatter().format(failed(ValueError("a\nb")))

    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("ValueError: a\nb")


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
@pytest.mark.parametrize(
    "made",
    [
        record("x", token=TOKEN),
        record("x", client_token=TOKEN),
        record("x", api_key=TOKEN),
        record("x", Authorization=f"Bearer {TOKEN}"),
        record("x", cookie=TOKEN),
        record("x", actor=Secret(TOKEN)),
        record("x", header=f"authorization: Bearer {TOKEN}"),
        record(f"got bearer {TOKEN} from a client"),
        failed(ValueError(f"Bearer {TOKEN} is not known")),
    ],
)
def test_a_credential_is_masked_wherever_it_stands(formatter: logging.Formatter, made: logging.LogRecord) -> None:
    line = formatter.format(made)

    assert TOKEN not in line
    assert "***" in line


def test_counts_of_tokens_are_no_credentials() -> None:
    assert logs.TextFormatter().format(record("x", input_tokens=7)).endswith("input_tokens=7")


def test_our_loggers_follow_the_level_and_libraries_speak_from_warning_up(stream: io.StringIO) -> None:
    logs.configure("debug", stream=stream)

    logging.getLogger("canvas_server.x").debug("ours")
    logging.getLogger("aiosqlite").info("INSERT of a whole canvas")
    logging.getLogger("aiosqlite").warning("theirs")

    assert [line.split()[2:] for line in stream.getvalue().splitlines()] == [
        ["canvas_server.x", "ours"],
        ["aiosqlite", "theirs"],
    ]


def test_what_python_would_print_is_told_in_lines_of_the_same_form() -> None:
    program = (
        "import sys, threading, warnings\n"
        "from canvas_server import logs\n"
        "logs.configure(as_json=True)\n"
        "logs.catch_the_rest()\n"
        "warnings.warn('a warning')\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start()\n"
        "thread.join()\n"
        "class Unraisable:\n"
        "    def __del__(self): raise ValueError('in the collector')\n"
        "Unraisable()\n"
        "import logging\n"
        "logging.getLogger('canvas_server.x').info('%s %s', 'too few')\n"
        "raise KeyError('a\\nb')\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in told.stderr.splitlines()]
    assert told.returncode == 1
    assert [line["message"].split(":")[0] for line in lines] == [
        "<string>",
        "uncaught exception",
        "uncaught exception",
        "record not told",
        "uncaught exception",
    ]
    assert [line["exception"].rpartition("\n")[2].split(":")[0] for line in lines if "exception" in line] == [
        "ZeroDivisionError",
        "ValueError",
        "KeyError",
    ]


def test_a_line_names_the_request_and_the_job_it_is_told_for() -> None:
    def told() -> tuple[dict[str, object], str]:
        REQUEST_ID.set("r-1")
        JOB_ID.set("job-1")
        return json.loads(logs.JsonFormatter().format(record("x"))), logs.TextFormatter().format(record("x"))

    as_json, as_text = copy_context().run(told)
    assert (as_json["request_id"], as_json["job_id"]) == ("r-1", "job-1")
    assert as_text.endswith("x request_id=r-1 job_id=job-1")
    assert logs.TextFormatter().format(record("x")).endswith(" x")
    assert json.loads(logs.JsonFormatter().format(record("x", request_id="own")))["request_id"] == "own"


def test_several_names_are_a_list() -> None:
    made = record("x", op_ids=["a", f"Bearer {TOKEN}"])
    assert json.loads(logs.JsonFormatter().format(made))["op_ids"] == ["a", "Bearer ***"]
    assert logs.TextFormatter().format(record("x", op_ids=["a", "b.1"])).endswith(" op_ids=a,b.1")


def test_a_higher_level_holds_for_libraries_too(stream: io.StringIO) -> None:
    logs.configure("error", stream=stream)

    logging.getLogger("canvas_server.x").warning("ours")
    logging.getLogger("aiosqlite").warning("theirs")

    assert stream.getvalue() == ""


def test_the_access_log_of_uvicorn_is_off(stream: io.StringIO) -> None:
    logs.configure("debug", stream=stream)

    logging.getLogger("uvicorn.access").error("GET /?token=x")

    assert stream.getvalue() == ""


def test_configuring_again_replaces_the_first_and_leaves_other_handlers(stream: io.StringIO) -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    logs.configure(stream=io.StringIO())

    logs.configure(as_json=True, stream=stream)
    logging.getLogger("canvas_server.x").info("once")

    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["once"]
    assert other in logging.getLogger().handlers
