"""What the double is told to do with the next calls."""

from __future__ import annotations

import re
from collections import deque
from typing import Final, Literal, TypeAlias

import msgspec

Fault: TypeAlias = Literal[
    "400",  # cannot be read
    "401",  # the key is wrong
    "404_model",  # there is no such model
    "429",  # too often; says when to come back
    "500",
    "503",
    "redirect",  # asks to go elsewhere with the key and the prompt
    "refuse_prefix",  # 400 where an answer is to be continued
    "hang_before_headers",
    "hang_before_text",  # headers and the answer's name, then silence
    "hang_during",  # silence after `after_words`
    "drip",  # after `after_words` only comments, which keep the connection busy
    "flood",  # large words at once, far more than anybody wants
    "cut",  # the connection breaks after `after_words`
    "no_finish",  # a clean end after `after_words`, without a reason
    "malformed",  # an event that is no JSON
    "error_event",  # an error in the middle of the stream
    "failed",  # the end says that the provider failed
    "content_filter",  # the end says that the filter stopped it
    "refusal",  # a refusal instead of an answer
    "ignore_disconnect",  # goes on, and bills, when nobody reads
    "hang_cancel",  # does not answer when told to stop, and does not stop
    "forgotten",  # cannot be asked for again
]

STATUSES: Final[dict[str, int]] = {"400": 400, "401": 401, "404_model": 404, "429": 429, "500": 500, "503": 503}
"""Faults that answer with a status and no stream."""

FLOOD_WORD: Final = " " + "x" * 16_383
FLOOD_WORDS_MAX: Final = 8_192
"""So many are without end for whoever takes 4 MiB at most, and no test fills the memory of its machine."""
_PIECE: Final = re.compile(r"\s*\S+(?:\s+$)?")


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one call is answered; JSON of `POST /script`."""

    words: int = 10
    """`mot-1 mot-2 ...`; one word is one token."""
    text: str | None = None
    """Answered as it is, instead of words."""
    pace_ms: int = 0
    """Before each word."""
    stamp: bool = False
    """Each word is the moment it was produced instead, `CLOCK_MONOTONIC` in ns."""
    fault: Fault | None = None
    after_words: int = 0
    """Where the faults of a stream happen."""
    readers: int = 1
    """How many readers of a background answer meet the fault."""
    retry_after: str | int | None = None
    """Of a 429: seconds or an HTTP date."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    """Billed on top of the words."""
    usage: bool = True
    """Whether the end tells what was used."""
    echo_prefix: bool = True
    """Whether a continued answer begins with what it continues, as Mistral's does."""
    times: int = 1
    """For so many calls."""
    default: bool = False
    """For all calls that nothing else was said for."""

    @property
    def pieces(self) -> list[str]:
        """The answer, a token each."""
        text = self.text
        if text is None:
            text = " ".join(f"mot-{number}" for number in range(1, self.words + 1))
        return _PIECE.findall(text)


class Script:
    """Plans in the order they were told, then the default."""

    def __init__(self) -> None:
        self._default = Plan()
        self._next: deque[Plan] = deque()

    def tell(self, plan: Plan) -> None:
        if plan.default:
            self._default = plan
        else:
            self._next.extend([plan] * plan.times)

    def take(self) -> Plan:
        return self._next.popleft() if self._next else self._default
