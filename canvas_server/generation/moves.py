"""How a job goes on: at its start, after a crash, and after its provider failed. Pure.

Rule: what may have been paid is not bought again where it can be taken up (`reattach`) or gone on with (`continue`,
which pays the input again); what nobody can tell is given up, for the user to decide.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from canvas_server.core.job import Stage
from canvas_server.generation.providers.failures import (
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    StreamLostError,
    UnavailableError,
)

Move: TypeAlias = Literal["ask", "again", "reattach", "continue", "give_up"]
"""ask: make a call. again: make the same call again, for it bought nothing. reattach: take the stream of the call up.
continue: make another call that goes on after the text. give_up: keep the text and end."""


class Abilities(NamedTuple):
    """What a provider can do, and the operator wants."""

    reattaches: bool
    continues: bool
    free: bool
    pay_again: bool


class Progress(NamedTuple):
    """How far the call has come."""

    named: bool
    """The provider has told its name of the answer."""
    has_text: bool
    retries: int
    """How often a call was made again since text came."""
    retries_max: int
    continued: int = 0
    """How many calls went on after an earlier one, each paying the input again."""


def first_move(stage: Stage, progress: Progress, able: Abilities) -> Move:
    """Return how a job begins, or goes on after this server died in it."""
    if stage == "reserved":
        return "ask"
    if progress.named and able.reattaches:
        return "reattach"
    if _may_continue(progress, able):
        return "continue"
    if able.free and not progress.has_text:
        return "again"
    return "give_up"


def next_move(error: ProviderError, progress: Progress, able: Abilities) -> Move:
    """Return how a job goes on after its call failed."""
    if progress.retries >= progress.retries_max and not isinstance(error, ProviderTimeoutError):
        return "give_up"
    match error:
        case RateLimitError() | UnavailableError() if not (progress.named or progress.has_text):
            return "again"
        case StreamLostError() | UnavailableError() | RateLimitError() | ProviderTimeoutError():
            return _after_loss(error, progress, able)
        case _:
            return "give_up"


def _after_loss(error: ProviderError, progress: Progress, able: Abilities) -> Move:
    """The call was heard by the provider, and its stream is lost."""
    if not error.transient:
        return "give_up"
    if progress.named and able.reattaches:
        # It costs nothing, so silence is waited through up to the end of the job's time.
        return "reattach"
    if progress.retries >= progress.retries_max:
        return "give_up"
    if _may_continue(progress, able):
        return "continue"
    if able.free and not progress.has_text and not isinstance(error, ProviderTimeoutError):
        return "again"
    return "give_up"


def _may_continue(progress: Progress, able: Abilities) -> bool:
    return progress.has_text and able.continues and able.pay_again and progress.continued < progress.retries_max
