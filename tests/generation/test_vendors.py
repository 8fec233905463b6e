"""Whoever answers: outside of `providers` no module of generation knows one provider from another."""

from __future__ import annotations

from pathlib import Path

import pytest

import canvas_server.generation

FOLDER = Path(canvas_server.generation.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_module_outside_of_providers_names_a_vendor(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    assert not [name for name in ("openai", "mistral", "ollama", "gpt-") if name in text]
