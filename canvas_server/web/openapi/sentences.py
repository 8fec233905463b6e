"""The sentences that stand below the fields of a class; Python itself drops them, so they are read off the source."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache

import msgspec


def sentences(kind: type[msgspec.Struct]) -> Mapping[str, str]:
    """Return what stands below the fields of a type, those that it inherits included, by field."""
    return {name: text for base in reversed(kind.__mro__) for name, text in _own_sentences(base).items()}


def _own_sentences(kind: type) -> Mapping[str, str]:
    if not issubclass(kind, msgspec.Struct):
        return {}
    return _sentences_of_module(kind.__module__).get(kind.__name__, {})


@cache
def _sentences_of_module(module: str) -> Mapping[str, Mapping[str, str]]:
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
