from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from canvas_server import backups
from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, StorageSettings
from canvas_server.core.errors import ExistsError
from tests.serving import Served, append, serving
from tests.storage.keeping import names_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    storage = StorageSettings(data_dir=str(tmp_path / "data"))
    return Settings(storage=storage, checkpoint=CheckpointSettings(interval_s=0.01))


@pytest.fixture
def durable(settings: Settings) -> Iterator[Served]:
    """A running server with its canvases on disk."""
    with serving(settings) as running:
        yield running


def test_every_canvas_is_a_file_and_the_index_tells_of_each(
    durable: Served, settings: Settings, tmp_path: Path
) -> None:
    canvas = durable.canvas("# Notes\n", ref="notes", title="Notes 🦊")
    with canvas.listen() as listener:
        canvas.submit(append("é\n", op_id="one"))
        listener.expect("checkpoint", server_version=canvas.version)
    durable.canvas("", ref="empty")
    backups.export_all(settings, tmp_path / "texts", force=False)
    assert names_in(tmp_path / "texts") == {"notes.md", "empty.md", "canvases.json"}
    assert (tmp_path / "texts" / "notes.md").read_text() == canvas.text == "# Notes\né\n"
    notes, empty = json.loads((tmp_path / "texts" / "canvases.json").read_text())["canvases"]
    content = (tmp_path / "texts" / "notes.md").read_bytes()
    assert (notes["file"], notes["ref"], notes["title"]) == ("notes.md", "notes", "Notes 🦊")
    assert (notes["version"], notes["size_bytes"]) == (canvas.version, len(content))
    assert notes["sha256"] == hashlib.sha256(content).hexdigest()
    assert notes["created"] <= notes["updated"] < "9999"
    assert (empty["ref"], empty["size_bytes"]) == ("empty", 0)


def test_refs_that_differ_only_in_case_come_to_files_that_differ_in_more(
    durable: Served, settings: Settings, tmp_path: Path
) -> None:
    for ref in ("Notes", "notes", "NOTES", "notes-2"):
        durable.canvas(ref, ref=ref)
    exported = backups.export_all(settings, tmp_path / "texts", force=False)
    assert [(one.ref, one.file) for one in exported] == [
        ("Notes", "Notes.md"),
        ("notes", "notes~2.md"),
        ("NOTES", "NOTES~3.md"),
        ("notes-2", "notes-2.md"),
    ]
    for one in exported:
        assert (tmp_path / "texts" / one.file).read_text() == one.ref
    assert len({name.lower() for name in names_in(tmp_path / "texts")}) == 5


def test_a_folder_that_is_not_empty_is_written_into_only_when_that_is_asked_for(
    durable: Served, settings: Settings, tmp_path: Path
) -> None:
    durable.canvas("new", ref="notes")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.md").write_text("old")
    (tmp_path / "texts" / "mine.md").write_text("mine")
    with pytest.raises(ExistsError):
        backups.export_all(settings, tmp_path / "texts", force=False)
    assert (tmp_path / "texts" / "notes.md").read_text() == "old"
    backups.export_all(settings, tmp_path / "texts", force=True)
    assert (tmp_path / "texts" / "notes.md").read_text() == "new"
    assert (tmp_path / "texts" / "mine.md").read_text() == "mine"
