"""The commands that put text into a canvas: `canvas-server append` and `write`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

from canvas_server.cli.asking import ask, check_ref
from canvas_server.cli.endings import NotDoneError, StoppedError
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.sections import NAME_HELP, heading_of
from canvas_server.cli.standard_input import Decoder, Joiner, greet, pieces_of, whole_of
from canvas_server.cli.terminal import Counter, note
from canvas_server.core.errors import CanvasError
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.version import seq_of

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked
    from canvas_server.client.client import CanvasClient
    from canvas_server.client.writing import StreamWriter
    from canvas_server.core.operation import Action

_JOIN_S: Final = 0.05
_PIECE_CHARS: Final = 8_192
_FENCE: Final = "````"
"""Longer than those that stand in what programs tell."""
_STOP_S: Final = 10.0
"""For what was read before Ctrl-C to be written."""


class _ListItems(click.Command):
    """Takes `- milk` for a text: no option has a space."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args and any(one.startswith("- ") for one in args):
            items = [one for one in args if one.startswith("- ")]
            args = [*(one for one in args if not one.startswith("- ")), "--", *items]
        return super().parse_args(ctx, args)


@click.command(
    cls=_ListItems,
    short_help="Put a text at the end of a canvas or section.",
    epilog=example('canvas-server append notes "- buy nails" --section Todo --tight'),
)
@click.argument("ref")
@click.argument("text", required=False)
@click.option("--section", metavar="TITLE", help=f"At the end of this section: {NAME_HELP}")
@click.option("--create", is_flag=True, help="With --section: make the section if it is not there.")
@click.option("--tight", is_flag=True, help="On the next line, without a blank line before it: for lists.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what was applied.")
@reaching
def append(*, ref: str, text: str | None, section: str | None, create: bool, tight: bool, as_json: bool) -> None:
    """Put TEXT, or what is on stdin, at the end of canvas REF."""
    check_ref(ref)
    if create and section is None:
        raise click.UsageError("--create goes with --section")
    content = whole_of(sys.stdin.buffer) if text is None or text == "-" else text
    content = content.strip("\n")
    if not content:
        raise NotDoneError("there is nothing to append", hint="Give TEXT, or something on stdin.")
    opening = _opening(section, is_created=create)

    async def work(asked: Asked) -> Ack:
        from canvas_server.client.errors import RefusedError  # noqa: PLC0415 - only commands that ask need it

        try:
            return await put_there(asked)
        except RefusedError as error:
            if error.code == "TOO_LARGE" or str(error.problem.pointer).endswith("/content"):
                error.hint = f"Pipe it into `canvas-server write {ref}`, which sends it in pieces."
            raise

    async def put_there(asked: Asked) -> Ack:
        canvas = await asked.client.open(ref)
        if not tight:
            return _applied(await canvas.send(opening.op(content)))
        starts_line = section is None and (not canvas.text or canvas.text.endswith("\n"))
        options = {**opening.options, "surround_with_blank_lines": 0}
        op = opening._replace(options=options).op(content if starts_line else f"\n{content}")
        return _applied(await canvas.send(op))

    ack = ask(work)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(ack)))
    else:
        note(f"{len(content)} characters appended; {ref} is at version {seq_of(ack.server_version)}")


@click.command(
    short_help="Stream stdin into a canvas or section, live.",
    epilog=example("make test 2>&1 | canvas-server write notes --section Tests --create --replace"),
)
@click.argument("ref")
@click.option("--section", metavar="TITLE", help=f"Into this section: {NAME_HELP}")
@click.option("--create", is_flag=True, help="With --section: make the section if it is not there.")
@click.option("--replace", is_flag=True, help="With --section: in place of what it holds; else at its end.")
@click.option("--code", is_flag=True, help="As a block of code: for the output of programs, line by line as it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end: what was written.")
@reaching
def write(*, ref: str, section: str | None, create: bool, replace: bool, code: bool, as_json: bool) -> None:
    """Write what comes on stdin into canvas REF, as it comes: whoever looks at it sees it grow.

    It goes on by itself when the connection or the server breaks. Ctrl-C keeps what was written.
    """
    check_ref(ref)
    if section is None and (create or replace):
        raise click.UsageError("--create and --replace go with --section")
    opening = _opening(section, is_created=create, is_replaced=replace)
    decoder = Decoder()

    async def work(asked: Asked) -> _Written:
        return await _streamed(asked.client, ref, opening, pieces_of(sys.stdin.buffer, decoder), is_code=code)

    written = ask(work)
    if decoder.is_damaged:
        note("some of it was no text in UTF-8; signs of replacement stand there")
    told = f"{written.chars} characters written; {ref} is at version {seq_of(written.version)}"
    if as_json:
        outcome = {"ref": ref, "chars": written.chars, "version": written.version, "interrupted": written.is_cut}
        click.echo(json.dumps(outcome))
    if written.is_cut:
        raise StoppedError(f"interrupted: {told}; they stay")
    if not as_json:
        note(told)


