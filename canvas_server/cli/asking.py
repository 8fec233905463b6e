"""Running what a command asks of a server, and telling in words of the command line why it could not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from canvas_server.cli.endings import NotDoneError
from canvas_server.cli.reaching import START_ONE, TOKEN_VARIABLE, Server, find_server
from canvas_server.core.errors import CanvasError, InvalidFieldError, StorageUnavailableError
from canvas_server.core.ids import is_canvas_ref

if TYPE_CHECKING:
    from canvas_server.client.client import CanvasClient
    from canvas_server.client.connection import Connection

R = TypeVar("R")

_ANSWER_S: Final = 30.0
_IMPATIENCE_S: Final = 1.0


class Asked(NamedTuple):
    """The server that a command asks.

    Attributes:
        client: for its canvases.
        connection: for all else.
    """

    client: CanvasClient
    connection: Connection


def ask(work: Callable[[Asked], Awaitable[R]]) -> R:
    """Run what asks the server of this command to its end.

    Raises:
        CanvasError: the server is not there or refused; a `NotDoneError` where there is no such canvas.
    """
    return asyncio.run(_asked(find_server(), work))


def check_ref(ref: str) -> None:
    """Refuse what can name no canvas.

    Raises:
        InvalidFieldError: it cannot.
    """
    if not is_canvas_ref(ref):
        raise InvalidFieldError(
            f"{ref!r} cannot name a canvas",
            hint="Use up to 128 letters, digits, '.', '_' and '-', a letter or digit first.",
        )


async def _asked(server: Server, work: Callable[[Asked], Awaitable[R]]) -> R:
    from canvas_server.client.client import CanvasClient  # noqa: PLC0415 - only commands that ask need it
    from canvas_server.client.connection import Connection  # noqa: PLC0415 - as above
    from canvas_server.client.errors import ClientError  # noqa: PLC0415 - as above

    client = CanvasClient(server.url, token=server.token or "")
    connection = Connection(server.url, server.token or "", client.client_id, _ANSWER_S)
    try:
        with _interruptible():
            async with client, aclosing(connection):
                return await work(Asked(client, connection))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except ClientError as error:
        raise _in_words(error, server) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C cancel the work, which may tidy up; once more, a second later, cancels that too.

    Some programs pass a signal on twice, which must not count as impatience.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    last_s = -_IMPATIENCE_S

    def cancel() -> None:
        nonlocal last_s
        if loop.time() - last_s >= _IMPATIENCE_S:
            last_s = loop.time()
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, cancel)
    except (NotImplementedError, RuntimeError, ValueError):
        # Not the main thread, or no signals here: then nobody presses Ctrl-C.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _in_words(error: CanvasError, server: Server) -> CanvasError:
    from canvas_server.client import errors  # noqa: PLC0415 - as above

    match error:
        case errors.UnreachableError():
            return StorageUnavailableError(f"no server answers at {server.url}", hint=START_ONE)
        case errors.NotFoundError():
            return NotDoneError(str(error), hint=f"{error.hint} `canvas-server ls` shows those there are.".strip())
        case errors.ExistsError() | errors.OperationError():
            return NotDoneError(str(error), hint=error.hint)
        case errors.UnauthorizedError():
            what = "knows no such token" if server.token else "wants a token"
            return StorageUnavailableError(
                f"the server at {server.url} {what}",
                hint=f"Give one with {TOKEN_VARIABLE} or --token-file; `canvas-server token create` makes it.",
            )
        case _:
            return error
