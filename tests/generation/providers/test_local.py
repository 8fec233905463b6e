"""What is special about servers of one's own: they cost nothing, want no key, and get nobody else's."""

from __future__ import annotations

import pytest

from canvas_server.generation.providers.connections import Patience
from canvas_server.generation.providers.local import LocalGenerator
from tests.double.running import Double
from tests.generation.providers.asking import answered


async def test_a_key_is_not_needed_and_that_of_another_provider_is_not_sent(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-somebody-else")
    generator = LocalGenerator("llama3.2", base_url=double.local_url, api_key="", patience=Patience())
    try:
        await answered(generator)
    finally:
        await generator.aclose()
    assert generator.free
    assert "of-somebody-else" not in str(double.calls[0])
