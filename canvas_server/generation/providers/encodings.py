"""Which of tiktoken's encodings counts for a model, and whether it is the model's own."""

from __future__ import annotations

from typing import Final, NamedTuple

from tiktoken.model import encoding_name_for_model

from canvas_server.generation.encoding_files import ENCODINGS

_NEWEST: Final = "o200k_base"
_OWNER: Final = "openai"
"""Whose models the encodings are of."""


class Counted(NamedTuple):
    """How the tokens of a model are counted."""

    encoding: str
    exact: bool
    """As the provider counts; otherwise it is an estimate."""


def encoding_of(provider: str, model: str) -> Counted:
    """Return how the tokens of a model are counted: by its own encoding, else by the newest there is."""
    try:
        name = encoding_name_for_model(model)
    except KeyError:
        return Counted(_NEWEST, exact=False)
    return Counted(name, provider == _OWNER) if name in ENCODINGS else Counted(_NEWEST, exact=False)
