"""A text that must not be seen.

Rule: `reveal` is the only way to the text, so a search for it finds every place that can leak.
"""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

MASK: Final = "***"


class Secret:
    """A token or key whose `repr`, `str` and every dump are `***`.

    Equal secrets compare equal, in a time that does not depend on where they differ.
    """

    __slots__ = ("_text",)

    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text; the caller must not store, log or show it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a secret is frozen: {name} cannot be set")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: that would write it in clear")
