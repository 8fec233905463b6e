"""Strings that have broken other programs, in every place where a request has a string: path, query, header, field.

None is a fault of the server's, every refusal is a listed one, and nothing changes that was not asked to change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Final
from urllib.parse import quote_from_bytes

import pytest
from msgspec.structs import replace

from canvas_server.config import Settings
from canvas_server.config.settings import LimitSettings, StorageSettings
from canvas_server.core.ids import is_canvas_ref
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import IN_MEMORY, Canvas, Served, append, serving
from tests.web.answers import SLOWEST_S_MAX, Told, asked, request
from tests.web.corpora import corpus, naughty_bytes

STRINGS: Final = amount(ci=30, hand=10_000)
"""As many, or all there are."""
IMPATIENT: Final = LimitSettings(first_byte_s=1.0, headers_s=1.0, body_s=1.0, ndjson_idle_s=1.0)
"""A string can promise a body that never comes."""
CANVAS: Final = b"/api/v2/canvas/asked"
PATHS: Final = (
    b"/%b",
    b"/page/%b",
    b"/api/v2/canvas/%b",
    b"/api/v2/canvas/%b:close",
    CANVAS + b"/ops/%b",
    CANVAS + b"%b",
)
QUERIES: Final = (
    CANVAS + b"?at=%b",
    CANVAS + b"?section=%b",
    CANVAS + b"?unit=%b",
    CANVAS + b"/ops?after=%b",
    CANVAS + b"/ops?limit=%b",
    CANVAS + b"?%b",
    b"/api/v2/canvas?cursor=%b",
    b"/api/v2/ops:listen?ref=%b",
    CANVAS + b"/ops:listen?last_event_id=%b",
    CANVAS + b"/ops:listen?snapshot=%b",
)
HEADERS: Final = (
    b"Host Accept If-None-Match Authorization X-Client-Id Origin Sec-Fetch-Site Sec-Purpose "
    b"Last-Event-ID Content-Type Content-Encoding Transfer-Encoding Content-Length Connection Upgrade"
).split()
JSON: Final = {b"Content-Type": b"application/json"}


class Judge:
    """Counts what was asked, and holds every answer to what all must be."""

    def __init__(self, served: Served) -> None:
        self._port = served.port
        self.asked = 0
        self.codes: Counter[str] = Counter()
        self.slowest_s = 0.0

    def ask(self, method: bytes, target: bytes, fields: dict[bytes, bytes], body: bytes = b"") -> Told:
        """Ask, and judge the answer."""
        started_s = perf_counter()
        told = asked(self._port, request(method, target, fields, body))
        self.slowest_s = max(self.slowest_s, perf_counter() - started_s)
        self.asked += 1
        self.codes[told.code] += 1
        return told


@pytest.mark.promise("R30")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
def test_no_string_in_any_place_of_a_request_breaks_or_changes_anything(findings: Findings) -> None:
    strings = naughty_bytes()[:STRINGS]
    with serving(replace(IN_MEMORY, limits=IMPATIENT)) as served:
        canvas = served.canvas("# One\n\nText 😀\n", ref="asked")
        judge, before = Judge(served), canvas.state
        for string in strings:
            ask_in_the_head(judge, string)
            for body in bodies(canvas, string.decode(errors="replace")):
                judge.ask(b"POST", CANVAS + b"/ops:preview", JSON, body)
            for path in (b"/ops:stream", b"/ops:preview", b"/presence", b":close"):
                if string.strip() not in (b"{}", b""):
                    judge.ask(b"POST", CANVAS + path, JSON, string)
        assert canvas.state == before
        assert canvas.http.get(f"{canvas.path}/ops").json()["events"] == []
    refused = judge.asked - judge.codes[""]
    findings.tell("R30", "requests with a naughty string", f"{judge.asked}, {len(strings)} strings in every place")
    findings.tell("R30", "of these refused", f"{refused}, with {len(judge.codes) - 1} codes", "no fault")
    findings.tell("R30", "slowest answer to a naughty string", f"{judge.slowest_s * 1000:.0f} ms", "under 1 s")
    assert refused > judge.asked / 4
    assert len(judge.codes) > 6
    assert judge.slowest_s < SLOWEST_S_MAX


def ask_in_the_head(judge: Judge, string: bytes) -> None:
    """Ask with a string in the path, in the query, and in every header."""
    encoded = quote_from_bytes(string, safe="").encode()
    for place in (*PATHS, *QUERIES):
        judge.ask(b"POST" if b":close" in place else b"GET", place % encoded, {})
    for name in HEADERS:
        judge.ask(b"GET", CANVAS, {name: string})


def bodies(canvas: Canvas, text: str) -> Iterator[bytes]:
    """Yield operations with a text in each of their fields."""
    version = canvas.version
    for fields in (
        {"op_id": text},
        {"client_version": text},
        {"scope": text},
        {"action": text},
        {"where": text},
        {"content": text},
        {"meta": {text: text}},
        {text: text},
        {"timestamp": text},
        {"target": {"type": text}},
        {"target": {"type": "text", "text": {"match": text}}},
        {"target": {"type": "regex", "regex": {"pattern": text[:512]}}},
        {"target": {"type": "regex", "regex": {"pattern": "t", "flags": text}}},
        {"target": {"type": "heading", "heading": {"path": [text]}}, "action": "upsert_section"},
        {"target": {"type": "heading", "heading": {"heading_id": text}}},
        {"target": {"type": "anchor", "anchor": {"name": text}}},
        {"target": {"type": "op", "op": {"op_id": text}}, "action": "revert", "content": None},
    ):
        operation = {**append("x", client_version=version), **fields}
        sent = {name: value for name, value in operation.items() if value is not None}
        yield json.dumps({"ops": [sent]}).encode()


@pytest.mark.promise("R33")
@pytest.mark.slow
def test_no_path_leaves_the_folder_of_the_server(findings: Findings, tmp_path: Path) -> None:
    names = ("traversals-8-deep-exotic-encoding", "path-traversal-windows", "NullByteRepresentations")
    paths = [line for name in names for line in corpus(f"fuzzdb/{name}.txt").splitlines() if line]
    paths = [path.replace(b"{FILE}", b"secret.txt") for path in paths[:: amount(ci=4, hand=1)]]
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody may read this")
    with serving(Settings(storage=StorageSettings(data_dir=str(data_dir)))) as served:
        judge = Judge(served)
        for path in paths:
            for place in (b"/%b", b"/page/%b", b"/api/v2/canvas/%b"):
                for target in (place % path, place % quote_from_bytes(path, safe="").encode()):
                    told = judge.ask(b"PUT" if b"canvas" in place else b"GET", target, {})
                    assert b"nobody may read" not in told.body
                    assert b"root:" not in told.body
                    assert 400 <= told.status < 500 or is_canvas_ref(path.decode("latin-1")), target
    findings.tell("R33", "requests for paths that lead out", judge.asked, "each refused, no file touched outside")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "secret.txt"]
    assert all(path.name.startswith(("canvas.db", ".lock")) for path in data_dir.iterdir())


SPELLINGS: Final = {
    "upper case": "1B4E28BA-2FA1-11D2-883F-0016D3CCA427",
    "no hyphens": "1b4e28ba2fa111d2883f0016d3cca427",
    "braces": "{1b4e28ba-2fa1-11d2-883f-0016d3cca427}",
    "urn": "urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "full-width digits": "１b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "Arabic digits": "١b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "an underscore": "1b4e28b_a-2fa1-11d2-883f-0016d3cca427",
    "a plus": "+1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "a prefix": "0x1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "a space": "1b4e28ba-2fa1-11d2-883f-0016d3cca427 ",
    "a newline": "1b4e28ba-2fa1-11d2-883f-0016d3cca427\n",
    "NUL": "1b4e28ba-2fa1-11d2-883f-0016d3cca427\0",
    "a dot": "1b4e28ba-2fa1-11d2-883f-0016d3cca427.",
    "a slash": "1b4e28ba-2fa1-11d2-883f-0016d3cca427/",
    "a soft hyphen": "1b4e28ba\xad-2fa1-11d2-883f-0016d3cca427",
    "a Cyrillic a": "1b4e28bа-2fa1-11d2-883f-0016d3cca427",
}


@pytest.mark.promise("R33")
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_canvas_has_one_spelling_only(served: Served, spelling: str) -> None:
    ref = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    served.http.put(f"/api/v2/canvas/{ref}", json={"content": "the one"})
    encoded = quote_from_bytes(spelling.encode(), safe="").encode()
    told = asked(served.port, request(b"GET", b"/api/v2/canvas/" + encoded, {}))
    assert (told.status, told.code) == (404, "NOT_FOUND")
