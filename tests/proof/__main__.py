"""Proves promises by hand: `python -m tests.proof [NAME ...] [--lane ci] [--docs]`.

Runs the tests that prove them, with the amounts of the lane, prints what was promised beside what was measured, and
exits with 1 if a test failed. Findings are kept from run to run, so that a long proof can be run in parts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from tests.proof.findings import VARIABLE, Finding, read
from tests.proof.promises import PROMISES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "canvas_server" / "docs" / "promises.md"
BEGIN: Final = "<!-- prove -->\n"
END: Final = "<!-- /prove -->\n"


def run(names: Collection[str], lane: str) -> tuple[bool, list[Finding]]:
    """Run the proofs of some promises; return whether all held, and what was found."""
    with TemporaryDirectory() as folder:
        found = Path(folder) / "findings"
        found.touch()
        environment = {**os.environ, "CANVAS_LANE": lane, "CANVAS_PROMISES": ",".join(names), VARIABLE: str(found)}
        done = subprocess.run([sys.executable, "-m", "pytest", "-m", "promise"], cwd=ROOT, env=environment, check=False)
        return done.returncode == 0, list(read(found))


def merged(before: Iterable[Finding], found: Iterable[Finding]) -> list[Finding]:
    """Let new findings take the place of old ones of the same thing, but none of CI that of one by hand."""
    known = {(finding.promise, finding.what): finding for finding in before}
    for finding in found:
        key = (finding.promise, finding.what)
        if finding.by_hand or key not in known or not known[key].by_hand:
            known[key] = finding
    return [known[key] for key in sorted(known, key=lambda key: (int(key[0][1:]), key[1]))]


def table(findings: Collection[Finding]) -> Iterator[str]:
    """Yield the lines of a Markdown table: what was promised, how it is tested, what was measured."""
    yield "| | what is promised | how it is tested | what was measured |"
    yield "| --- | --- | --- | --- |"
    for name, promise in PROMISES.items():
        told = [_told(finding) for finding in findings if finding.promise == name]
        yield f"| {name} | {promise.what} | {promise.how} | {'<br>'.join(told) or 'nothing yet'} |"


def _told(finding: Finding) -> str:
    goal = f" (goal: {finding.goal})" if finding.goal else ""
    lane = "" if finding.by_hand else ", in CI"
    return f"{finding.what}{lane}: {finding.value}{goal}".replace("|", "\\|")


def write_page(lines: Iterable[str]) -> None:
    """Put the table into the documentation."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + tail, encoding="utf-8")


def main() -> None:
    """Prove, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="R1, R2 ...; all without one")
    parser.add_argument("--lane", choices=("hand", "ci"), default="hand", help="how much of each; hand takes hours")
    parser.add_argument("--findings", type=Path, default=ROOT / "proof.json", help="where findings are kept")
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    parser.add_argument("--only-table", action="store_true", help="prove nothing, show what is kept")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(PROMISES):
        parser.error(f"no promise is called {', '.join(sorted(unknown))}")
    kept = msgspec.json.decode(chosen.findings.read_bytes(), type=list[Finding]) if chosen.findings.exists() else []
    held = True
    if not chosen.only_table:
        held, found = run(chosen.names, chosen.lane)
        kept = merged(kept, found)
        chosen.findings.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    lines = list(table(kept))
    print("\n".join(lines))
    if chosen.docs:
        write_page(lines)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
