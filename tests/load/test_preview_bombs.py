"""Markdown made to stall parsers, as large as a preview may be: rendered or refused in time, and nobody else waits."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter, sleep
from typing import Final

import pytest

from tests.load.probed_process import INTERVAL_S
from tests.load.running import running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount

KIB: Final = 1024
LAG_MS_MAX: Final = 250.0
SLOWER: Final = 1 if BY_HAND else 4
"""How much slower than by hand a machine of CI may be."""
CPU_S_MAX: Final = 5.0
"""The default of `limits.preview_cpu_s`."""
ANSWER_S_MAX: Final = amount(ci=2, hand=1) * 4 * (CPU_S_MAX + 1)
"""By the clock, on a machine that others use as well: what the server itself waits at most; in CI, and then answers."""
REFUSALS: Final = (413,) if BY_HAND else (413, 503)
"""A machine of CI may be too busy to give the process that renders its time."""
SIZE: Final = amount(ci=32 * KIB, hand=512 * KIB - 16)


def repeated(unit: str) -> str:
    return unit * (SIZE // len(unit.encode()))


BOMBS: Final[Mapping[str, str]] = {
    "brackets": repeated("["),
    "image brackets": repeated("!["),
    "brackets on lines": repeated("[a\n"),
    "brackets in brackets": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "links that never close": repeated("[a]("),
    "images in brackets": repeated("![[]()"),
    "stars": repeated("*"),
    "stars that open": repeated("*a "),
    "stars that may do either": repeated("a**b"),
    "strong words": repeated("**x** "),
    "emphasis in emphasis": "*a " * (SIZE // 6) + "b*" * (SIZE // 6),
    "stars and underscores": repeated("*a _b "),
    "underscores": repeated("_"),
    "backticks": repeated("`"),
    "backticks of all lengths": "".join("a" + "`" * length for length in range(1, int((2 * SIZE) ** 0.5) - 2)),
    "tildes": repeated("~~a "),
    "quotes in quotes": repeated(">" * 100 + "\n"),
    "lists in lists": repeated("- " * 50 + "\n"),
    "quotes in lists": repeated("> - " * 60 + "\n"),
    "a list in steps": "".join(" " * (2 * step) + "- a\n" for step in range(int(SIZE**0.5) - 4)),
    "link definitions": repeated("[a]: /b\n"),
    "a definition and its uses": "[a]: https://a.example/b\n\n" + "[a]" * (SIZE // 3 - 16),
    "a long definition and its uses": f"[a]: https://a.example/{'b' * (SIZE // 8)}\n\n" + "[a]" * (SIZE // 8),
    "a title without an end": '[a]: b "' + repeated("c\n")[16:],
    "ten thousand columns": "|"
    + "a|" * 10_000
    + "\n|"
    + "-|" * 10_000
    + "\n"
    + ("|" + "b|" * 10_000 + "\n") * (SIZE // 32_000),
    "many wide rows": "|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + repeated("x\n")[4_000:],
    "many tables": repeated("|a|b|\n|-|-|\n\n"),
    "entities": repeated("&amp;"),
    "broken entities": repeated("&"),
    "half comments": repeated("<!--"),
    "half CDATA": repeated("<![CDATA["),
    "half tags": repeated("<a "),
    "headings": repeated("# a\n"),
    "setext headings": repeated("a\n=\n"),
    "ordered lists": repeated("1. a\n"),
    "rules": repeated("---\n"),
}


@pytest.mark.promise("R34", "R35")
@pytest.mark.slow
@pytest.mark.timeout(300 if not BY_HAND else 900)
def test_every_bomb_is_rendered_or_refused_in_time_and_nobody_waits_for_it(findings: Findings) -> None:
    took_s: dict[str, float] = {}
    late_ms: dict[str, float] = {}
    refused: list[str] = []
    with running() as server:
        for number, (name, text) in enumerate(BOMBS.items()):
            ref = f"bomb-{number}"
            server.create(ref, text)
            sleep(3 * INTERVAL_S)
            assert server.lags
            start_s = perf_counter()
            answer = server.http.get(f"/api/v2/canvas/{ref}/preview", timeout=2 * ANSWER_S_MAX)
            took_s[name] = perf_counter() - start_s
            sleep(3 * INTERVAL_S)
            late_ms[name] = max(lag.own_ms for lag in server.lags)
            assert answer.status_code in (200, *REFUSALS), answer.text
            if answer.status_code in REFUSALS:
                refused.append(name)
            assert server.http.delete(f"/api/v2/canvas/{ref}").status_code == 204
    slowest = max(took_s, key=lambda name: took_s[name])
    latest = max(late_ms, key=lambda name: late_ms[name])
    findings.tell(
        "R34", "Markdown bombs previewed", f"{len(BOMBS)} of {SIZE // KIB} KiB, {len(refused)} of them refused"
    )
    findings.tell(
        "R34", f"slowest preview ({slowest})", f"{took_s[slowest]:.1f} s", "5 s of processor time, then refused"
    )
    findings.tell("R34", f"latest loop during a preview ({latest})", f"{late_ms[latest]:.0f} ms", "under 250 ms")
    assert late_ms[latest] < SLOWER * LAG_MS_MAX, latest
    assert took_s[slowest] < ANSWER_S_MAX, slowest
