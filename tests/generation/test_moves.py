"""How a job goes on: what may have been paid is never bought again where it can be taken up or gone on with."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.job import Stage
from canvas_server.generation.moves import Abilities, Move, Progress, first_move, next_move
from canvas_server.generation.providers.failures import (
    CredentialsError,
    OutputInvalidError,
    OutputTooLargeError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusedError,
    RejectedError,
    StreamLostError,
    UnavailableError,
    UnknownModelError,
)

BACKGROUND: Final = Abilities(reattaches=True, continues=False, free=False, pay_again=True)
PLAIN: Final = Abilities(reattaches=False, continues=False, free=False, pay_again=True)
MISTRAL: Final = Abilities(reattaches=False, continues=True, free=False, pay_again=True)
THRIFTY: Final = MISTRAL._replace(pay_again=False)
FREE: Final = Abilities(reattaches=False, continues=False, free=True, pay_again=True)

NOTHING: Final = Progress(named=False, has_text=False, retries=0, retries_max=3)
NAMED: Final = NOTHING._replace(named=True)
TEXT: Final = NOTHING._replace(has_text=True)
NAMED_TEXT: Final = NAMED._replace(has_text=True)

FOR_GOOD: Final = (
    CredentialsError,
    UnknownModelError,
    RefusedError,
    RejectedError,
    OutputTooLargeError,
    OutputInvalidError,
)
FOR_NOW: Final = (RateLimitError, UnavailableError, ProviderTimeoutError, StreamLostError)

abilities = st.builds(Abilities, st.booleans(), st.booleans(), st.booleans(), st.booleans())
progresses = st.builds(
    Progress, named=st.booleans(), has_text=st.booleans(), retries=st.integers(0, 4), retries_max=st.integers(0, 3)
)
called = st.sampled_from(["dispatched", "attached"])
errors = st.sampled_from([*FOR_GOOD, *FOR_NOW]).map(lambda kind: kind("it failed"))


@pytest.mark.parametrize(
    ("stage", "progress", "able", "move"),
    [
        ("reserved", NOTHING, BACKGROUND, "ask"),
        ("reserved", NOTHING, PLAIN, "ask"),
        ("reserved", NOTHING, THRIFTY, "ask"),
        ("dispatched", NOTHING, BACKGROUND, "give_up"),
        ("dispatched", NOTHING, PLAIN, "give_up"),
        ("dispatched", NOTHING, MISTRAL, "give_up"),
        ("dispatched", NOTHING, FREE, "again"),
        ("attached", NAMED, BACKGROUND, "reattach"),
        ("attached", NAMED, PLAIN, "give_up"),
        ("attached", NAMED_TEXT, BACKGROUND, "reattach"),
        ("attached", NAMED_TEXT, PLAIN, "give_up"),
        ("dispatched", TEXT, MISTRAL, "continue"),
        ("dispatched", TEXT, THRIFTY, "give_up"),
        ("dispatched", TEXT, FREE, "give_up"),
    ],
)
def test_after_a_crash_a_job_goes_on_as_its_provider_allows(
    stage: Stage, progress: Progress, able: Abilities, move: Move
) -> None:
    assert first_move(stage, progress, able) == move


@pytest.mark.parametrize(
    ("kind", "progress", "able", "move"),
    [
        (RateLimitError, NOTHING, PLAIN, "again"),
        (UnavailableError, NOTHING, PLAIN, "again"),
        (UnavailableError, NAMED, PLAIN, "give_up"),
        (UnavailableError, NAMED, BACKGROUND, "reattach"),
        (StreamLostError, NOTHING, PLAIN, "give_up"),
        (StreamLostError, NOTHING, FREE, "again"),
        (StreamLostError, NAMED_TEXT, BACKGROUND, "reattach"),
        (StreamLostError, TEXT, MISTRAL, "continue"),
        (StreamLostError, TEXT, THRIFTY, "give_up"),
        (StreamLostError, TEXT, FREE, "give_up"),
        (ProviderTimeoutError, NOTHING, FREE, "give_up"),
        (ProviderTimeoutError, NAMED, BACKGROUND, "reattach"),
        (ProviderTimeoutError, TEXT, MISTRAL, "continue"),
    ],
)
def test_after_a_failure_a_job_goes_on_as_its_provider_allows(
    kind: type[ProviderError], progress: Progress, able: Abilities, move: Move
) -> None:
    assert next_move(kind("it failed"), progress, able) == move


@given(called, progresses, abilities)
def test_after_a_crash_a_call_that_may_have_been_paid_is_never_simply_made_again(
    stage: Stage, progress: Progress, able: Abilities
) -> None:
    move = first_move(stage, progress, able)
    assert move != "ask"
    if move == "again":
        assert able.free


@given(called, progresses, abilities)
def test_no_input_is_paid_again_unless_the_operator_allows_it_and_there_is_text_to_go_on_with(
    stage: Stage, progress: Progress, able: Abilities
) -> None:
    if first_move(stage, progress, able) == "continue":
        assert able.pay_again
        assert able.continues
        assert progress.has_text


@given(called, progresses, abilities)
def test_text_that_was_told_is_never_asked_for_from_its_start(
    stage: Stage, progress: Progress, able: Abilities
) -> None:
    if progress.has_text:
        assert first_move(stage, progress, able) in ("reattach", "continue", "give_up")


@given(called, progresses.filter(lambda progress: progress.named), abilities)
def test_what_can_be_taken_up_at_no_cost_is(stage: Stage, progress: Progress, able: Abilities) -> None:
    assert (first_move(stage, progress, able) == "reattach") == able.reattaches


@given(progresses, abilities)
def test_what_was_never_called_is_asked(progress: Progress, able: Abilities) -> None:
    assert first_move("reserved", progress, able) == "ask"


@given(st.sampled_from(FOR_GOOD), progresses, abilities)
def test_what_fails_for_good_is_given_up(kind: type[ProviderError], progress: Progress, able: Abilities) -> None:
    assert next_move(kind("it failed"), progress, able) == "give_up"


@given(errors, progresses, abilities)
def test_a_call_is_made_again_only_where_it_bought_nothing(
    error: ProviderError, progress: Progress, able: Abilities
) -> None:
    if next_move(error, progress, able) == "again":
        turned_away = isinstance(error, RateLimitError | UnavailableError) and not progress.named
        assert not progress.has_text
        assert turned_away or able.free


@given(errors, progresses, abilities)
def test_nothing_that_costs_is_tried_more_often_than_allowed(
    error: ProviderError, progress: Progress, able: Abilities
) -> None:
    if progress.retries >= progress.retries_max:
        assert next_move(error, progress, able) in ("reattach", "give_up")


@given(errors, progresses, abilities)
def test_a_failure_never_has_a_job_asked_anew(error: ProviderError, progress: Progress, able: Abilities) -> None:
    assert next_move(error, progress, able) != "ask"
