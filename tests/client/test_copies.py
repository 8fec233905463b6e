"""Requests that were sent more than once, for no answer came: all they do is there once."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from msgspec.structs import replace

from canvas_server.client import Ack, CanvasClient, Conflict, Failure, RefusedError
from canvas_server.client.session import CanvasSession
from canvas_server.config.settings import LimitSettings
from tests.client.meddling import Meddle, Meddling, Pass, lost, refused
from tests.client.waiting import PATIENCE_S, agree, eventually
from tests.serving import IN_MEMORY, Canvas, Served, append, serving

SMALL = replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=200))


def delete(canvas: Canvas, start: int, end: int) -> None:
    """Have another delete a stretch."""
    position = {"mode": "range", "from": start, "to": end}
    canvas.submit(
        {
            "op_id": f"d{start}-{end}",
            "action": "delete",
            "scope": "range",
            "target": {"type": "position", "position": position},
        }
    )


async def check(made: Canvas, session: CanvasSession, text: str) -> None:
    """All is there once, here and at the server."""
    session.retry()
    await session.settled()
    await agree(session, made.text, text)


def refused_then_fitting(made: Canvas) -> Meddle:
    """Have the first copy of a request come with the second: it finds the canvas full, and the second finds room."""

    async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
        if number == 1:
            raise httpx2.ReadError("cut, and still on its way")
        if number == 2:
            await (await pass_on()).aread()
            delete(made, 0, 100)
        return await pass_on()

    return meddle


async def test_an_ack_that_comes_after_an_error_of_the_same_operation_doubles_nothing() -> None:
    """An answer was lost, and the operations were sent again. The first copy found the canvas full, then somebody made
    room, so the second was applied. The edit had gone back to what waits when the error was heard, and was sent under
    another name when its ack was.
    """
    with serving(SMALL) as served:
        made, transport = served.canvas("a" * 150), Meddling()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = refused_then_fitting(made)
            canvas.append("b" * 100)
            await check(made, canvas, "a" * 50 + "b" * 100)
            assert canvas.problem is None


async def test_a_refusal_is_the_problem_even_if_the_answer_to_the_request_is_lost() -> None:
    """`problem` said that the server did not answer, for as long as the edit was not taken."""
    with serving(SMALL) as served:
        made, transport = served.canvas("a" * 150), Meddling()

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            return await (lost(pass_on) if number == 1 else pass_on())

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = meddle
            canvas.append("b" * 100)
            await eventually(lambda: canvas.problem is not None and canvas.problem.code == "CANVAS_TOO_LARGE")
            assert canvas.text == "a" * 150 + "b" * 100
            canvas.delete(0, 100)
            await canvas.settled()
            assert made.text == canvas.text == "a" * 50 + "b" * 100


async def test_an_operation_whose_copies_are_all_refused_is_tried_again() -> None:
    with serving(SMALL) as served:
        made, transport = served.canvas("a" * 150), Meddling()

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                raise httpx2.ReadError("cut, and still on its way")
            if number == 2:
                await (await pass_on()).aread()
            return await pass_on()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = meddle
            canvas.append("b" * 100)
            await eventually(lambda: canvas.problem is not None and canvas.problem.code == "CANVAS_TOO_LARGE")
            assert canvas.text == "a" * 150 + "b" * 100
            canvas.delete(0, 100)
            await canvas.settled()
            assert made.text == canvas.text == "a" * 50 + "b" * 100


async def test_a_conflict_that_comes_after_the_ack_of_the_same_operation_says_nothing(served: Served) -> None:
    """`wait` told of the conflict, which was heard last, though the operation had been applied."""
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        ack = await canvas.send(append("b", op_id="twice"))
        late = Conflict(
            canvas=made.ref, op_id="twice", reason="range_changed", hint="",
            client_version=None, expected_version=canvas.version, client_id=client.client_id,
        )  # fmt: skip
        canvas._listening.hear(late)
        assert await canvas.wait("twice") == ack
        await check(made, canvas, "ab")


async def test_an_operation_that_was_given_is_told_as_applied_if_a_copy_of_it_was() -> None:
    """Its caller was told of the error of the first copy, and would have sent it again."""
    with serving(SMALL) as served:
        made, transport = served.canvas("a" * 150), Meddling()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = refused_then_fitting(made)
            outcome = await canvas.send({**append("b" * 100), "scope": "range"})
            assert isinstance(outcome, Ack)
            await check(made, canvas, "a" * 50 + "b" * 100)


@pytest.mark.parametrize("status", [403, 413, 422])
async def test_a_request_that_was_taken_unheard_and_then_refused_is_there_once(served: Served, status: int) -> None:
    """The stream was away, too, when its answer was lost; the refusal of its copy sent the edit under a new name."""
    made, transport = served.canvas("a"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        acks: list[object] = []
        hear = canvas._listening.hear
        canvas._listening.hear = acks.append  # type: ignore[method-assign, assignment]

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                return await lost(pass_on)
            if number == 2:
                return refused(status, "REFUSED")
            return await pass_on()

        transport.meddle = meddle
        canvas.append("b")
        await eventually(lambda: len(transport.posts) == 2)
        canvas._listening.hear = hear  # type: ignore[method-assign]
        await check(made, canvas, "ab")
        assert len(acks) >= 1


async def test_a_request_of_given_operations_that_was_refused_the_second_time_tells_what_became_of_it(
    served: Served,
) -> None:
    made, transport = served.canvas("a"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            return await lost(pass_on) if number == 1 else refused(403, "FORBIDDEN")

        transport.meddle = meddle
        hear = canvas._listening.hear
        canvas._listening.hear = lambda event: None  # type: ignore[method-assign]
        sending = asyncio.ensure_future(canvas.send(append("b")))
        await eventually(lambda: len(transport.posts) == 2)
        canvas._listening.hear = hear  # type: ignore[method-assign]
        assert isinstance(await sending, Ack)
        transport.meddle = lambda _number, _pass_on: never()
        with pytest.raises(RefusedError):
            await canvas.send(append("c"))


async def never() -> httpx2.Response:
    return refused(403, "FORBIDDEN")


async def test_a_batch_of_which_a_copy_was_half_applied_tells_what_became_of_each(served: Served) -> None:
    """The rest was sent without the version that its first operation had named, and refused as a whole."""
    made, transport = served.canvas("."), Meddling()

    async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
        if number == 1:
            raise httpx2.ReadError("cut, and still on its way")
        if number == 2:
            await (await pass_on()).aread()
            await asyncio.sleep(0.1)
            raise httpx2.ReadError("the answer was lost")
        return await pass_on()

    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        transport.meddle = meddle
        heading = {"type": "heading", "heading": {"path": ["none"]}}
        first, second = append("once"), {"action": "delete", "scope": "range", "target": heading}
        ack, failure = await canvas.send_batch([first, second])
        assert isinstance(ack, Ack)
        assert isinstance(failure, Failure)
        assert failure.code == "TARGET_NOT_FOUND"
        await agree(canvas, made.text, ".once")


async def test_what_was_not_run_is_told_though_the_stream_that_told_it_broke(served: Served) -> None:
    """What was said of the second of a batch went with the stream, and `send_batch` never ended."""
    made, transport = served.canvas("."), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                raise httpx2.ReadError("cut, and still on its way")
            transport.read = read
            return await pass_on()

        async def read(pass_on: Pass) -> httpx2.Response:
            transport.read = None
            # What is told of both came by then, and is kept; what another writes has the stream go on behind it.
            await asyncio.sleep(0.1)
            await asyncio.to_thread(made.submit, append("other"))
            answer = await pass_on()
            await answer.aread()
            canvas._renew()
            return answer

        transport.meddle = meddle
        heading = {"type": "heading", "heading": {"path": ["none"]}}
        async with asyncio.timeout(PATIENCE_S):
            refused_op = {"action": "delete", "scope": "range", "target": heading}
            failure, conflict = await canvas.send_batch([refused_op, append("never", scope="range")])
        assert isinstance(failure, Failure)
        assert isinstance(conflict, Conflict)
        assert conflict.reason == "not_executed"
        await agree(canvas, made.text, ".other")


async def test_a_text_of_which_a_copy_was_applied_after_another_was_refused_is_written() -> None:
    """The history had it, and still the writer raised what had been said of the other copy."""
    with serving(SMALL) as served:
        made, transport = served.canvas("a" * 195), Meddling()
        late: list[Pass] = []

        async def meddle(number: int, pass_on: Pass) -> httpx2.Response:
            if number == 1:
                late.append(pass_on)
                raise httpx2.ReadError("cut, and still on its way")
            return await pass_on()

        async def read(pass_on: Pass) -> httpx2.Response:
            if late:
                await asyncio.to_thread(delete, made, 0, 100)
                await (await late.pop()()).aread()
            return await pass_on()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle, transport.read = meddle, read
            async with canvas.write_stream() as writer:
                await writer.write("one two\n")
            assert not late
            await agree(canvas, made.text, "a" * 95 + "one two\n")


async def test_what_is_refused_again_and_again_is_asked_in_longer_and_longer_pauses() -> None:
    with serving(SMALL) as served:
        made, transport, seen = served.canvas("a" * 195), Meddling(), set[bytes]()

        async def meddle(_number: int, pass_on: Pass) -> httpx2.Response:
            if (post := transport.posts[-1]) not in seen:
                seen.add(post)
                return refused(503, "OVERLOADED", 0)
            return await pass_on()

        async with CanvasClient(served.url, transport=transport) as client:
            canvas = await client.open(made.ref)
            transport.meddle = meddle
            canvas.append("too much")
            await asyncio.sleep(3)
            assert 2 < len(transport.posts) < 24
            transport.meddle = None
            canvas.delete(0, 100)
            await check(made, canvas, "a" * 95 + "too much")
