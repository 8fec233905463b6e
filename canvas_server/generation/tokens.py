"""How many tokens a text has, counted with tiktoken's own encodings.

Rule: nothing is ever downloaded, and the event loop never waits for more than a short text. The encodings come from
`encoding_files`; what they count for other vendors' models is an estimate and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
from tiktoken import Encoding

from canvas_server.generation.encoding_files import load_encoding
from canvas_server.generation.providers.encodings import encoding_of

INLINE_CHARS_MAX: Final = 8_192
"""Longer texts are counted in a thread; this many take about a millisecond."""

PIECE_CHARS_MAX: Final = 65_536
"""Longer texts are counted in pieces: on a million blanks in a row tiktoken's regex runs out of stack and panics."""

THREADS_MAX: Final = 2

_FRAME_TOKENS: Final = 32
"""What a provider's own framing of a prompt takes, generously."""


class TokenCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens a text has."""

    tokens: int
    exact: bool
    """Counted as the provider counts; otherwise an estimate."""
    encoding: str

    @property
    def at_most(self) -> int:
        """What the provider may bill for it as a prompt; an estimate may be half as much again."""
        return _FRAME_TOKENS + (self.tokens if self.exact else self.tokens + self.tokens // 2)


class TokenCounter:
    """Counts tokens; `close` it.

    Args:
        folder: where the files of the encodings are kept; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, Encoding] = {}
        self._loading = Lock()
        # Its own threads, because a count that nobody waits for any more still occupies one until it is done.
        self._executor = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix="canvas-tokens")

    async def count(self, text: str, provider: str, model: str) -> TokenCount:
        """Return how many tokens a text has for a model, framing left out.

        Raises:
            StorageUnavailableError: the files of the encodings cannot be written.
            ConfigError: they are not installed.
        """
        name, exact = encoding_of(provider, model)
        encoding = self._loaded.get(name)
        if encoding is not None and len(text) <= INLINE_CHARS_MAX:
            tokens = _tokens(encoding, text)
        else:
            loop = asyncio.get_running_loop()
            tokens = await loop.run_in_executor(self._executor, self._load_and_count, name, text)
        return TokenCount(tokens=tokens, exact=exact, encoding=name)

    def close(self) -> None:
        """Let the threads end; counts that have not begun are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _load_and_count(self, name: str, text: str) -> int:
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = load_encoding(name, self._folder)
        return sum(_tokens(self._loaded[name], piece) for piece in pieces_of(text))


def pieces_of(text: str) -> Iterator[str]:
    """Cut a text into pieces of at most `PIECE_CHARS_MAX` that together have as many tokens.

    No token of either encoding holds a newline with a letter after it; a text without any such place is cut anywhere,
    which adds a token or two.
    """
    start = 0
    while len(text) - start > PIECE_CHARS_MAX:
        end = _last_line_start(text, start + 1, start + PIECE_CHARS_MAX) or start + PIECE_CHARS_MAX
        yield text[start:end]
        start = end
    yield text[start:]


def _last_line_start(text: str, start: int, end: int) -> int | None:
    """Return the last place from `start` to `end` where a newline is before and a letter after."""
    while (newline := text.rfind("\n", start, end)) != -1:
        if text[newline + 1].isalpha():
            return newline + 1
        end = newline
    return None


def _tokens(encoding: Encoding, text: str) -> int:
    return len(encoding.encode_ordinary(text))
