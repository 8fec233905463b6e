"""Markdown as HTML: CommonMark with tables and strikethrough, without HTML of the author's.

Rule: what comes out names no other place but in links that somebody has to click. An image from elsewhere is such a
link. What comes out here still goes through `sanitise.py`: neither of the two relies on the other.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64Error
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from canvas_server.core.front_matter import front_matter_end
from canvas_server.core.text import Text

NESTING_MAX: Final = 60
"""Blocks in blocks, and inline elements in each other; browsers give up at 512."""
IMAGE_CHARS_MAX: Final = 256 * 1024
"""Of the address of an image that stands in the text itself."""
IMAGE_MARK: Final = "▣"
"""Stands before the words of an image that is not shown."""

LINK: Final = re.compile(r"(?:https?://[^/\\?#]|mailto:[^?])", re.IGNORECASE)
"""How the address of a link begins."""
INLINE_IMAGE: Final = re.compile(r"data:image/(png|gif|jpeg|webp);base64,([A-Za-z0-9+/]+={0,2})")
"""The address of an image that stands in the text itself: raster images only, for others can hold scripts."""

_SIGNATURES: Final = {"png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF8", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}
_ALIGNMENT: Final = re.compile(r"text-align:(left|center|right)")


class Markdown:
    """Renders Markdown."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_MAX})
        self._parser.enable(["table", "strikethrough"])
        self._parser.core.ruler.push("inert", _make_inert)

    def render(self, text: str) -> str:
        """Return a text as HTML; YAML front matter is shown as it is written."""
        end = front_matter_end(Text(text))
        html: str = self._parser.render(text[end:])
        return self._front_matter(text[:end]) + html if end else html

    def _front_matter(self, text: str) -> str:
        block = Token("code_block", "code", 0, content=text)
        html: str = self._parser.renderer.render([block], self._parser.options, {})
        return html


def is_inline_image(address: str) -> bool:
    """Tell whether an address holds a raster image of a bounded size, which is what it says it is."""
    if len(address) > IMAGE_CHARS_MAX or (match := INLINE_IMAGE.fullmatch(address)) is None:
        return False
    try:
        start = b64decode(match[2][:64] if len(match[2]) > 64 else match[2], validate=True)
    except NotBase64Error:
        return False
    return start.startswith(_SIGNATURES[match[1]])


def _make_inert(state: StateCore) -> None:
    for token in state.tokens:
        if token.children:
            token.children = list(_inert(token.children))
        elif token.type in ("th_open", "td_open"):
            _align(token)


def _align(token: Token) -> None:
    """Say alignment by the old attribute: a style attribute is what the policy of the page forbids."""
    match = _ALIGNMENT.fullmatch(str(token.attrs.pop("style", "")))
    if match:
        token.attrs["align"] = match[1]


def _inert(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield inline tokens: links only to where they may lead, images only if they are there, bounded in depth."""
    kept: list[bool] = []
    depth = links = 0
    for token in tokens:
        if token.nesting == 1:
            kept.append(depth < NESTING_MAX and (token.type != "link_open" or _leads_somewhere(token)))
            depth += kept[-1]
            links += kept[-1] and token.type == "link_open"
        is_kept = kept[-1] if token.nesting else True
        if token.nesting == -1:
            kept.pop()
            depth -= is_kept
            links -= is_kept and token.type == "link_close"
        if token.type == "image" and not is_inline_image(str(token.attrs["src"])):
            yield from _placeholder(token, is_in_link=links > 0)
        elif is_kept:
            yield token


def _leads_somewhere(link: Token) -> bool:
    return LINK.match(str(link.attrs.get("href", ""))) is not None


def _placeholder(image: Token, *, is_in_link: bool) -> Iterator[Token]:
    """Yield what stands for an image that would have to be fetched: its words and its host, as a link if it can be."""
    address = str(image.attrs["src"])
    host = _host_of(address)
    words = " ".join([IMAGE_MARK, _words_of(image.children or []), f"({host})" if host else ""]).strip()
    tag, attrs = ("a", {"href": address}) if host and not is_in_link else ("span", {})
    yield Token("link_open", tag, 1, attrs={"class": "image", **attrs})
    yield Token("text", "", 0, content=words)
    yield Token("link_close", tag, -1)


def _words_of(tokens: Sequence[Token]) -> str:
    """Return what an image says instead of itself; images in it say what they say."""
    return "".join(
        _words_of(token.children or []) if token.type == "image" else token.content or " " * (token.tag == "br")
        for token in tokens
    )


def _host_of(address: str) -> str:
    """Return the host of an address that may be asked of a browser; empty if there is none."""
    if not address.lower().startswith(("http://", "https://")) or not LINK.match(address):
        return ""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
