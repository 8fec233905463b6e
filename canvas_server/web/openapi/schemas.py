"""JSON Schema of everything on the wire, read off the types, with the sentences that stand beside their fields."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from canvas_server.web.openapi.examples import outcomes
from canvas_server.web.openapi.job_examples import JOB_EVENT_EXAMPLES
from canvas_server.web.openapi.kinds import BODIES, EVENTS, JOB_EVENTS
from canvas_server.web.openapi.sentences import sentences

_TEMPLATE: Final = "#/components/schemas/{name}"
_PYTHON_END: Final = re.compile(r"\(\?!(?:\n|\\n)\)")
"""Patterns need this where `$` also fits before a last newline; in JSON Schema it does not, and RE2 cannot read it."""
_FULL_NAME: Final = re.compile(r"canvas_server\.(?:\w+\.)*(\w+)\.(\w+)")
"""How msgspec names a type where two have the same name."""
_HEARTBEAT: Final[dict[str, object]] = {
    "title": "Heartbeat",
    "description": "The stream lives; without an id.",
    "type": "object",
    "properties": {"type": {"enum": ["heartbeat"]}},
    "required": ["type"],
}


def reference(kind: type[msgspec.Struct] | str) -> dict[str, object]:
    """Return a reference to the schema of a type; `"Event"` is any event of a canvas, `"JobEvent"` any of a job."""
    return {"$ref": _TEMPLATE.format(name=kind if isinstance(kind, str) else kind.__name__)}


def schemas() -> dict[str, object]:
    """Return all schemas by name."""
    kinds = (*BODIES, *EVENTS, *JOB_EVENTS)
    references, found = msgspec.json.schema_components(kinds, schema_hook=_anything, ref_template=_TEMPLATE)
    told: dict[str, object] = {_short(name): _plain(schema) for name, schema in found.items()}
    names = {kind: _short(told_as["$ref"].rpartition("/")[2]) for kind, told_as in zip(kinds, references, strict=True)}
    for name, kind in _structs(told, names):
        _describe(told[name], kind)
    told["Event"] = {
        "description": "One event of a canvas: the JSON behind `data:`. `type` says which.",
        "oneOf": [reference(names[kind]) for kind in EVENTS],
        "examples": [msgspec.to_builtins(event) for event in outcomes()],
    }
    told["JobHeartbeat"] = _HEARTBEAT
    told["JobEvent"] = {
        "description": "One event of a job: the JSON behind `data:`. `type` says which.",
        "oneOf": [*(reference(names[kind]) for kind in JOB_EVENTS), reference("JobHeartbeat")],
        "examples": [msgspec.to_builtins(event) for event in JOB_EVENT_EXAMPLES],
    }
    return told


def _anything(kind: type) -> dict[str, object]:
    """Return the schema of `object`, which must not be empty."""
    assert kind is object, kind
    return {"description": "Any JSON."}


def _plain(node: object) -> object:
    """Return a schema with patterns that any dialect of regular expressions reads, and short names."""
    match node:
        case dict():
            return {name: _plain(value) for name, value in node.items()}
        case list():
            return [_plain(value) for value in node]
        case str():
            return _short(_PYTHON_END.sub("", node))
        case _:
            return node


def _short(name: str) -> str:
    """Return a name without its path; where two types have one name, the module tells them apart."""
    return _FULL_NAME.sub(lambda match: match[1].title().replace("_", "") + match[2], name)


def _structs(
    told: Mapping[str, object], names: Mapping[type[msgspec.Struct], str]
) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Iterate over the types behind the schemas with their names, wherever they are defined."""
    modules = {sys.modules[kind.__module__] for kind in names}
    found = {kind for module in modules for kind in vars(module).values() if _is_struct(kind)}
    named = ((names.get(kind, kind.__name__), kind) for kind in found)
    return ((name, kind) for name, kind in named if name in told)


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _describe(schema: object, kind: type[msgspec.Struct]) -> None:
    """Put the sentences beside the fields of a type into its schema."""
    assert isinstance(schema, dict)
    documented = sentences(kind)
    for field in msgspec.structs.fields(kind):
        if field.name in documented:
            schema["properties"][field.encode_name]["description"] = documented[field.name]
