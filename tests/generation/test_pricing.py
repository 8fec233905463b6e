"""The list of prices: exact amounts, the right day, and clear words for what is wrong in the file."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.config.settings import CostSettings, MistralSettings, OpenaiSettings
from canvas_server.core.errors import ConfigError
from canvas_server.generation.pricing import ListedPrice, PriceTable, PriceUnknownError, load_prices

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 21)

TWO_DAYS = """
currency = "EUR"
[[price]]
provider = "openai"
model = "gpt-5"
from = 2026-06-01
input = 2
output = "8.000001"
[[price]]
provider = "openai"
model = "gpt-5"
label = "GPT-5, old"
from = 2026-01-01
input = 0.1
cached = 0.025
output = 10.0
"""


def loaded(tmp_path: Path, text: str, currency: str = "EUR") -> PriceTable:
    (tmp_path / "pricing.toml").write_text(text)
    return load_prices(tmp_path / "pricing.toml", currency)


def one(fields: str) -> str:
    return f'currency = "EUR"\n[[price]]\nprovider = "p"\nmodel = "m"\nfrom = 2026-01-01\n{fields}'


def test_amounts_are_exact_however_they_are_written(tmp_path: Path) -> None:
    table = loaded(tmp_path, TWO_DAYS)
    new, old = (table.find("openai", "gpt-5", day) for day in (date(2026, 6, 1), date(2026, 5, 31)))

    assert (new.input_micros, new.cached_micros, new.output_micros) == (2_000_000, 2_000_000, 8_000_001)
    assert (old.input_micros, old.cached_micros, old.output_micros) == (100_000, 25_000, 10_000_000)


@given(micros=st.integers(0, 10**12))
def test_every_amount_of_six_decimals_is_read_exactly(tmp_path_factory: pytest.TempPathFactory, micros: int) -> None:
    amount = f"{micros // 10**6}.{micros % 10**6:06d}"
    folder = tmp_path_factory.mktemp("prices")
    table = loaded(folder, one(f"input = {amount}\noutput = '{amount}'"))
    price = table.find("p", "m", TODAY)

    assert price.input_micros == price.output_micros == micros


@pytest.mark.parametrize(
    ("day", "valid_from"),
    [
        (date(2026, 1, 1), "2026-01-01"),
        (date(2026, 5, 31), "2026-01-01"),
        (date(2026, 6, 1), "2026-06-01"),
        (date(2030, 1, 1), "2026-06-01"),
    ],
)
def test_a_price_holds_from_its_day_on(tmp_path: Path, day: date, valid_from: str) -> None:
    assert loaded(tmp_path, TWO_DAYS).find("openai", "gpt-5", day).valid_from == valid_from


def test_what_is_in_force_is_told_once_for_each_model_with_its_label(tmp_path: Path) -> None:
    table = loaded(tmp_path, TWO_DAYS)

    assert [told.label for told in table.on(TODAY)] == ["gpt-5"]
    assert [told.label for told in table.on(date(2026, 2, 1))] == ["GPT-5, old"]
    assert list(table.on(date(2025, 12, 31))) == []


@pytest.mark.parametrize(
    ("provider", "model", "day"),
    [("openai", "gpt-6", TODAY), ("oracle", "gpt-5", TODAY), ("openai", "gpt-5", date(2025, 12, 31))],
)
def test_a_model_without_a_price_on_that_day_is_refused(tmp_path: Path, provider: str, model: str, day: date) -> None:
    with pytest.raises(PriceUnknownError, match=f"{model}.*{day}") as caught:
        loaded(tmp_path, TWO_DAYS).find(provider, model, day)

    assert caught.value.code == "PRICE_UNKNOWN"


@pytest.mark.parametrize("provider", ["local", "demo"])
def test_what_costs_nobody_anything_needs_no_price(provider: str) -> None:
    price = PriceTable().find(provider, "whatever", TODAY)

    assert price.free
    assert (price.provider, price.model) == (provider, "whatever")


def test_a_model_may_be_said_to_be_free(tmp_path: Path) -> None:
    assert loaded(tmp_path, one("free = true")).find("p", "m", TODAY).free


def test_without_the_file_only_what_is_free_can_be_asked_and_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        table = load_prices(tmp_path / "absent.toml", "EUR")

    assert "no list of prices" in caplog.text
    assert table.find("demo", "demo", TODAY).free
    with pytest.raises(PriceUnknownError):
        table.find("openai", "gpt-5.2", TODAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('currency = "EUR"\n[[price]\n', "line 2"),
        ("", "currency"),
        ('currency = "USD"', "is in 'USD', the quota (cost.currency) in 'EUR'"),
        ('currency = "EUR"\nprices = []', "prices"),
        (one("input = 1\noutput = 1\nmodell = 1"), "modell"),
        (one("input = true\noutput = 1"), "price[0].input"),
        (one("input = 'cheap'\noutput = 1"), "price[0].input"),
        (one("input = 1"), "price 1 (p m from 2026-01-01) lacks input or output"),
        (one("input = -1\noutput = 1"), "price 1 (p m from 2026-01-01): input is -1"),
        (one("input = 1\noutput = nan"), "output is NaN"),
        (one("input = 1\noutput = inf"), "output is Infinity"),
        (one("input = 1\noutput = 1_000_001"), "output is 1000001"),
        (one("input = 1\noutput = 0.0000001"), "at most 6 decimals"),
        (one("input = 1\ncached = -1\noutput = 1"), "cached is -1"),
        (one("free = true\ninput = 1"), "is free and has a price"),
        (one("input = 1\noutput = 1").replace("2026-01-01", "2026-02-30"), "line 5"),
        (one("input = 1\noutput = 1").replace("2026-01-01", "'soon'"), "price[0].from"),
        (TWO_DAYS.replace("2026-06-01", "2026-01-01"), "price 2 (openai gpt-5 from 2026-01-01) is there twice"),
    ],
)
def test_a_file_that_cannot_be_what_it_says_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)

    assert message in str(caught.value)
    assert "pricing.toml" in str(caught.value)
    assert caught.value.hint


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"currency = '\xe9'")
    for path in (tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_prices(path, "EUR")


def shipped() -> list[ListedPrice]:
    return list(load_prices(ROOT / "data" / "pricing.toml", CostSettings().currency).on(TODAY))


def test_the_list_that_ships_has_the_default_models() -> None:
    models = {(told.price.provider, told.price.model) for told in shipped()}

    assert {("openai", OpenaiSettings().model), ("mistral", MistralSettings().model)} <= models


def test_in_the_list_that_ships_no_model_is_free_and_each_has_a_label() -> None:
    for told in shipped():
        assert told.label != told.price.model
        assert 0 < told.price.cached_micros <= told.price.input_micros <= told.price.output_micros


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999", "1e999999", "1e-999999"])
def test_a_number_beyond_all_numbers_is_told_as_every_other_mistake(tmp_path: Path, number: str) -> None:
    # Found by fuzzing: the decimal that it was to become could not be made, and the server died of that.
    path = tmp_path / "pricing.toml"
    path.write_text(
        f'currency = "EUR"\n[[price]]\nprovider = "a"\nmodel = "b"\nfrom = 2025-01-01\ninput = {number}\noutput = 1\n'
    )
    with pytest.raises(ConfigError, match=r"pricing\.toml"):
        load_prices(path, "EUR")
