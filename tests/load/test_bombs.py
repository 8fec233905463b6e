"""Operations as large, as deep and as many as the limits allow, and larger: done within moments, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep
from typing import Final

import pytest

from tests.load.hostile import PATTERNS
from tests.load.probed_process import INTERVAL_S
from tests.load.running import Running, running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND
from tests.serving import Json, at, op_id

KIB: Final = 1024
OP_MS_MAX: Final = 250.0
SLOWER: Final = 1 if BY_HAND else 4
"""How much slower than by hand a machine of CI may be."""
DENSE: Final = ("inserted: headings", "inserted: setext headings", "headings, lowered")
"""Sixty thousand headings at once: each is a block to be found, so these take longer, told apart from all others."""
DENSE_MS_MAX: Final = 1_000.0
REFUSED: Final = (
    "a number out of all bounds",
    "a path of a thousand titles",
    "a pattern that is too long",
    "an id of a quarter of a megabyte",
    "content that is too much",
    "inserted: newlines",
    "meta that is too much",
    "the last of very many",
)
TEXT: Final = "# Title\n\n" + "The quick brown fox jumps over the lazy dog.\n\n" * 5_000
"""235 KB."""
LARGEST: Final = 240 * KIB


def section(*path: str, **fields: object) -> Json:
    return {"type": "heading", "heading": {"path": list(path), **fields}}


INSERTED: Final[Mapping[str, str]] = {
    "one line": "a" * LARGEST,
    "newlines": "\n" * LARGEST,
    "spaces": " " * LARGEST,
    "brackets": "[" * LARGEST,
    "headings": "# a\n" * (LARGEST // 4),
    "setext headings": "a\n=\n" * (LARGEST // 4),
    "quotes in quotes": (">" * 100 + "\n") * (LARGEST // 101),
    "lists in lists": ("- " * 50 + "\n") * (LARGEST // 101),
    "link definitions": "[a]: /b\n" * (LARGEST // 8),
    "tables": "|a|b|\n|-|-|\n" * (LARGEST // 12),
    "fences": "```\nx\n" * (LARGEST // 6),
    "comments": "<!--\n" * (LARGEST // 5),
    "emoji": "😀" * (LARGEST // 4),
    "combining": "a" + "\u0301" * (LARGEST // 2 - 1),
}
OTHERS: Final[Mapping[str, Json]] = {
    "indented a lot, dedented": {"content": (" " * 99 + "x\n") * (LARGEST // 101), "options": {"dedent": True}},
    "headings, lowered": {
        "target": section("Title"),
        "content": "# a\n" * (LARGEST // 4),
        "options": {"relative_headings": True},
    },
    "a match of a quarter of a megabyte": {"target": {"type": "text", "text": {"match": "a" * LARGEST}}},
    "a match that nearly is, everywhere": {
        "target": {"type": "text", "text": {"match": "The quick brown foxy" * 5_000}}
    },
    "the last of very many": {"target": {"type": "text", "text": {"match": "o", "nth": 2**53}}},
    "a path of a thousand titles": {"action": "upsert_section", "target": section(*["Title"] * 1_000)},
    "a title of a kilobyte": {"action": "upsert_section", "target": section("# " * 500)},
    "an id of a quarter of a megabyte": {"target": {"type": "heading", "heading": {"heading_id": "a" * LARGEST}}},
    "all of it replaced": {"action": "replace", "target": at("range", **{"from": 0, "to": len(TEXT)})},
    "a pattern that is too long": {"target": {"type": "regex", "regex": {"pattern": "a" * 513}}},
    "a number out of all bounds": {"target": at("offset", offset=2**62)},
    "meta that is too much": {"meta": {f"key-{number}": "x" for number in range(17)}},
    "content that is too much": {"content": "a" * (256 * KIB + 1)},
}


def bombs() -> dict[str, Json]:
    """Return all of them by name."""
    inserted = {f"inserted: {name}": {"content": content} for name, content in INSERTED.items()}
    patterns = {
        f"pattern: {name}": {"target": {"type": "regex", "regex": regex}, "content": "x"}
        for name, regex in PATTERNS.items()
    }
    return {**inserted, **patterns, **OTHERS}


@pytest.mark.promise("R34")
@pytest.mark.slow
def test_every_operation_is_done_within_moments_or_refused(findings: Findings) -> None:
    took_ms: dict[str, float] = {}
    refused: list[str] = []
    with running() as server:
        for number, (name, fields) in enumerate(bombs().items()):
            status, took_ms[name] = detonate(server, f"bombed-{number}", fields)
            if status == 422:
                refused.append(name)
    dense_ms = max(took_ms.pop(name) for name in DENSE)
    slowest = max(took_ms, key=lambda name: took_ms[name])
    findings.tell("R34", "operations of the worst kind", f"{len(bombs())}, {len(refused)} of them refused")
    findings.tell("R34", f"slowest operation ({slowest})", f"{took_ms[slowest]:.0f} ms", "under 250 ms, or refused")
    findings.tell("R34", "slowest with sixty thousand headings", f"{dense_ms:.0f} ms")
    assert set(refused) == set(REFUSED)
    assert took_ms[slowest] < SLOWER * OP_MS_MAX, slowest
    assert dense_ms < SLOWER * DENSE_MS_MAX


def detonate(server: Running, ref: str, fields: Json) -> tuple[int, float]:
    """Send an operation to a fresh canvas; return the status and for how long it held the loop, in its own time."""
    version = server.create(ref, TEXT)
    server.http.get(f"/api/v2/canvas/{ref}")
    sleep(3 * INTERVAL_S)
    assert server.lags
    known = {"op_id": op_id(), "client_version": version, "scope": "range", "action": "insert", "content": "x"}
    operation = {**known, "target": at("offset", offset=len(TEXT) // 2), **fields}
    answer = server.http.post(f"/api/v2/canvas/{ref}/ops:stream?unit=codepoint", json={"ops": [operation]})
    assert answer.status_code in (202, 422), answer.text
    sleep(3 * INTERVAL_S)
    lag_ms = max(lag.own_ms for lag in server.lags)
    assert server.http.delete(f"/api/v2/canvas/{ref}").status_code == 204
    return answer.status_code, lag_ms
