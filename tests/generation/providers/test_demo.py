from __future__ import annotations

import pytest

from canvas_server.core.usage import Usage
from canvas_server.generation.providers.demo import DemoGenerator
from canvas_server.generation.providers.failures import OutputInvalidError, UnknownModelError
from canvas_server.generation.providers.generator import Options
from tests.generation.providers.asking import steps_of, text_of

_OPTIONS = Options(max_output_tokens=10_000)


def _words(text: str) -> int:
    return len(text.split())


def _demo(model: str = "demo") -> DemoGenerator:
    return DemoGenerator(model, delay_ms=0, count=_words)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("Écris une scène dans la forêt", "Ceci est une démonstration"),
        ("Write a scene in the forest", "This is a demonstration"),
        ("", "Ceci est une démonstration"),
    ],
)
async def test_it_says_what_it_is_in_the_language_of_the_prompt(prompt: str, says: str) -> None:
    answer = await _demo().generate(prompt, _OPTIONS)
    assert says in answer.text.split("\n\n")[0]


@pytest.mark.parametrize(("model", "least", "most"), [("demo", 80, 150), ("demo-long", 1_000, 1_080)])
@pytest.mark.parametrize("prompt", ["la pluie", "the rain and the wind"])
async def test_each_model_has_its_length(model: str, least: int, most: int, prompt: str) -> None:
    answer = await _demo(model).generate(prompt, _OPTIONS)
    assert least <= _words(answer.text) <= most
    assert answer.finish == "stop"
    assert not any(line.startswith("#") for line in answer.text.splitlines())


async def test_the_same_prompt_has_the_same_answer_and_another_another() -> None:
    texts = [(await _demo().generate(prompt, _OPTIONS)).text for prompt in ("la pluie", "la pluie", "le vent")]
    assert texts[0] == texts[1] != texts[2]


async def test_it_comes_word_by_word_and_counts_them() -> None:
    steps = await steps_of(_demo().stream_generate("la pluie", _OPTIONS))
    assert all(_words(step.text) == 1 for step in steps[:-1])
    assert steps[-1].usage == Usage(input_tokens=2, output_tokens=len(steps) - 1)


async def test_it_keeps_to_the_length_it_is_given() -> None:
    answer = await _demo().generate("la pluie", Options(max_output_tokens=5))
    assert (_words(answer.text), answer.finish) == (5, "length")


async def test_it_fits_a_schema() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    answer = await _demo().generate_structured("la pluie", schema, _OPTIONS)
    assert isinstance(answer.value["title"], str)


async def test_a_schema_beyond_it_is_an_error() -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^[0-9]{4}$"}}}
    with pytest.raises(OutputInvalidError):
        await steps_of(_demo().stream_generate("la pluie", Options(max_output_tokens=100, schema=schema)))


def test_it_has_no_other_models() -> None:
    with pytest.raises(UnknownModelError):
        _demo("gpt-5.2")


async def test_its_pieces_are_its_text() -> None:
    steps = await steps_of(_demo("demo-long").stream_generate("le vent", _OPTIONS))
    assert text_of(steps) == (await _demo("demo-long").generate("le vent", _OPTIONS)).text
