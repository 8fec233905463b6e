"""Any text survives: what goes in by an operation comes out of the stream, the history, the disk and every read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas_server.config import Settings
from canvas_server.config.settings import StorageSettings
from canvas_server.core.splice import utf16_length
from tests.listener import Event, Listener
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import Canvas, Json, Served, append, serving
from tests.web.corpora import naughty_texts

BATCHES: Final = amount(ci=40, hand=4_000)
BATCH_MIN: Final = 15
BATCH_MAX: Final = 35
TEXTS: Final = BATCHES * BATCH_MIN
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=40)
UNITS: Final = ("utf16", "codepoint")

_batches: Final = count()


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a database."""
    data_dir: Path = tmp_path_factory.mktemp("texts")
    with serving(Settings(storage=StorageSettings(data_dir=str(data_dir)))) as served:
        yield served


def survive(served: Served, texts: Sequence[str]) -> None:
    """Append texts one by one and follow them through everything that the server does with text."""
    unit = UNITS[next(_batches) % 2]
    canvas = served.canvas("")
    listeners = [canvas.listen(f"unit={one}") for one in UNITS]
    for listener in listeners:
        listener.expect("snapshot")
    first, *rest = map(append, texts)
    answer = canvas.post({**first, "client_version": canvas.version}, *rest, query=f"unit={unit}")
    assert answer.status_code == 202, answer.text
    for one, listener in zip(UNITS, listeners, strict=True):
        check_heard(listener, one, texts)
        listener.close()
    check_read(canvas, texts)
    assert canvas.http.post(f"{canvas.path}:close").status_code == 200
    check_read(canvas, texts)
    assert canvas.http.delete(canvas.path).status_code == 204


def check_heard(listener: Listener, unit: str, texts: Sequence[str]) -> None:
    """Each text was told whole, at the place where it went in the unit of the listener."""
    events: list[Event] = [listener.expect("ack") for _ in texts]
    assert inserted(event.data for event in events) == list(texts)
    length = 0
    for event, text in zip(events, texts, strict=True):
        assert {change["from"] for change in event["changes"]} == {length}
        length += utf16_length(text) if unit == "utf16" else len(text)


def check_read(canvas: Canvas, texts: Sequence[str]) -> None:
    """The text is whole however it is read, and so is its past."""
    whole, half = "".join(texts), len(texts) // 2
    assert canvas.text == canvas.state["content"] == whole
    past = canvas.http.get(canvas.path, params={"at": half}, headers={"Accept": "text/markdown"})
    assert past.content.decode() == "".join(texts[:half])
    assert inserted(canvas.http.get(f"{canvas.path}/ops").json()["events"]) == list(texts)


def inserted(events: Iterator[Json] | Sequence[Json]) -> list[str]:
    return ["".join(change["insert"] for change in event["changes"]) for event in events]


@pytest.mark.promise("R32")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
def test_any_text_survives_operation_stream_disk_and_read_in_both_units(on_disk: Served, findings: Findings) -> None:
    survived = 0

    @settings(max_examples=BATCHES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(TEXT, min_size=BATCH_MIN, max_size=BATCH_MAX))
    def follow(texts: list[str]) -> None:
        nonlocal survived
        survive(on_disk, texts)
        survived += len(texts)

    follow()
    findings.tell("R32", "random texts through operation, stream, disk and read", survived, "0 changed")
    assert survived >= TEXTS


@pytest.mark.promise("R32")
@pytest.mark.slow
def test_every_naughty_string_survives_operation_stream_disk_and_read(on_disk: Served, findings: Findings) -> None:
    texts = naughty_texts()[: amount(ci=400, hand=10_000)]
    for start in range(0, len(texts), BATCH_MAX):
        survive(on_disk, texts[start : start + BATCH_MAX])
    findings.tell("R32", "naughty strings through operation, stream, disk and read", len(texts), "0 changed")
    assert len(texts) >= 400
