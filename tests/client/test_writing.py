"""Streaming into a canvas: each piece is there once and in order, whatever breaks on the way."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from canvas_server.client import Ack, CanvasClient, EndedError, writing
from tests.client.fault_proxy import FaultProxy
from tests.serving import Served, append

TEXT = "# Notes\n\n## Ideas\n\nOne.\n"
TOKENS = [f"t{number} " for number in range(600)]


async def test_pieces_are_applied_as_they_come_in_one_request(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream("Ideas", meta={"model": "m"}, op_id="answer") as writer:
            for number, token in enumerate(["Two", ", three", ", four."]):
                await writer.write(token)
                ack = await canvas.wait(f"answer.{number}" if number else "answer")
                assert isinstance(ack, Ack)
        assert made.text == canvas.text == "# Notes\n\n## Ideas\n\nOne.\n\nTwo, three, four.\n"
        assert (await client.history(made.ref))[0].meta == {"model": "m"}
        with pytest.raises(EndedError):
            await writer.write("more")


async def test_nothing_written_changes_nothing(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream("Ideas") as writer:
            await writer.write("")
        assert made.version == canvas.version
        assert await client.history(made.ref) == []


async def test_line_ends_are_those_of_a_canvas_wherever_they_are_cut(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream() as writer:
            for token in ["a\r", "\nb\r", "c\r\n", "d\r"]:
                await writer.write(token)
        assert made.text == "a\nb\nc\nd\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_newlines_between_two_pieces_are_there_wherever_the_text_is_cut(served: Served, size: int) -> None:
    """The first line is fitted to its section and loses the newlines at its ends: a list became one item."""
    made = served.canvas(TEXT)
    whole = "\n\n- two\n- three\n\nAnd more.\n\n"
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream("Ideas") as writer:
            for start in range(0, len(whole), size):
                await writer.write(whole[start : start + size])
    assert made.text.rstrip("\n") == f"{TEXT}\n{whole.strip()}"


async def test_what_others_write_meanwhile_stays_out_of_it(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream("Ideas") as writer:
            for token in TOKENS:
                await writer.write(token)
                if token.startswith("t1"):
                    made.submit(append("x", scope="range"))
                    canvas.insert(0, "y")
        await canvas.settled()
        assert "".join(TOKENS) in made.text
        assert made.text == canvas.text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_a_request_that_is_cut_anywhere_loses_and_doubles_no_piece(served: Served, seed: int) -> None:
    random, made = Random(seed), served.canvas(TEXT)
    async with FaultProxy(served.port).running() as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        proxy.budget = lambda: random.choice([None, random.randrange(200, 30_000)])
        proxy.cut()
        async with canvas.write_stream("Ideas") as writer:
            for number, token in enumerate(TOKENS):
                await writer.write(token)
                if not number % 40:
                    await asyncio.sleep(random.choice([0.001, 0.03]))
                if number % 150 == 149:
                    proxy.cut()
        assert made.text == canvas.text == TEXT[:-1] + "\n\n" + "".join(TOKENS) + "\n"
        assert proxy.cuts > 4


async def test_it_goes_on_after_what_stands_when_the_end_of_it_is_deleted(served: Served) -> None:
    """A deletion that touches the end is a conflict for the next piece; it is sent again after what is left."""
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream(op_id="answer") as writer:
            await writer.write("abcdef")
            await canvas.wait("answer")
            canvas.delete(3, 6)
            await writer.write("ghi")
            await canvas.settled()
            await writer.write("jkl")
        assert made.text == canvas.text == "abcghijkl"


async def test_it_goes_on_where_its_text_was_when_all_of_it_is_deleted(served: Served) -> None:
    made = served.canvas("<>")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        target = {"type": "position", "position": {"mode": "offset", "offset": 1}}
        async with canvas.write_stream(target, op_id="answer") as writer:
            await writer.write("abc")
            await canvas.wait("answer")
            canvas.delete(1, 4)
            await canvas.settled()
            for token in ["d", "e", "f"]:
                await writer.write(token)
        assert made.text == canvas.text == "<def>"


async def test_a_long_silence_ends_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "KEEP_ALIVE_S", 0.01)
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream() as writer:
            await writer.write("a")
            await asyncio.sleep(0.1)
            await writer.write("b")
        assert made.text == "ab"
        assert [ack.op_id for ack in await client.history(made.ref)] == [writer.op_id, f"{writer.op_id}.1"]


async def test_an_exception_in_the_block_stops_it_and_leaves_what_was_written(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)

        async def fail() -> None:
            async with canvas.write_stream(op_id="broken") as broken:
                await broken.write("kept")
                await canvas.wait("broken")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert made.text == canvas.text == "kept"
        async with canvas.write_stream() as writer:
            await writer.write(", and on")
        assert made.text == "kept, and on"


async def test_two_may_write_at_once(served: Served) -> None:
    made = served.canvas("# A\n\n# B\n")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)

        async def write(section: str) -> None:
            async with canvas.write_stream(section) as writer:
                for token in TOKENS[:100]:
                    await writer.write(token)
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write("A"))
            group.create_task(write("B"))
        assert made.text == canvas.text
        assert made.text.count("".join(TOKENS[:100])) == 2
