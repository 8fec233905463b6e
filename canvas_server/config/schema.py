"""What the settings may be, in words: one `Key` per setting, read off the types of `settings`.

The loader, its error messages and the table in the manual all use these words, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo, fields

from canvas_server.config.settings import ActorSettings, Settings

ACTORS = "actors"
"""The one section whose tables are named by the operator."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes:
        name: `section.key`, as in the file.
        type: what `msgspec.convert` checks a value against.
        default: the value when no source gives one; `None` if one must.
        expected: the values it takes, as the end of "is not ..."; bounds included.
        description: one line for the operator.
    """

    name: str
    type: object
    default: object
    expected: str
    description: str

    @property
    def field(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    @property
    def is_list(self) -> bool:
        """Whether a text is split at its commas to give the value."""
        return isinstance(_bare(inspect.type_info(self.type)), inspect.VarTupleType)

    @property
    def is_secret(self) -> bool:
        """Whether the value comes from the environment only and is never shown."""
        return isinstance(_bare(inspect.type_info(self.type)), inspect.CustomType)


@cache
def keys() -> Mapping[str, Key]:
    """Return every setting by its name, in the order of declaration, actors excepted."""
    return MappingProxyType({key.name: key for key in _section_keys()})


@cache
def sections() -> tuple[str, ...]:
    """Return the names of the sections, actors excepted."""
    return tuple(field.name for field in fields(Settings) if field.name != ACTORS)


def actor_keys(actor: str) -> tuple[Key, ...]:
    """Return the settings of one actor, named `actors.<actor>.<key>`."""
    return tuple(_key(f"{ACTORS}.{actor}", field) for field in fields(ActorSettings))


def nearest(name: str, known: Iterator[str] | tuple[str, ...]) -> str | None:
    """Return the known name that is most like `name`, if one is like it at all."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def _section_keys() -> Iterator[Key]:
    for section in fields(Settings):
        if section.name != ACTORS:
            yield from (_key(section.name, field) for field in fields(section.type))


def _key(section: str, field: FieldInfo) -> Key:
    info = inspect.type_info(field.type)
    schema = info.extra_json_schema or {} if isinstance(info, inspect.Metadata) else {}
    default = None if field.default is msgspec.NODEFAULT else field.default
    return Key(f"{section}.{field.name}", field.type, default, _expected(info), str(schema.get("description", "")))


def _expected(info: inspect.Type) -> str:
    """Say in words which values a type takes."""
    match _bare(info):
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:.0f}"
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.StrType(pattern=str(pattern)) if pattern.startswith("^https?://"):
            return "an address that begins with http:// or https://"
        case inspect.StrType(max_length=chars_max, min_length=None):
            return f"a text of up to {chars_max} plain characters"
        case inspect.StrType(max_length=chars_max):
            return f"a text of 1 to {chars_max} plain characters"
        case inspect.VarTupleType(item_type=item):
            return f"a list, each item {_expected(item)}"
        case inspect.CustomType():
            return "a secret"
        case other:
            raise ValueError(f"no words for a setting of type {other}")


def _bare(info: inspect.Type) -> inspect.Type:
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info
