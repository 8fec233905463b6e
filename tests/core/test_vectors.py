"""The published vectors: what an operation does to a text, and how a version comes about."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Failure
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, Unit
from canvas_server.core.ports import CanvasKey
from canvas_server.core.splice import Splice, apply_changes
from canvas_server.core.version import genesis, next_version, parse_etag

VECTORS = Path(__file__).parent.parent / "vectors"
OPS = json.loads((VECTORS / "ops.json").read_text())
VERSIONS = json.loads((VECTORS / "versions.json").read_text())
AUTHOR = Author("ada", "human", "tab-1")


def canvas_of(content: str) -> Canvas:
    version = genesis("0123456789abcdef")
    document = Document(content, version)
    return Canvas(CanvasKey(1), CanvasRef("c"), "C", document, History(version, 10_000))


@pytest.mark.parametrize("case", OPS, ids=[case["name"] for case in OPS])
def test_an_operation_does_what_its_vector_says(case: dict[str, object]) -> None:
    canvas = canvas_of(str(case["before"]))
    operation = msgspec.convert({**dict(case["op"]), "op_id": "op-1"}, Operation)  # type: ignore[call-overload]
    unit: Unit = "utf16" if case["unit"] == "utf16" else "codepoint"
    outcome = canvas.submit(operation, canvas.version.etag, unit, AUTHOR, Limits(), now_ms=1)
    text = str(canvas.document.text)
    if "error" in case:
        assert isinstance(outcome.event, Failure)
        assert (outcome.event.code, text) == (case["error"], case["before"])
        assert outcome.event.hint
    else:
        assert isinstance(outcome.event, Ack)
        assert text == case["after"]
        assert apply_changes(str(case["before"]), outcome.event.changes) == text


def test_each_step_of_the_version_vector_makes_its_version() -> None:
    version, text = parse_etag(VERSIONS["genesis"]), VERSIONS["text"]
    for step in VERSIONS["steps"]:
        changes = [Splice(change["from"], change["to"], change["insert"]) for change in step["changes"]]
        assert version is not None
        version, text = next_version(version, step["op_id"], changes), apply_changes(text, changes)
        assert (version.etag, text) == (step["version"], step["text"])
