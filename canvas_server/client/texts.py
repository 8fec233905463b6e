"""Text as a canvas has it (PROTOCOL section 1)."""

from __future__ import annotations


def clean(text: str) -> str:
    """Return a text with LF line ends; a CR at its very end stays, for it may be half of a CRLF.

    Raises:
        ValueError: no canvas can hold it.
    """
    if "\0" in text:
        raise ValueError("a canvas holds no NUL")
    if not text.isascii():
        text.encode()  # A lone surrogate is a UnicodeEncodeError, which is a ValueError.
    if "\r" not in text:
        return text
    ends_open = text.endswith("\r")
    text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    return text + "\r" if ends_open else text


def whole(text: str) -> str:
    """Return a text with LF line ends; raises as `clean` does."""
    text = clean(text)
    return text[:-1] + "\n" if text.endswith("\r") else text
