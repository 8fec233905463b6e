"""The double bills what a provider would: what it produced, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns

import httpx2
import pytest

from tests.double.ledger import Line
from tests.double.running import Double, doubled


@pytest.fixture(scope="module")
def running() -> Iterator[Double]:
    with doubled() as double:
        yield double


@pytest.fixture
def double(running: Double) -> Double:
    running.reset()
    return running


@contextmanager
def _asked(double: Double, *, background: bool = False) -> Iterator[Iterator[str]]:
    """Ask by the Responses API; give the lines that come, and hang up."""
    body = {"model": "m", "input": "un deux", "stream": True, "background": background}
    with (
        httpx2.Client(trust_env=False) as client,
        client.stream("POST", f"{double.openai_url}/responses", json=body) as answer,
    ):
        yield answer.iter_lines()


def _hang_up_after_first_word(double: Double, *, background: bool = False) -> Line:
    with _asked(double, background=background) as lines:
        next(line for line in lines if "mot-1" in line)
    return double.closed()


def test_what_nobody_reads_is_produced_no_further(double: Double) -> None:
    double.script(words=100_000, pace_ms=1)
    line = _hang_up_after_first_word(double)
    assert line.disconnected
    assert not line.finished


@pytest.mark.parametrize(("fault", "background"), [("ignore_disconnect", False), (None, True)])
def test_what_goes_on_without_a_reader_is_billed_to_its_end(
    double: Double, fault: str | None, background: bool
) -> None:
    double.script(words=50, pace_ms=1, fault=fault)
    _hang_up_after_first_word(double, background=background)
    assert double.finished().output_tokens == 50


def test_what_is_cancelled_is_produced_no_further(double: Double) -> None:
    double.script(words=100_000, pace_ms=1)
    line = _hang_up_after_first_word(double, background=True)
    cancelled = httpx2.post(f"{double.openai_url}/responses/{line.response_id}/cancel", trust_env=False)
    assert cancelled.json()["status"] == "cancelled"
    (line,) = double.ledger
    assert line.cancelled
    assert not line.finished


def test_calls_are_answered_in_the_order_they_were_told_then_by_the_default(double: Double) -> None:
    double.script(words=4, default=True)
    double.script(words=2, times=2)
    for _ in range(4):
        with _asked(double) as lines:
            list(lines)
    assert [line.output_tokens for line in double.ledger] == [2, 2, 4, 4]


def test_stamped_words_are_the_moments_they_were_said(double: Double) -> None:
    double.script(words=3, stamp=True)
    asked_ns = monotonic_ns()
    with _asked(double) as lines:
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    stamps = [int(event["delta"]) for event in events if event["type"] == "response.output_text.delta"]
    assert len(stamps) == 3
    moments = [asked_ns, *stamps, monotonic_ns()]
    assert moments == sorted(moments)


def test_a_double_of_its_own_process_answers_and_ends() -> None:
    with Double.spawn() as double:
        with _asked(double) as lines:
            assert any("mot-10" in line for line in lines)
        assert double.called().input_tokens == 2
