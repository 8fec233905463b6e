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
from canvas_server.generation.providers.failures import OutputInvalidError

_MISFITS_MAX: Final = 5
_MISFIT_CHARS_MAX: Final = 300
_QUOTED_CHARS_MAX: Final = 20_000
_FENCED: Final = re.compile(r"\s*```[a-z]*\n(.*)\n```\s*", re.DOTALL)
# Patterns of a schema come from outside: these take a time that grows with the text alone.
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1 << 20)
_MASK: Final = "the value"


def check_schema(schema: JsonObject) -> None:
    """Check that a schema can be used; nothing it refers to is ever fetched.

    Raises:
        InvalidFieldError: it is no JSON Schema, is nested too deeply, refers to something outside of itself, or is
            not one of objects. Its pointer is `/schema`.
    """
    if schema.get("type", "object") != "object":
        raise _invalid("an answer is a JSON object, so the schema must be of type object")
    _compiled(schema)


def misfit(text: str, schema: JsonObject) -> str | None:
    """Return what is wrong with an answer, in words for the model; None if it fits.

    Values of the answer are not quoted.

    Raises:
        InvalidFieldError: as `check_schema`.
    """
    validator = _compiled(schema)
    try:
        problems = tuple(islice(validator.iter_errors(_parsed(text)), _MISFITS_MAX))
    except (ValueError, RecursionError) as error:
        return f"it cannot be read as a JSON object: {error}"
    return "; ".join(map(_told, problems)) or None


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


def _told(problem: jsonschema_rs.ValidationError) -> str:
    place = "".join(f"/{part}" for part in problem.instance_path) or "the top"
    return f"at {place}: {problem.message}"[:_MISFIT_CHARS_MAX]


def _compiled(schema: JsonObject) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(dict(schema), offline=True, pattern_options=_PATTERNS, mask=_MASK)
    except ValueError as error:
        raise _invalid(str(error).partition("\n")[0][:_MISFIT_CHARS_MAX]) from None


def _invalid(why: str) -> InvalidFieldError:
    return InvalidFieldError(
        f"the schema cannot be used: {why}", pointer="/schema", hint="Send a JSON Schema of an object."
    )
