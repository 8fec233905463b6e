"""Text that a provider cuts anywhere, even in the middle of a character: the halves are joined again.

In JSON a character beyond U+FFFF may be written as two halves (surrogates), and a piece may end after the first. What
is told on can always be written as UTF-8.
"""

from __future__ import annotations

import re
from typing import Final

_HALVES: Final = re.compile(r"[\ud800-\udfff]")
_FIRST_HALVES: Final = ("\ud800", "\udbff")


def mended(text: str) -> str:
    """Return a text with halves that belong together joined, and U+FFFD for each other one."""
    if _HALVES.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class WholeText:
    """Takes pieces of a text, and gives them back in pieces that do not end within a character.

    Attributes:
        held_chars: how much is held back.
    """

    def __init__(self) -> None:
        self.held_chars = 0
        self._held: list[str] = []

    def take(self, piece: str, *, last: bool) -> str | None:
        """Return all that is whole with this piece; None if it is held back, as a whole, for the piece after it.

        A piece is never held back in part, so that what is known of where it ended stays true.

        Args:
            piece: the next one.
            last: none comes after it.
        """
        self._held.append(piece)
        self.held_chars += len(piece)
        # An empty piece changes nothing: those before it, the first of them too, were held because they end in a half.
        if not last and _is_cut(piece or self._held[0]):
            return None
        whole = "".join(self._held)
        self._held, self.held_chars = [], 0
        return mended(whole)


def _is_cut(text: str) -> bool:
    return bool(text) and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]
