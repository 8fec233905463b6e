"""What is streamed, cut into the contents of lines, so that the lines make exactly the text that was written."""

from __future__ import annotations

from canvas_server.client.texts import clean
from canvas_server.client.unsaved import Op


class LineCutter:
    """Takes pieces of a text as they come.

    Two things wait for what follows them: a CR, which may be half of a line end, and newlines behind a first line that
    is fitted to its place. Fitting takes the newlines off its ends, so those in between have to be of the next line.

    Args:
        opening: the first line, without content.
    """

    def __init__(self, opening: Op) -> None:
        self._has_begun = not _is_fitted(opening)
        self._cr = ""
        self._newlines = ""

    @property
    def held(self) -> str:
        """What waits."""
        return self._newlines + self._cr

    def cut(self, text: str, chars_max: int) -> list[str]:
        """Return the contents of the lines that can go now, none longer than `chars_max`."""
        text = clean(self._cr + text)
        self._cr = "\r" if text.endswith("\r") else ""
        return self._lines(text.removesuffix("\r"), chars_max)

    def end(self, chars_max: int) -> list[str]:
        """Return what is left when nothing more comes, but for newlines that are lost at the end of a fitted text."""
        text, self._cr = "\n" if self._cr else "", ""
        lines, self._newlines = self._lines(text, chars_max), ""
        return lines

    def _lines(self, text: str, chars_max: int) -> list[str]:
        text, self._newlines = self._newlines + text, ""
        first: list[str] = []
        if not self._has_begun:
            text = text.lstrip("\n")
            begun = text[:chars_max].rstrip("\n")
            text = text[len(begun) :]
            if begun:
                first = [begun]
                self._has_begun = True
            if not text.strip("\n"):
                self._newlines, text = text, ""
        return [*first, *(text[start : start + chars_max] for start in range(0, len(text), chars_max))]


def _is_fitted(opening: Op) -> bool:
    """Tell whether the first line loses the newlines at its ends (protocol, section 6, "Blank lines")."""
    options, target = opening.get("options"), opening.get("target")
    told = options.get("surround_with_blank_lines") if isinstance(options, dict) else None
    is_section = isinstance(target, dict) and target.get("type") == "heading"
    return bool(is_section if told is None else told)
