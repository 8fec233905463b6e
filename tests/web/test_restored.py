"""A server on a restored folder goes on where the other was: texts, versions, history, and streams that resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from canvas_server import backups
from canvas_server.config import Settings
from canvas_server.config.settings import CheckpointSettings, StorageSettings
from tests.serving import append, serving


def settings(folder: Path) -> Settings:
    return Settings(storage=StorageSettings(data_dir=str(folder)), checkpoint=CheckpointSettings(interval_s=0.05))


def quiet(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@pytest.mark.promise("R9")
@pytest.mark.slow
def test_a_server_on_a_restored_backup_has_the_same_texts_and_resumes_the_same_streams(tmp_path: Path) -> None:
    with serving(settings(tmp_path / "data")) as first:
        canvas = first.canvas("# Notes\n", ref="notes", title="Notes")
        with canvas.listen() as listener:
            for number in range(30):
                canvas.submit(append(f"{number} 🦊 ", op_id=f"op-{number}"))
            acks = [listener.expect("ack", op_id=f"op-{number}") for number in range(30)]
            version = canvas.version
            listener.expect("checkpoint", server_version=version)
            made = backups.backup(settings(tmp_path / "data"), tmp_path / "b.zip", quiet, force=False)
        text, history = canvas.text, first.http.get(f"{canvas.path}/ops?limit=1000").json()
        exported = backups.export_all(settings(tmp_path / "data"), tmp_path / "texts", force=False)
    assert made.manifest.counts["operations"] == 30
    backups.restore(settings(tmp_path / "new"), tmp_path / "b.zip", quiet, force=False)
    with serving(settings(tmp_path / "new")) as second:
        answer = second.http.get("/api/v2/canvas/notes")
        assert (answer.json()["version"], answer.json()["title"]) == (version, "Notes")
        assert second.http.get("/api/v2/canvas/notes", headers={"Accept": "text/markdown"}).text == text
        assert second.http.get("/api/v2/canvas/notes/ops?limit=1000").json() == history
        assert second.http.get("/api/v2/canvas/notes?at=7").status_code == 200
        resumed = {"Last-Event-ID": acks[9].id or ""}
        with second.listen("/api/v2/canvas/notes/ops:listen", resumed) as again:
            told = [again.expect("ack", op_id=f"op-{number}") for number in range(10, 30)]
            assert [event.data for event in told] == [event.data for event in acks[10:]]
            again_sent = append("0 🦊 ", op_id="op-0", client_version=version)
            second.http.post("/api/v2/canvas/notes/ops:stream", json={"ops": [again_sent]})
            assert again.expect("ack", op_id="op-0")["duplicate"] is True
    assert [(one.file, one.version) for one in exported] == [("notes.md", version)]
    assert (tmp_path / "texts" / "notes.md").read_text() == text
