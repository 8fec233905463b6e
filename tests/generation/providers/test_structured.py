from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from canvas_server.core.errors import InvalidFieldError
from canvas_server.generation.providers.failures import OutputInvalidError
from canvas_server.generation.providers.structured import check_schema, fitting, misfit, repair_prompt

_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "lines": {"type": "array", "items": {"type": "integer"}}},
    "required": ["title"],
}


def test_an_answer_that_fits_is_no_misfit() -> None:
    assert misfit('{"title": "a", "lines": [1]}', _SCHEMA) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Il pleut.",
        "[1]",
        '{"title": "a"',
        '{"title": NaN}',
        '{"title": 1e400}',
        '{"title": "a"} and more',
        "[" * 100_000,
        f'{{"title": {"[" * 900}{"]" * 900}}}',
    ],
)
def test_what_cannot_be_read_as_a_json_object_is_a_misfit(text: str) -> None:
    assert str(misfit(text, _SCHEMA)).startswith("it cannot be read as a JSON object")


def test_a_misfit_says_where_and_why_and_does_not_quote_values() -> None:
    told = misfit('{"title": 31415, "lines": [1, "deux"]}', _SCHEMA)
    assert told is not None
    assert "/title" in told
    assert "/lines/1" in told
    assert "31415" not in told
    assert "deux" not in told


def test_a_misfit_stays_short_however_much_is_wrong() -> None:
    lines = ", ".join(['"x"'] * 10_000)
    assert len(str(misfit(f'{{"title": "a", "lines": [{lines}]}}', _SCHEMA))) < 2_000


@pytest.mark.parametrize("text", ['{"title": "a"}', '```json\n{"title": "a"}\n```', '\n```\n{"title": "a"}\n```\n'])
def test_a_fitting_answer_is_its_object_without_the_fence_around_it(text: str) -> None:
    assert fitting(text, _SCHEMA) == {"title": "a"}


def test_an_answer_that_does_not_fit_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(OutputInvalidError) as wrong:
        fitting('{"title": 31415}', _SCHEMA)
    assert "31415" not in str(wrong.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": 3},
        {"properties": 3},
        {"properties": {"a": {"$ref": "#/nowhere"}}},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"type": "object"}] * 10_000}}},
        {"description": "x" * 65_536},
        {"pattern": "("},
        {"pattern": "a{1000}{1000}"},
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        check_schema(schema)
    assert refused.value.pointer == "/schema"


def test_a_schema_fetches_nothing_that_is_there(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "object"}')
    with pytest.raises(InvalidFieldError):
        check_schema({"$ref": other.as_uri()})


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(5_000):
        schema = {"properties": {"a": schema}}
    with pytest.raises(InvalidFieldError):
        check_schema(schema)


def test_a_pattern_made_to_take_for_ever_takes_no_time() -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    start = time.perf_counter()
    assert misfit(f'{{"a": "{"a" * 5_000}!"}}', schema) is not None
    assert time.perf_counter() - start < 1


def test_an_answer_that_is_wrong_everywhere_takes_no_time() -> None:
    """Each of the half million wrong values was told of, of which five were wanted."""
    schema = {"properties": {"a": {"items": {"type": "string"}}}}
    start = time.perf_counter()
    assert misfit(f'{{"a": [{"1," * 500_000}1]}}', schema) == 'at /a/0: the value is not of type "string"'
    assert time.perf_counter() - start < 1


def test_an_answer_that_is_too_long_for_its_schema_takes_no_time() -> None:
    schema = {"properties": {"a": {"items": {"allOf": [{"minimum": 0}] * 1_000}}}}
    start = time.perf_counter()
    assert misfit(f'{{"a": [{"1," * 500_000}1]}}', schema) == "it is too long for so large a JSON Schema"
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_an_answer_that_goes_as_deep_as_its_schema_refers_to_itself_takes_no_time(keyword: str) -> None:
    """One that did not fit took twice as long with each level, and the whole server with it."""
    inner = {"properties": {"a": {"$ref": "#"}}}
    schema = {"type": "object", keyword: [inner, {**inner, "minProperties": 0}]}
    start = time.perf_counter()
    assert misfit('{"a": ' * 200 + "3" + "}" * 200, schema) == "it does not fit the JSON Schema"
    assert time.perf_counter() - start < 0.5


def test_a_repair_quotes_the_prompt_the_answer_and_what_is_wrong_and_stays_short() -> None:
    asked = repair_prompt("Titre ?", _SCHEMA, "x" * 1_000_000, "at /title: missing")
    assert asked.startswith("Titre ?")
    assert "at /title: missing" in asked
    assert '"required":["title"]' in asked
    assert len(asked) < 25_000
