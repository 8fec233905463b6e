"""`canvas-server edit`: a canvas in the editor of whoever asks, while others go on writing.

Rule: what was written in the editor is never lost. Its file is removed only when the server has all of it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from canvas_server.cli.asking import ask, check_ref
from canvas_server.cli.endings import NotDoneError
from canvas_server.cli.merging import merge
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.standard_input import text_of
from canvas_server.cli.terminal import note
from canvas_server.core.errors import CanvasError, ConfigError, StorageUnavailableError
from canvas_server.core.version import seq_of

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked
    from canvas_server.client.session import CanvasSession

_SEND_S: Final = 30.0
"""With nothing taken in it."""
_LOOK_S: Final = 0.25


@click.command(
    short_help="Edit a canvas in your editor.", epilog=example('EDITOR="code --wait" canvas-server edit notes')
)
@click.argument("ref")
@click.option("--create", is_flag=True, help="Make the canvas if there is none.")
@reaching
def edit(*, ref: str, create: bool) -> None:
    """Open canvas REF in $VISUAL or $EDITOR; what you save and quit with goes in.

    What others write meanwhile is kept. Where you both changed the same lines, yours come below theirs.
    """
    check_ref(ref)
    editor = _editor()
    base = ask(lambda asked: _opened(asked, ref, is_made=create))
    folder = Path(tempfile.mkdtemp(prefix="canvas-"))
    path = folder / f"{ref}.md"
    path.write_text(base, encoding="utf-8", newline="\n")
    try:
        saved = _edited(editor, path, base)
        outcome = None if saved == base else ask(lambda asked: _brought_in(asked, ref, base, saved))
    except BaseException as error:
        _keep_if_changed(path, base, error)
        raise
    _remove(path)
    _tell(ref, outcome)


class _Outcome(NamedTuple):
    """What became of an edit: the version, and the lines that both had changed."""

    version: str
    both: list[int]


def _editor() -> list[str]:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        command = shlex.split(named)
    except ValueError:
        command = []
    if not command or shutil.which(command[0]) is None:
        raise ConfigError(f"there is no editor {named!r}", hint="Set EDITOR to a program, as EDITOR=nano.")
    return command


async def _opened(asked: Asked, ref: str, *, is_made: bool) -> str:
    from canvas_server.client.errors import NotFoundError  # noqa: PLC0415 - only commands that ask need it

    try:
        return (await asked.client.read(ref)).text
    except NotFoundError:
        if not is_made:
            raise
    return (await asked.client.create(ref)).text


def _edited(editor: Sequence[str], path: Path, base: str) -> str:
    """Return what is in the file when the editor is done; a last newline that editors add is not taken for a change."""
    # Ctrl-C is the editor's while it runs; a handler, unlike ignoring it, is not inherited.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        code = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 - the person's own editor
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        raise NotDoneError(f"the editor ended with code {code}; nothing was sent")
    saved = text_of(path)
    return saved if base.endswith("\n") or saved == base else saved.removesuffix("\n")


async def _brought_in(asked: Asked, ref: str, base: str, saved: str) -> _Outcome:
    from canvas_server.client.changeset import Change  # noqa: PLC0415 - as above

    canvas = await asked.client.open(ref)
    await canvas.live()
    merged = merge(base, saved, canvas.text)
    canvas.edit([Change(*spot) for spot in reversed(merged.spots)])
    await _settled(canvas)
    return _Outcome(canvas.version, merged.both)


async def _settled(canvas: CanvasSession) -> None:
    """Wait until the server has it all.

    Raises:
        StorageUnavailableError: it does not take it.
    """
    loop = asyncio.get_running_loop()
    until, version = loop.time() + _SEND_S, canvas.version
    sending = asyncio.ensure_future(canvas.settled())
    while not (await asyncio.wait({sending}, timeout=_LOOK_S))[0]:
        problem = canvas.problem
        if canvas.version != version:
            until, version = loop.time() + _SEND_S, canvas.version
        if loop.time() > until or (problem is not None and not problem.retryable):
            sending.cancel()
            why = problem.message if problem is not None else f"there was no answer in {_SEND_S:.0f} s"
            raise StorageUnavailableError(f"not all of it was taken: {why}", hint=problem.hint if problem else "")
    await sending


def _keep_if_changed(path: Path, base: str, error: BaseException) -> None:
    """Leave the file if there is anything of the person in it, and say where it is."""
    if path.read_bytes() == base.encode():
        _remove(path)
    elif isinstance(error, CanvasError):
        error.hint = f"{error.hint} Your text is kept in {path}".strip()
    else:
        note(f"your text is kept in {path}")


def _remove(path: Path) -> None:
    shutil.rmtree(path.parent, ignore_errors=True)


def _tell(ref: str, outcome: _Outcome | None) -> None:
    if outcome is None:
        note("nothing was changed")
        return
    note(f"saved; {ref} is at version {seq_of(outcome.version)}")
    if outcome.both:
        places = ", ".join(str(line) for line in outcome.both)
        raise NotDoneError(
            f"others had changed the same lines: look at line {places}",
            hint=f"Nothing is lost: what they wrote stands above what you wrote. `canvas-server edit {ref}` again.",
        )
