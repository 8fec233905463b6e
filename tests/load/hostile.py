"""What a hostile author can send that is allowed: texts of the greatest size, and requests that cost the most.

Rule: every request here is within all limits, so it must be answered, and nobody else may wait for long meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import httpx2

from tests.proof.lane import amount
from tests.serving import Json, at, op_id

CANVAS_BYTES: Final = 2 * 1024 * 1024 - 64 * 1024
"""Leaves room for what is inserted."""
RESTYLED_BYTES: Final = amount(ci=CANVAS_BYTES // 4, hand=CANVAS_BYTES)


def repeated(unit: str, size_bytes: int = CANVAS_BYTES) -> str:
    """Return a text of about that size, by default of the greatest that a canvas may have."""
    return unit * (size_bytes // len(unit.encode()))


TEXTS: Final[Mapping[str, str]] = {
    "prose": repeated("# Title\n\n" + "The quick brown fox jumps over the lazy dog.\n\n" * 50),
    "brackets": repeated("["),
    "quotes in quotes": repeated("> " * 50 + "x\n"),
    "lists in lists": repeated("- " * 40 + "x\n"),
    "emoji": repeated("😀 smile é\n\n"),
    "one line": repeated("a "),
    "spaces": repeated(" "),
    "an open comment": repeated("<!-- x\n"),
}
"""What Markdown parsers have been stalled by."""

RESTYLED: Final[Mapping[str, tuple[str, str]]] = {
    "fences": (repeated("```\nx\n", RESTYLED_BYTES), "x"),
    "headings": (repeated("# a\n", RESTYLED_BYTES), "```\n"),
    "one paragraph": (repeated("words and words\n", RESTYLED_BYTES), "x"),
    "one paragraph of backticks": (repeated("`" * 30 + "\n", RESTYLED_BYTES), "x"),
}
"""Texts, and what makes other blocks of all of it when it is inserted at the start."""

PATTERNS: Final[Mapping[str, Json]] = {
    "every character": {"pattern": ".", "nth": 9_999},
    "nothing, everywhere": {"pattern": "q*", "nth": 9_999},
    "from the end": {"pattern": "(.)(.)(.)(.)", "nth": -1},
    "nested quantifiers": {"pattern": "(x+x+)+y"},
    "nested alternatives": {"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$", "flags": "m"},
    "alternatives that overlap": {"pattern": "(a|aa|aaa)*z"},
    "counted in counted": {"pattern": "(((a{0,30}){0,30}){0,1})z"},
    "a class five hundred times": {"pattern": r"[\pL\pN]{500}ZZ"},
    "anything, four times": {"pattern": ".*.*.*=.*", "flags": "s"},
    "many stars": {"pattern": "(a|b|c|d|e|f|g)*" * 20 + "x{1000}$", "flags": "i"},
    "look-around": {"pattern": "(?=(a+))a*b\\1"},
    "a mail address": {"pattern": r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}$", "flags": "m"},
}


class Ask(NamedTuple):
    """A request that costs much."""

    name: str
    method: str
    path: str
    body: Json | None = None

    def send(self, http: httpx2.Client) -> httpx2.Response:
        """Send it."""
        return http.request(self.method, f"/api/v2/canvas/{self.path}", json=self.body)


def asks(ref: str, version: str, text: str) -> Iterator[Ask]:
    """Yield what can be asked of a canvas that costs much; it changes with what is asked."""

    def submit(name: str, action: str, target: Json, content: str | None = "x") -> Ask:
        operation = {"op_id": op_id(), "client_version": version, "scope": "range", "action": action, "target": target}
        if content is not None:
            operation["content"] = content
        return Ask(name, "POST", f"{ref}/ops:stream?unit=codepoint", {"ops": [operation]})

    for name, regex in PATTERNS.items():
        yield submit(f"pattern: {name}", "insert", {"type": "regex", "regex": regex})
    for name, match in (
        ("many", {"match": "a"}),
        ("a late one", {"match": " ", "nth": 9_999}),
        ("none", {"match": "qqq"}),
    ):
        yield submit(f"match: {name}", "insert", {"type": "text", "text": match})
    yield submit("no such heading", "replace", {"type": "heading", "heading": {"path": ["nowhere to be found"]}})
    yield submit("a section is made", "upsert_section", {"type": "heading", "heading": {"path": ["new one"]}})
    yield submit("no table of contents", "insert", {"type": "anchor", "anchor": {"name": "after_toc"}})
    for name, offset in (("start", 0), ("middle", len(text) // 2), ("end", len(text))):
        yield submit(f"typed at the {name}", "insert", at("offset", offset=offset))
    yield submit("a fence in the middle", "insert", at("offset", offset=len(text) // 3), "\n\n```\n")
    yield submit("half is deleted", "delete", at("range", **{"from": 10, "to": len(text) // 2}), None)
    operation = {"op_id": op_id(), "client_version": version, "action": "insert", "target": at("start"), "content": "x"}
    yield Ask("preview", "POST", f"{ref}/ops:preview", {"ops": [{**operation, "scope": "range"}]})
    for name, path in (
        ("read", ""),
        ("the past", "?at=0"),
        ("a past section", "?at=0&section=title"),
        ("outline", "/outline"),
        ("history", "/ops?limit=1000"),
    ):
        yield Ask(name, "GET", ref + path)
    yield Ask("close", "POST", f"{ref}:close")
    yield Ask("load", "GET", f"{ref}/outline")
