"""JSON Schema of everything on the wire, read off the types, with the sentences that stand beside their fields."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final, get_args

import msgspec

from canvas_server.core.event import Event
from canvas_server.core.operation import Continuation, Operation
from canvas_server.web.canvas_bodies import (
    CanvasInfo,
    CanvasList,
    CanvasState,
    ClosedBody,
    CreateAnywhereBody,
    CreateBody,
    HistoryBody,
    OutlineBody,
    PresenceBody,
    SectionState,
    TitleBody,
)
from canvas_server.web.health import Alive, Readiness
from canvas_server.web.openapi.examples import outcomes
from canvas_server.web.ops import Accepted, OpsBody, Preview
from canvas_server.web.problems import Problem

EVENTS: Final[tuple[type[msgspec.Struct], ...]] = get_args(Event)
"""What a stream tells."""

_BODIES: Final[tuple[type[msgspec.Struct], ...]] = (
    OpsBody,
    Operation,
    Continuation,
    Accepted,
    Preview,
    CreateBody,
    CreateAnywhereBody,
    TitleBody,
    PresenceBody,
    CanvasInfo,
    CanvasState,
    SectionState,
    CanvasList,
    OutlineBody,
    HistoryBody,
    ClosedBody,
    Alive,
    Readiness,
    Problem,
)
_TEMPLATE: Final = "#/components/schemas/{name}"
_PYTHON_END: Final = re.compile(r"\(\?!(?:\n|\\n)\)")
"""Patterns need this where `$` also fits before a last newline; in JSON Schema it does not, and RE2 cannot read it."""


def reference(kind: type[msgspec.Struct] | str) -> dict[str, object]:
    """Return a reference to the schema of a type; `"Event"` is any event."""
    return {"$ref": _TEMPLATE.format(name=kind if isinstance(kind, str) else kind.__name__)}


def schemas() -> dict[str, object]:
    """Return all schemas by name."""
    _, found = msgspec.json.schema_components((*_BODIES, *EVENTS), ref_template=_TEMPLATE)
    told: dict[str, object] = {name: _plain(schema) for name, schema in found.items()}
    for kind in _structs(told):
        _describe(told[kind.__name__], kind)
    told["Event"] = {
        "description": "One event of a stream: the JSON behind `data:`. `type` says which.",
        "oneOf": [reference(kind) for kind in EVENTS],
        "examples": [msgspec.to_builtins(event) for event in outcomes()],
    }
    return told


def _plain(node: object) -> object:
    """Return a schema with patterns that any dialect of regular expressions reads."""
    match node:
        case dict():
            return {name: _plain(value) for name, value in node.items()}
        case list():
            return [_plain(value) for value in node]
        case str():
            return _PYTHON_END.sub("", node)
        case _:
            return node


def _structs(told: Mapping[str, object]) -> Iterator[type[msgspec.Struct]]:
    """Iterate over the types behind the schemas, wherever they are defined."""
    modules = {sys.modules[kind.__module__] for kind in (*_BODIES, *EVENTS)}
    seen = {kind.__name__: kind for module in modules for kind in vars(module).values() if _is_struct(kind)}
    return (kind for name, kind in seen.items() if name in told)


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _describe(schema: object, kind: type[msgspec.Struct]) -> None:
    """Put the sentences beside the fields of a type into its schema."""
    assert isinstance(schema, dict)
    documented = {name: text for base in reversed(kind.__mro__) for name, text in _sentences(base).items()}
    for field in msgspec.structs.fields(kind):
        if field.name in documented:
            schema["properties"][field.encode_name]["description"] = documented[field.name]


def _sentences(kind: type) -> Mapping[str, str]:
    return _sentences_of_module(kind.__module__).get(kind.__name__, {}) if _is_struct(kind) else {}


@cache
def _sentences_of_module(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the strings that stand below the fields of the classes of a module; Python itself drops them."""
    try:
        source = inspect.getsource(sys.modules[module])
    except OSError:
        # Installed without sources: the description does without these sentences.
        return {}
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {node.name: dict(_sentences_of_class(node)) for node in classes}


def _sentences_of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
            case _:
                pass
