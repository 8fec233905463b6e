"""Answers that have to fit a JSON Schema: whether they do, and how to ask for a repair.

Whoever the provider: what it promises about schemas is not relied on.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

import jsonschema_rs
import msgspec

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.job import JsonObject
from canvas_server.core.json_value import flaw_of
from canvas_server.generation.providers.failures import OutputInvalidError
from canvas_server.generation.providers.schema_size import Size, TooMuchError, check_size

_MISFITS_MAX: Final = 5
_SEARCH_MAX: Final = 20_000
"""Parts of a schema times characters of an answer, up to which all misfits are looked for: each takes its time."""
_WORK_MAX: Final = 5_000_000
"""Parts of a schema times values of an answer: some tenths of a second, in which nothing else goes on."""
_CHARS_PER_VALUE: Final = 20
"""A long text takes as long as many values."""
_MISFIT_CHARS_MAX: Final = 300
_QUOTED_CHARS_MAX: Final = 20_000
_FENCED: Final = re.compile(r"\s*```[a-z]*\n(.*)\n```\s*", re.DOTALL)
# Patterns of a schema come from outside: these take a time that grows with the text alone.
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1 << 20)
_MASK: Final = "the value"


def check_schema(schema: JsonObject) -> None:
    """Check that a schema can be used; nothing it refers to is ever fetched.

    Raises:
        InvalidFieldError: it is no JSON Schema, stands for too much (`check_size`), refers to something outside of
            itself, or is not one of objects. Its pointer is `/schema`.
    """
    if schema.get("type", "object") != "object":
        raise _invalid("an answer is a JSON object, so the schema must be of type object")
    flaw = flaw_of(schema)
    if flaw is not None:
        raise _invalid(f"the schema may be read in another way than it is meant: {flaw}")
    _bounded(schema)
    _compiled(schema)


def misfit(text: str, schema: JsonObject) -> str | None:
    """Return what is wrong with an answer, in words for the model; None if it fits.

    Values of the answer are not quoted.

    Raises:
        InvalidFieldError: as `check_schema`.
    """
    size, validator = _bounded(schema), _compiled(schema)
    if size.parts * _values_max(text) > _WORK_MAX:
        return "it is too long for so large a JSON Schema"
    try:
        answer = _parsed(text)
        return None if validator.is_valid(answer) else _wrong(answer, text, validator, size)
    except (ValueError, RecursionError) as error:
        return f"it cannot be read as a JSON object: {error}"


def fitting(text: str, schema: JsonObject) -> dict[str, object]:
    """Return the object that an answer holds; a code fence around it is taken off.

    Raises:
        OutputInvalidError: it does not fit.
        InvalidFieldError: as `check_schema`.
    """
    wrong = misfit(text, schema)
    if wrong is not None:
        raise OutputInvalidError(
            "the answer does not fit the schema", hint="Ask again, with a simpler schema or a clearer prompt."
        )
    return _parsed(text)


def repair_prompt(prompt: str, schema: JsonObject, text: str, wrong: str) -> str:
    """Return the prompt that asks once more.

    Args:
        prompt: the first one.
        schema: that the answer has to fit.
        text: the answer that does not fit; a long one is cut.
        wrong: what `misfit` said.
    """
    return (
        f"{prompt}\n\n---\n\nThis was answered:\n\n{text[:_QUOTED_CHARS_MAX]}\n\n---\n\n"
        f"That answer cannot be used: {wrong}.\n"
        "Answer again with one JSON object and nothing else. It has to fit this JSON Schema:\n\n"
        f"{msgspec.json.encode(schema).decode()}"
    )


def _parsed(text: str) -> dict[str, object]:
    fenced = _FENCED.fullmatch(text)
    return msgspec.json.decode(fenced[1] if fenced else text, type=dict[str, object])


def _values_max(text: str) -> int:
    """Return how many values an answer holds at most."""
    return sum(map(text.count, ",[{")) + len(text) // _CHARS_PER_VALUE + 1


def _wrong(answer: object, text: str, validator: jsonschema_rs.Validator, size: Size) -> str:
    if size.comes_back:
        # To find the place may take twice as long with each level of the answer; to say whether it fits does not.
        return "it does not fit the JSON Schema"
    if size.parts * len(text) <= _SEARCH_MAX:
        return "; ".join(map(_told, islice(validator.iter_errors(answer), _MISFITS_MAX)))
    try:
        validator.validate(answer)
    except jsonschema_rs.ValidationError as first:
        return _told(first)
    raise AssertionError("what is not valid has a first error")


def _told(problem: jsonschema_rs.ValidationError) -> str:
    place = "".join(f"/{part}" for part in problem.instance_path) or "the top"
    return f"at {place}: {problem.message}"[:_MISFIT_CHARS_MAX]


def _bounded(schema: JsonObject) -> Size:
    """Return the size of a schema; raises as `check_schema` does where that is too much."""
    try:
        return check_size(schema)
    except TooMuchError as error:
        raise _invalid(str(error)) from None


def _compiled(schema: JsonObject) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(dict(schema), offline=True, pattern_options=_PATTERNS, mask=_MASK)
    except ValueError as error:
        raise _invalid(str(error).partition("\n")[0][:_MISFIT_CHARS_MAX]) from None


def _invalid(why: str) -> InvalidFieldError:
    return InvalidFieldError(
        f"the schema cannot be used: {why}", pointer="/schema", hint="Send a JSON Schema of an object."
    )
