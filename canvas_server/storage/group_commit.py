"""Writes that wait are committed together: one transaction and one sync, however many asked.

Rule: each write keeps what it would have alone. They run in the order in which they were asked for, one that fails
changes nothing and harms no other, and nobody is told anything before the commit that holds it. Those of one kind that
follow each other may be done in one go, in fewer statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import groupby
from threading import Lock
from typing import Final, NamedTuple, TypeAlias, TypeVar, cast

from canvas_server.core.errors import StorageUnavailableError

Result = TypeVar("Result")
Item = TypeVar("Item")

_Kind: TypeAlias = Callable[[sqlite3.Connection, Sequence[object]], None]

GROUP_MAX: Final = 128
"""Writes in one transaction, at most: the first of them waits for the last."""


class _Write(NamedTuple):
    """A write that somebody waits for.

    Attributes:
        run: does the work, in the thread; it may be run again after a transaction that was rolled back.
        tell: says in the loop that it is durable, or why it is not.
        item: what the work of `kind` is done on.
        kind: work that can be done on several items at once, and is the same for all that it is done on at once.
    """

    run: Callable[[sqlite3.Connection], None]
    tell: Callable[[Exception | None], None]
    item: object = None
    kind: _Kind | None = None


class GroupCommit:
    """The writes of one connection; `put` belongs to the loop that made it.

    Args:
        executor: the one thread of the connection.
        transact: runs work in one transaction, in that thread; with an error nothing has happened.
    """

    def __init__(self, executor: Executor, transact: Callable[[Callable[[sqlite3.Connection], None]], None]) -> None:
        self._executor = executor
        self._transact = transact
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._waiting: deque[_Write] = deque()
        self._running = False

    def put(self, work: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        """Have work done after all that was put before; the future is done when that is durable, or refused.

        Cancelling the future changes nothing but that nobody is told.

        Args:
            work: changes the database and nothing else, for it may be run again.
        """
        results: list[Result] = []

        def run(connection: sqlite3.Connection) -> None:
            results[:] = [work(connection)]

        told, tell = self._promise(lambda: results[0])
        self._put(_Write(run, tell))
        return told

    def put_among(self, item: Item, work: Callable[[sqlite3.Connection, Sequence[Item]], None]) -> asyncio.Future[None]:
        """Have work done on an item, as `put` does; on several at once where they follow each other.

        Args:
            item: what it is done on.
            work: the same object for all items that it can be done on at once. If it fails for several it is run for
                each alone, so that one that cannot be done harms no other.
        """
        told, tell = self._promise(lambda: None)
        self._put(_Write(lambda connection: work(connection, [item]), tell, item, cast("_Kind", work)))
        return told

    def _promise(
        self, result: Callable[[], Result]
    ) -> tuple[asyncio.Future[Result], Callable[[Exception | None], None]]:
        """Return a future, and what tells it that something is durable, with a result, or why it is not."""
        told: asyncio.Future[Result] = self._loop.create_future()

        def tell(error: Exception | None) -> None:
            if told.cancelled():
                return
            if error is None:
                told.set_result(result())
            else:
                told.set_exception(error)

        return told, tell

    def _put(self, write: _Write) -> None:
        with self._lock:
            self._waiting.append(write)
            sleeping, self._running = not self._running, True
        if sleeping:
            self._executor.submit(self._run)

    def _run(self) -> None:
        """Commit group after group until nothing waits; in the thread."""
        while group := self._next_group():
            told = list(zip(group, self._commit(group), strict=True))
            self._loop.call_soon_threadsafe(_tell, told)

    def _next_group(self) -> Sequence[_Write]:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
            self._running = bool(group)
        return group

    def _commit(self, group: Sequence[_Write]) -> Sequence[Exception | None]:
        """Return for each write why it is not durable, or None."""
        if len(group) == 1:
            return [self._commit_alone(group[0])]
        began = done = False

        def run(connection: sqlite3.Connection) -> None:
            nonlocal began, done
            began = True
            for kind, writes in groupby(group, lambda write: write.kind):
                if kind is not None:
                    kind(connection, [write.item for write in writes])
                    continue
                for write in writes:
                    write.run(connection)
            done = True

        try:
            self._transact(run)
        except Exception as error:  # noqa: BLE001 - it is told to those who wait
            # What keeps all out is told to all. One that fails, or is too much for the disk, fails alone; and so
            # seldom that it costs less to begin again than to have a savepoint before each.
            if not began or (done and not _is_full(error)):
                return [_again(error) for _ in group]
            return [self._commit_alone(write) for write in group]
        return [None] * len(group)

    def _commit_alone(self, write: _Write) -> Exception | None:
        try:
            self._transact(write.run)
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits
            return error
        return None


def _tell(told: Sequence[tuple[_Write, Exception | None]]) -> None:
    for write, error in told:
        write.tell(error)


def _is_full(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode == sqlite3.SQLITE_FULL


def _again(error: Exception) -> Exception:
    """Return an error of its own for one of many who are told the same: raising one adds to it."""
    if not isinstance(error, StorageUnavailableError):
        return error
    copy = StorageUnavailableError(str(error), hint=error.hint)
    copy.__cause__ = error.__cause__
    return copy
