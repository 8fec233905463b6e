"""The second net: HTML is parsed as a browser does, and only what is listed here comes out.

It takes any HTML, not only ours: whatever a bug or a trick got through the Markdown, after it there is no script, no
style, no address but a link's, and no name that could shadow one of the document's.
"""

from __future__ import annotations

from typing import Final

import nh3

from canvas_server.web.preview.markdown import LINK, is_inline_image

_BLOCKS: Final = ("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul")
_INLINE: Final = ("a", "br", "code", "em", "img", "s", "span", "strong")
_TABLES: Final = ("table", "tbody", "td", "th", "thead", "tr")
TAGS: Final = frozenset((*_BLOCKS, *_INLINE, *_TABLES))
ATTRIBUTES: Final = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}
"""By tag; beside them `rel`, `target`, `align` and `class` with the values below."""
ALIGNMENTS: Final = frozenset({"left", "center", "right"})
REL: Final = "noopener noreferrer nofollow"
_WITHOUT_CONTENT: Final = frozenset({"script", "style", "template", "noscript", "iframe", "object", "svg", "math"})


def _checked(tag: str, attribute: str, value: str) -> str | None:
    """Return the value of an attribute, or None to leave it out."""
    if attribute == "href":
        return value if LINK.match(value) else None
    if attribute == "src":
        return value if is_inline_image(value) else None
    if attribute == "start":
        return value if value.isascii() and value.isdigit() and len(value) <= 9 else None
    return value


_CLEANER: Final = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags=set(_WITHOUT_CONTENT),
    attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
    attribute_filter=_checked,
    tag_attribute_values={tag: {"align": set(ALIGNMENTS)} for tag in ("th", "td")},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={"a": {"image"}, "span": {"image"}},
    link_rel=REL,
    url_schemes={"http", "https", "mailto", "data"},
    url_relative="deny",
)


def sanitise(html: str) -> str:
    """Return the HTML with nothing in it but what is listed: tags, attributes, schemes."""
    return _CLEANER.clean(html)