class _Written(msgspec.Struct):
    chars: int = 0
    version: str = ""
    is_cut: bool = False


class _Opening(NamedTuple):
    """The operation that begins a text, without the text."""

    target: dict[str, object]
    action: Action
    options: dict[str, object]

    def op(self, content: str) -> dict[str, object]:
        """Return the operation that puts a whole text there."""
        op: dict[str, object] = {"scope": "range", "action": self.action, "target": self.target, "content": content}
        return {**op, "options": self.options} if self.options else op


def _opening(section: str | None, *, is_created: bool, is_replaced: bool = False) -> _Opening:
    if section is None:
        return _Opening({"type": "position", "position": {"mode": "end"}}, "insert", {"surround_with_blank_lines": 1})
    target = heading_of(section)
    if is_replaced:
        return _Opening(target, "upsert_section" if is_created else "replace", {})
    return _Opening(target, "insert", {"ensure_heading": True} if is_created else {})


async def _streamed(
    client: CanvasClient, ref: str, opening: _Opening, pieces: AsyncGenerator[str], *, is_code: bool
) -> _Written:
    canvas = await client.open(ref)
    greet()
    written, counter = _Written(), Counter()
    async with canvas.write_stream(opening.target, action=opening.action, options=opening.options or None) as writer:
        try:
            if is_code:
                await writer.write(f"{_FENCE}text")
            await _pass_on(pieces, writer, written, counter, Joiner("\n" if is_code else None))
            await _close(writer, is_code=is_code)
        except asyncio.CancelledError:
            await _finish(writer, written, is_code=is_code)
        except CanvasError:
            _tell_cut(written.chars - len(writer.unwritten))
            raise
        finally:
            counter.clear()
    if not (written.chars or written.is_cut or is_code) and opening.action != "insert":
        # Nothing came, and that is what is to stand there.
        written.version = _applied(await canvas.send(opening.op(""))).server_version
    else:
        written.version = canvas.version
    return written


async def _pass_on(
    pieces: AsyncGenerator[str], writer: StreamWriter, written: _Written, counter: Counter, joiner: Joiner
) -> None:
    async with aclosing(_joined(pieces)) as joined:
        async for piece in joined:
            for part in _parts(joiner.take(piece), is_first=not written.chars):
                written.chars += len(part)
                await writer.write(part)
                counter.tell(f"{written.chars} characters")


def _parts(text: str, *, is_first: bool) -> Iterator[str]:
    """Yield a text in parts; the first of all ends in no newline, for it is fitted to its place and would lose it."""
    cut = min(_PIECE_CHARS, len(text)) if is_first else 0
    while cut and text[cut - 1] == "\n":
        cut -= 1
    yield from filter(None, (text[:cut], text[cut:]))


async def _close(writer: StreamWriter, *, is_code: bool) -> None:
    if is_code:
        await writer.write(f"\n{_FENCE}")
    await writer.aclose()


def _tell_cut(chars: int) -> None:
    if chars > 0:
        note(f"{chars} characters were written, and stay")


async def _finish(writer: StreamWriter, written: _Written, *, is_code: bool) -> None:
    """Have what was read before Ctrl-C written, if that takes no long time."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    written.is_cut = True
    try:
        async with asyncio.timeout(_STOP_S):
            await _close(writer, is_code=is_code)
    except TimeoutError:
        lost = len(writer.unwritten)
        raise StoppedError(
            f"interrupted: {written.chars - lost} characters written; of {lost} more it is not known"
        ) from None


async def _joined(pieces: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Join what comes within a moment, so that each word is not an operation of its own."""
    arriving = asyncio.ensure_future(anext(pieces, None))
    try:
        while (text := await arriving) is not None:
            loop = asyncio.get_running_loop()
            until = loop.time() + _JOIN_S
            arriving = asyncio.ensure_future(anext(pieces, None))
            while len(text) < _PIECE_CHARS and (left := until - loop.time()) > 0:
                done, _ = await asyncio.wait({arriving}, timeout=left)
                if not done or (more := arriving.result()) is None:
                    break
                text += more
                arriving = asyncio.ensure_future(anext(pieces, None))
            yield text
    finally:
        arriving.cancel()
        await asyncio.wait({arriving})
        await pieces.aclose()


def _applied(event: Ack | Conflict | Failure) -> Ack:
    match event:
        case Ack():
            return event
        case Conflict():
            raise NotDoneError(f"it was not applied: {event.reason}", hint=event.hint)
        case Failure():
            raise NotDoneError(event.message, hint=event.hint)
