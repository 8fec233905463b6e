from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from canvas_server.generation.providers.failures import NotConfiguredError, UnknownModelError
from canvas_server.generation.providers.registry import ProviderSettings, known_models, make_factory
from tests.double.running import Double
from tests.generation.providers.asking import factory, settings

_ROOT: Final = Path(__file__).parents[3]


@pytest.fixture
def keyless(double: Double) -> ProviderSettings:
    given = settings(double)
    replace = msgspec.structs.replace
    return replace(
        given,
        openai=replace(given.openai, api_key=""),
        mistral=replace(given.mistral, api_key=""),
        local=replace(given.local, api_key=""),
    )


@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_a_missing_key_is_an_error_of_the_call_that_names_what_to_set(keyless: ProviderSettings, provider: str) -> None:
    made = make_factory(keyless, len)
    with pytest.raises(NotConfiguredError) as missing:
        made.create(provider, "model-1")
    assert f"{provider.upper()}_API_KEY" in missing.value.hint


@pytest.mark.parametrize("provider", ["local", "demo"])
async def test_some_providers_need_no_key(keyless: ProviderSettings, provider: str) -> None:
    generator = make_factory(keyless, len).create(provider, "demo")
    assert generator.free
    await generator.aclose()


def test_every_model_that_can_be_chosen_is_known_with_whether_it_can_be_asked(keyless: ProviderSettings) -> None:
    known = {(known.provider, known.model): known for known in known_models(keyless)}
    assert {key: (model.configured, model.free) for key, model in known.items()} == {
        ("openai", "gpt-5.2"): (False, False),
        ("mistral", "small-creative"): (False, False),
        ("local", "llama3.2"): (True, True),
        ("demo", "demo"): (True, True),
        ("demo", "demo-long"): (True, True),
    }


def test_a_key_makes_a_model_one_that_can_be_asked(double: Double) -> None:
    assert all(model.configured for model in known_models(settings(double)))


def test_a_provider_that_does_not_exist_is_told_with_those_that_do(double: Double) -> None:
    with pytest.raises(UnknownModelError) as refused:
        factory(double).create("nobody", "model-1")
    assert refused.value.hint == "Choose one of openai, mistral, local, demo."


def test_importing_the_providers_imports_no_sdk() -> None:
    program = (
        "import sys, canvas_server.generation.providers.registry\n"
        "print(sorted({'openai', 'mistralai', 'httpx2'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
