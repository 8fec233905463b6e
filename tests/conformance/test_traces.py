"""What real people typed, replayed through the core and over HTTP, comes out letter by letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import pytest

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Scope
from canvas_server.core.ports import CanvasKey
from canvas_server.core.splice import Splice
from canvas_server.core.submission import Submission
from canvas_server.core.version import Version, genesis, next_version, parse_etag
from tests.conformance.traces import NAMES, Trace, beginning, behind, operations, read_trace, trace_path
from tests.listener import Event
from tests.serving import Canvas as ServedCanvas
from tests.serving import Served

BATCH: Final = 50
QUICK_EDITS: Final = 1_000
AUTHOR: Final = Author("local", "human", None)
WIDE: Final = "🦊 é\n\n"
"""Put in front of a session so that the two units differ at every offset of it."""

whole = [pytest.mark.slow]
sessions = pytest.mark.parametrize(
    ("name", "edits"),
    [
        *(pytest.param(name, QUICK_EDITS, id=f"{name}-beginning") for name in NAMES),
        *(pytest.param(name, 10**9, id=f"{name}-whole", marks=whole) for name in NAMES),
    ],
)


def session(name: str, edits: int) -> Trace:
    if not trace_path(name).exists():
        pytest.skip(f"the recorded session {trace_path(name)} is not here")
    return beginning(read_trace(name), edits)


def replay(splices: Sequence[Splice], start: str, scope: Scope) -> Canvas:
    """Let a canvas decide and apply a session, each operation on the newest version."""
    genesis_version = genesis("0" * 16)
    document = Document(start, genesis_version)
    canvas = Canvas(CanvasKey(1), CanvasRef("trace"), "", document, History(genesis_version, 10_000))
    submission = Submission(canvas, AUTHOR, "codepoint", Limits())
    for operation in operations(splices, scope):
        outcome = submission.step(operation, 0)
        canvas.history.trim()
        assert isinstance(outcome.event, Ack), outcome.event
    return canvas


def versions(start: Version, splices: Sequence[Splice]) -> list[Version]:
    """Return the versions that a session will produce, as its author can compute them ahead."""
    made = [start]
    for number, splice in enumerate(splices):
        made.append(next_version(made[-1], f"op-{number}", [splice]))
    return made[1:]


@pytest.mark.parametrize("scope", ["canvas", "range"])
@sessions
def test_a_session_ends_in_the_text_it_ended_in_and_at_the_version_known_ahead(
    name: str, edits: int, scope: Scope
) -> None:
    start, end, splices = session(name, edits)
    canvas = replay(splices, start, scope)
    assert str(canvas.document.text) == end
    assert canvas.version == versions(genesis("0" * 16), splices)[-1]


class Mirror:
    """A client that knows nothing but what the stream tells: a snapshot, then changes in UTF-16 code units."""

    def __init__(self, snapshot: Event) -> None:
        self._units = bytearray(snapshot["content"].encode("utf-16-le"))
        self.version: str = snapshot["server_version"]

    @property
    def text(self) -> str:
        return self._units.decode("utf-16-le")

    def take(self, ack: Event) -> None:
        assert ack["base_version"] == self.version
        for change in ack["changes"]:
            self._units[2 * change["from"] : 2 * change["to"]] = change["insert"].encode("utf-16-le")
        self.version = ack["server_version"]


def batches(session: Trace, start: Version) -> Iterator[list[dict[str, Any]]]:
    """Yield the session as requests of 50 operations, each on the version that the one before will have made."""
    wire = [msgspec.to_builtins(operation) for operation in operations(session.splices, "canvas")]
    made = [start, *versions(start, session.splices)]
    for at in range(0, len(wire), BATCH):
        first, *others = wire[at : at + BATCH]
        yield [{**first, "client_version": made[at].etag}, *others]


def start_of(canvas: ServedCanvas) -> Version:
    version = parse_etag(canvas.version)
    assert version is not None
    return version


def check_end(canvas: ServedCanvas, mirror: Mirror, session: Trace, start: Version) -> None:
    assert mirror.text == session.end
    assert canvas.text == session.end
    assert mirror.version == versions(start, session.splices)[-1].etag


@sessions
def test_a_listener_to_batches_holds_the_recorded_text_at_the_version_known_ahead(
    served: Served, name: str, edits: int
) -> None:
    told = behind(session(name, edits), WIDE)
    canvas = served.canvas(told.start)
    start = start_of(canvas)
    with canvas.listen() as listener:
        mirror = Mirror(listener.expect("snapshot"))
        for batch in batches(told, start):
            assert canvas.post(*batch, query="unit=codepoint").status_code == 202
            for _ in batch:
                mirror.take(listener.expect("ack"))
    check_end(canvas, mirror, told, start)


@sessions
def test_a_listener_to_one_streamed_request_holds_the_same(served: Served, name: str, edits: int) -> None:
    told = behind(session(name, edits), WIDE)
    canvas = served.canvas(told.start)
    start = start_of(canvas)
    with canvas.listen() as listener:
        mirror = Mirror(listener.expect("snapshot"))

        def lines() -> Iterator[bytes]:
            for batch in batches(told, start):
                yield b"".join(msgspec.json.encode(operation) + b"\n" for operation in batch)
                for _ in batch:
                    mirror.take(listener.expect("ack"))

        answer = canvas.http.post(
            f"{canvas.path}/ops:stream?unit=codepoint",
            content=lines(),
            headers={"Content-Type": "application/x-ndjson"},
        )
    assert answer.json()["ops_count"] == len(told.splices)
    check_end(canvas, mirror, told, start)
