from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.usage import Price, Usage, cost_micros

PRICE = Price(
    provider="openai",
    model="gpt-5.2",
    valid_from="2026-01-01",
    input_micros=1_750_000,
    cached_micros=175_000,
    output_micros=14_000_000,
)
FREE = Price(provider="local", model="x", valid_from="", input_micros=0, cached_micros=0, output_micros=0)

tokens = st.integers(0, 10_000_000)
prices = st.integers(0, 1_000_000_000_000)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(input_tokens=0, output_tokens=0), 0),
        (Usage(input_tokens=1_000_000, output_tokens=0), 1_750_000),
        (Usage(input_tokens=0, output_tokens=1_000_000), 14_000_000),
        (Usage(input_tokens=1_000_000, output_tokens=0, cached_tokens=1_000_000), 175_000),
        (Usage(input_tokens=1_000, output_tokens=500, cached_tokens=400), 8_120),
        (Usage(input_tokens=1, output_tokens=0), 2),
        (Usage(input_tokens=4, output_tokens=0), 7),
    ],
)
def test_a_call_costs_its_tokens_at_the_price_rounded_up_once(usage: Usage, micros: int) -> None:
    assert cost_micros(usage, PRICE) == micros


def test_more_cached_tokens_than_input_count_as_all_of_it() -> None:
    told = Usage(input_tokens=10, output_tokens=0, cached_tokens=99)
    whole = Usage(input_tokens=10, output_tokens=0, cached_tokens=10)

    assert cost_micros(told, PRICE) == cost_micros(whole, PRICE)


@given(tokens, tokens, tokens, prices, prices, prices)
def test_the_cost_is_the_exact_one_or_less_than_a_millionth_more(
    plain: int, cached: int, output: int, input_micros: int, cached_micros: int, output_micros: int
) -> None:
    price = Price(
        provider="p",
        model="m",
        valid_from="",
        input_micros=input_micros,
        cached_micros=cached_micros,
        output_micros=output_micros,
    )
    usage = Usage(input_tokens=plain + cached, output_tokens=output, cached_tokens=cached)
    exact = Fraction(plain * input_micros + cached * cached_micros + output * output_micros, 1_000_000)

    assert 0 <= cost_micros(usage, price) - exact < 1


def test_only_what_costs_nothing_at_all_is_free() -> None:
    assert FREE.free
    assert not PRICE.free
    assert cost_micros(Usage(input_tokens=10**9, output_tokens=10**9), FREE) == 0
