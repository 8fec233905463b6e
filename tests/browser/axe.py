"""What axe finds wrong with a page: rules of accessibility that a program can check (WCAG 2.2, levels A and AA)."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page

from tests.npm import package

_VERSION: Final = "4.14.1"
_RUN: Final = """async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"], iframes: false });
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""


def violations(page: Page) -> list[str]:
    """Return a line for each element that breaks a rule, as the page is shown now."""
    page.evaluate((package("axe-core", _VERSION) / "axe.min.js").read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(_RUN)
    return found
