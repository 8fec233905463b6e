"""`canvas-server generate`: a language model writes, to the terminal and into a canvas."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from msgspec import UNSET

from canvas_server.cli import jobs
from canvas_server.cli.asking import ask
from canvas_server.cli.endings import NotDoneError, StoppedError
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.sections import NAME_HELP, heading_of
from canvas_server.cli.standard_input import whole_of
from canvas_server.cli.terminal import Counter, hint, note, put
from canvas_server.core.job_event import Chunk, Complete, JobFailure, Metadata, Queued, Step
from canvas_server.core.version import seq_of

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked
    from canvas_server.client.connection import Connection


_CHOICES: Final = frozenset({"provider", "model", "preset_id"})
"""Fields of a request that say who writes, or may."""


class _Wanted(NamedTuple):
    """What is to be shown of a job."""

    as_json: bool
    is_detached: bool


@click.command(
    short_help="Have a language model write, also into a canvas.",
    epilog=example('canvas-server generate "A scene at the bridge." --canvas scene --section Draft'),
)
@click.argument("prompt", required=False)
@click.option(
    "--provider",
    metavar="NAME",
    help="Who is asked: openai, mistral, local, demo; else as the server is set, or demo where that has no key.",
)
@click.option("--model", metavar="NAME", help="Which of its models.")
@click.option("--preset", "preset_id", metavar="ID", help="A preset that makes the prompt; PROMPT is added to it.")
@click.option("--max-tokens", "max_output_tokens", type=click.IntRange(1), help="Length of the answer, at most.")
@click.option("--canvas", "ref", metavar="REF", help="Write the text into this canvas as it comes.")
@click.option("--section", metavar="TITLE", help=f"With --canvas: into this section: {NAME_HELP}")
@click.option("--create", is_flag=True, help="With --section: make the section if it is not there.")
@click.option("--at", type=click.Choice(["end", "start"]), help="With --canvas: at its end, the default, or its start.")
@click.option("--keep", is_flag=True, help="What was written stays when the job is cancelled; else it is taken back.")
@click.option("--follow", "job_id", metavar="JOB", help="Follow a job that runs or has ended, and start none.")
@click.option("--detach", is_flag=True, help="Print the id of the job and do not wait for it.")
@click.option("--json", "as_json", is_flag=True, help="What the job tells, a JSON object a line.")
@reaching
def generate(*, prompt: str | None, job_id: str | None, detach: bool, as_json: bool, **given: str | int | None) -> None:
    """Have a language model answer PROMPT (`-`: what is on stdin); the text comes on stdout as it is written.

    Ctrl-C cancels the job. Leaving with --detach does not.
    """
    wanted = _Wanted(as_json, detach)
    if job_id is not None:
        if prompt is not None or detach:
            raise click.UsageError("--follow takes no PROMPT and no --detach")
        ask(lambda asked: _found(asked.connection, job_id, wanted))
        return
    body = _body(prompt, given)

    async def work(asked: Asked) -> None:
        if not body.keys() & _CHOICES and (provider := await jobs.stand_in(asked.connection)):
            body["provider"] = provider
            note(f"{provider} writes, with sentences of its own: no provider has a key here")
        started = await jobs.start(asked.connection, body)
        for warning in started.warnings:
            note(str(warning.get("message", warning)))
        if wanted.is_detached:
            click.echo(json.dumps({"job_id": started.job_id, "state": started.state}) if as_json else started.job_id)
            return
        await _followed(asked.connection, started.job_id, started.quota.currency, wanted)

    ask(work)


def _body(prompt: str | None, given: dict[str, str | int | None]) -> dict[str, object]:
    if prompt == "-":
        prompt = whole_of(sys.stdin.buffer)
    if not prompt and given["preset_id"] is None:
        raise click.UsageError("say what to write: PROMPT, `-` to read it from stdin, or --preset")
    if given["ref"] is None and (given["section"] or given["at"] or given["keep"]):
        raise click.UsageError("--section, --at and --keep go with --canvas")
    if given["section"] is None and given["create"]:
        raise click.UsageError("--create goes with --section")
    if given["section"] is not None and given["at"] is not None:
        raise click.UsageError("choose --section or --at")
    named = ("provider", "model", "preset_id", "max_output_tokens")
    body: dict[str, object] = {name: given[name] for name in named if given[name] is not None}
    if given["ref"] is not None:
        body["canvas"] = _output(given)
    return {**body, "prompt": prompt or ""}


def _output(given: dict[str, str | int | None]) -> dict[str, object]:
    output: dict[str, object] = {"ref": given["ref"], "on_cancel": "keep" if given["keep"] else "revert"}
    section = given["section"]
    if isinstance(section, str):
        options = {"options": {"ensure_heading": True}} if given["create"] else {}
        return {**output, "target": heading_of(section), **options}
    mode = {"type": "position", "position": {"mode": given["at"] or "end"}}
    return {**output, "target": mode, "options": {"surround_with_blank_lines": 1}}


async def _found(connection: Connection, job_id: str, wanted: _Wanted) -> None:
    await _followed(connection, job_id, await jobs.currency(connection), wanted)


async def _followed(connection: Connection, job_id: str, currency: str, wanted: _Wanted) -> None:
    shown = _Shown(job_id, currency, as_json=wanted.as_json)
    try:
        async with aclosing(jobs.follow(connection, job_id)) as told:
            async for heard in told:
                shown.show(heard)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        shown.end_line()
        note("cancelling ...")
        stopped = await jobs.cancel(connection, job_id)
        if stopped.state == "completed":
            raise StoppedError(f"job {job_id} was complete already") from None
        became = "is cancelled" if stopped.stopped else "is being cancelled, and may take some seconds more"
        raise StoppedError(f"interrupted: job {job_id} {became}") from None


class _Shown:
    """What was shown of a job so far: its text on stdout, all else on stderr."""

    def __init__(self, job_id: str, currency: str, *, as_json: bool) -> None:
        self._job_id = job_id
        self._currency = currency
        self._as_json = as_json
        self._counter = Counter()
        self._attempt = 1
        self._column = 0

    def show(self, heard: jobs.Heard) -> None:
        """Show what is told next.

        Raises:
            NotDoneError: the job ended without its answer.
        """
        if self._as_json:
            click.echo(heard.raw)
        match heard.told:
            case Queued(position=position):
                self._count(f"waiting, number {position} in line")
            case Step():
                self._step(heard.told)
            case Chunk():
                self._chunk(heard.told)
            case Metadata(output_tokens=tokens):
                self._count(f"{tokens} tokens")
            case Complete():
                self._complete(heard.told)
            case JobFailure(message=message, code=code, hint=told):
                self.end_line()
                raise NotDoneError(f"{message} ({code})", hint=told)

    def end_line(self) -> None:
        """Begin what comes on a line of its own."""
        self._counter.clear()
        if self._column and not self._as_json:
            put("\n")
            self._column = 0

    def _count(self, text: str) -> None:
        # Where the text itself is on the screen it shows how far it has come.
        if not (self._column and sys.stdout.isatty()):
            self._counter.tell(text)

    def _step(self, step: Step) -> None:
        if isinstance(step.retry_in_ms, int):
            self._counter.clear()
            note(f"the provider is busy, and is asked again in {step.retry_in_ms / 1000:.0f} s")
        elif step.step == "generating":
            self._count("waiting for the first words")

    def _chunk(self, chunk: Chunk) -> None:
        self._counter.clear()
        if chunk.attempt > self._attempt:
            self.end_line()
            note("the answer did not fit and is asked for once more")
            self._attempt = chunk.attempt
        if not self._as_json:
            put(chunk.content)
            self._column = 0 if chunk.content.endswith("\n") else 1

    def _complete(self, complete: Complete) -> None:
        self.end_line()
        parts = [f"{complete.total_tokens} tokens, {complete.cost:.4f} {self._currency}".strip()]
        if complete.cached is not UNSET:
            parts.append("told again from the cache")
        if complete.result.finish == "length":
            parts.append("cut off at --max-tokens")
        if complete.result.canvas is not UNSET:
            canvas = complete.result.canvas
            parts.append(f"written into {canvas.ref}, now at version {seq_of(canvas.server_version)}")
        note("; ".join(parts))
        if complete.result.canvas is not UNSET:
            hint(f"Take it back with: canvas-server undo {complete.result.canvas.ref} --job {self._job_id}")
