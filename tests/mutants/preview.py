"""Planted bugs of the preview: what it lets through, and what it lets run too long."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_MARKDOWN: Final = ("tests/web/test_preview_markdown.py",)
_PREVIEW: Final = ("tests/web/test_preview.py",)

MUTANTS: Final = (
    Mutant(
        "preview-html-of-the-author",
        "web/preview/markdown.py",
        '"html": False',
        '"html": True',
        _MARKDOWN,
    ),
    Mutant(
        "preview-fetches-images", "web/preview/markdown.py", "and not is_inline_image(str(", "and not (str(", _MARKDOWN
    ),
    Mutant(
        "preview-links-anywhere",
        "web/preview/markdown.py",
        'return LINK.match(str(link.attrs.get("href", ""))) is not None',
        "return True",
        _MARKDOWN,
    ),
    Mutant(
        "preview-any-depth",
        "web/preview/markdown.py",
        "kept.append(depth < NESTING_MAX and",
        "kept.append(True and",
        _MARKDOWN,
    ),
    Mutant("preview-no-second-net", "web/preview/sanitise.py", "return _CLEANER.clean(html)", "return html", _MARKDOWN),
    Mutant(
        "preview-any-image-in-the-net",
        "web/preview/sanitise.py",
        "return value if is_inline_image(value) else None",
        "return value",
        _MARKDOWN,
    ),
    Mutant("preview-opener", "web/preview/sanitise.py", '"noopener noreferrer nofollow"', '"nofollow"', _MARKDOWN),
    Mutant(
        "preview-without-deadline",
        "web/preview/worker.py",
        "signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)",
        "pass",
        _PREVIEW,
        "slow",
    ),
    Mutant(
        "preview-any-size-of-html",
        "web/preview/worker.py",
        "if len(html) > limits.html_bytes_max:",
        "if False:",
        _PREVIEW,
        "slow",
    ),
    Mutant(
        "preview-knows-the-keys",
        "web/preview/process.py",
        "env={**known, **told},",
        "env={**os.environ, **told},",
        _PREVIEW,
    ),
    Mutant(
        "preview-two-versions-at-once",
        "web/preview/press.py",
        "while (running := self._running.get(key)) is not None:",
        "while (running := None) is not None:",
        _PREVIEW,
    ),
    Mutant(
        "preview-waits-without-bound",
        "web/preview/press.py",
        "if self._waiting >= self._limits.waiting_max:",
        "if False:",
        _PREVIEW,
    ),
    Mutant(
        "preview-keeps-the-past",
        "web/preview/press.py",
        "        if is_newest:\n            self._keep",
        "        if True:\n            self._keep",
        _PREVIEW,
    ),
    Mutant(
        "preview-keeps-all",
        "web/preview/press.py",
        "while self._kept_bytes > self._limits.kept_bytes_max:",
        "while False:",
        _PREVIEW,
    ),
)
