"""`CanvasStateManager`: the one authority over all canvases of a server; one for each app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from types import TracebackType

from msgspec.structs import replace

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.content import normalise
from canvas_server.core.counts import Counts
from canvas_server.core.errors import CanvasError, DrainingError, NotFoundError, OverloadedError, TooLargeError
from canvas_server.core.event import Closed, Deleted
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import (
    CanvasKey,
    CanvasPage,
    CanvasStore,
    CheckpointStore,
    Clock,
    Ids,
    SavedCanvas,
    SavedText,
)
from canvas_server.core.saved import open_canvas
from canvas_server.core.version import Version, genesis
from canvas_server.state.listener import Flusher
from canvas_server.state.past import Past
from canvas_server.state.room import House, Room
from canvas_server.state.saving import Saving
from canvas_server.state.settings import StateSettings
from canvas_server.state.store_check import StoreCheck

log = logging.getLogger(__name__)

_DELETED_REMEMBERED = 1_000


class CanvasStateManager:
    """Opens, closes and finds rooms, and answers for what is not open.

    Use as an async context manager: its tasks end with it.

    Args:
        store: durable canvases.
        clock: the wall clock.
        ids: chance.
        settings: how canvases are kept.
        counts: is told what happens.
        saver: takes the checkpoints in the store's place.
    """

    def __init__(
        self,
        store: CanvasStore,
        clock: Clock,
        ids: Ids,
        settings: StateSettings,
        counts: Counts,
        saver: CheckpointStore | None = None,
    ) -> None:
        self._store = store
        self._saver = saver or store
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self.counts = counts
        """What has happened."""
        self._rooms: dict[CanvasRef, Room] = {}
        self._loading: dict[CanvasRef, asyncio.Task[Room]] = {}
        self._deleted: dict[CanvasRef, None] = {}
        self._tasks = asyncio.TaskGroup()
        self._uploads: set[asyncio.Timeout] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self.check_store = StoreCheck(store.check)
        """Returns if the store can be written to now; raises what it raises."""
        self.past = Past(store)
        """What is no longer held in memory."""
        self.draining = False
        self.before_unload: Callable[[Room], None] | None = None
        """Told of each room that is unloaded while its canvas goes on to be."""

    async def __aenter__(self) -> CanvasStateManager:
        await self._tasks.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._house = House(
            Saving(self._saver, self._clock, self.counts),
            self._clock,
            self.counts,
            self._settings,
            Flusher(self._settings.flush_interval_s, self._clock, self.counts),
            self._spawn,
            lambda room: self._spawn(self._close_if_unused(room)),
        )
        self._sweep_later()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for loading in self._loading.values():
            loading.cancel()
        self.check_store.cancel()
        for room in self._rooms.values():
            room.unload()
        await self._tasks.__aexit__(exc_type, exc, traceback)

    @property
    def settings(self) -> StateSettings:
        """How canvases are kept."""
        return self._settings

    @property
    def ids(self) -> Ids:
        """Chance."""
        return self._ids

    @property
    def rooms(self) -> Sequence[Room]:
        """The canvases that are open."""
        return tuple(self._rooms.values())

    @property
    def listeners(self) -> int:
        """How many listen to any canvas."""
        return sum(room.listeners for room in self._rooms.values())

    def get(self, ref: CanvasRef) -> Room | None:
        """Return the room of a canvas if it is open."""
        return self._rooms.get(ref)

    async def open(self, ref: CanvasRef) -> Room:
        """Return the room of a canvas, loading it if need be; one load however many ask.

        Raises:
            NotFoundError: there is no such canvas.
            DrainingError: the server is stopping.
            OverloadedError: too many canvases are open, and none can be unloaded.
            StorageUnavailableError, StorageCorruptError: it cannot be read.
        """
        room = self._rooms.get(ref)
        if room is not None:
            return room
        self.check_admission()
        task = self._loading.get(ref)
        if task is None:
            task = self._loading[ref] = self._loop.create_task(self._load(ref), name=ref)
            task.add_done_callback(self._loaded)
        return await asyncio.shield(task)

    def check_admission(self) -> None:
        """Refuse new work while the server stops.

        Raises:
            DrainingError: it does.
        """
        if self.draining:
            raise DrainingError("the server is stopping", hint="Send the same op_ids again in a few seconds.")

    async def create(
        self, ref: CanvasRef, title: str, content: str, access: Access = NOBODYS
    ) -> tuple[SavedCanvas, str]:
        """Store a new canvas with the rights to it; return it with its text.

        Raises:
            ExistsError: the ref is taken.
            TooLargeError: the text is larger than a canvas may be.
        """
        self.check_admission()
        content = normalise(content)
        limit = self._settings.limits.canvas_bytes_max
        if len(content.encode()) > limit:
            raise TooLargeError(f"a canvas holds at most {limit} bytes", hint="Create it with less text.")
        text = SavedText(genesis(self._ids.chain()), content, ())
        saved = await self._store.create(ref, title, text, self._clock.now_ms(), access)
        log.info("canvas created", extra={"canvas": ref, "size_bytes": saved.size_bytes})
        return saved, content

    async def list_canvases(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        """Read a page of canvases, newest first, those that are open at their newest version.

        With `user` only those that stand in the list of that user.
        """
        page = await self._store.list(limit, before_key, user)
        return CanvasPage(tuple(self._newest(saved) for saved in page.canvases), page.next_key)

    async def saved(self, ref: CanvasRef) -> SavedCanvas:
        """Read what is known of a canvas, at its newest version.

        Raises:
            NotFoundError: there is none.
        """
        return self._newest(await self._store.get(ref))

    async def access(self, ref: CanvasRef) -> Access:
        """Return the rights to a canvas; raises `NotFoundError` if there is none."""
        room = self._rooms.get(ref)
        return (await self._store.get(ref)).access if room is None else room.canvas.access

    async def set_access(self, ref: CanvasRef, access: Access) -> None:
        """Change the rights to a canvas, durably.

        Raises:
            NotFoundError: there is none.
        """
        self.check_admission()
        saved = await self._store.get(ref)
        await self._store.set_access(saved.key, access)
        room = await self._get_loaded(ref)
        if room is not None and room.canvas.key == saved.key:
            room.canvas.access = access

    async def set_title(self, ref: CanvasRef, title: str, actor: str) -> None:
        """Change the title of a canvas, durably, and tell its listeners.

        Raises:
            NotFoundError: there is none.
        """
        self.check_admission()
        saved = await self._store.get(ref)
        await self._store.set_title(saved.key, title, self._clock.now_ms())
        room = await self._get_loaded(ref)
        if room is not None and room.canvas.key == saved.key:
            room.set_title(title, actor)

    async def close(self, ref: CanvasRef) -> Version:
        """Save a canvas for good, unload it, and return the version that is durable.

        Raises:
            NotFoundError: there is none.
            StorageUnavailableError: it could not be saved; it stays open.
        """
        while (room := self._rooms.get(ref)) is None:
            saved = await self._store.get(ref)
            if ref not in self._rooms:
                return saved.version
        await room.save()
        version = room.checkpointer.saved
        room.publish(Closed(canvas=ref, server_version=version.etag))
        room.dismiss(None)
        if not room.in_use:
            self._unload(room)
        return version

    async def delete(self, ref: CanvasRef, actor: str) -> None:
        """Delete a canvas with its history, and tell its listeners.

        Raises:
            NotFoundError: there is none.
        """
        self.check_admission()
        saved = await self._store.get(ref)
        await self._store.delete(saved.key)
        log.info("canvas deleted", extra={"canvas": ref})
        self._deleted[ref] = None
        if len(self._deleted) > _DELETED_REMEMBERED:
            del self._deleted[next(iter(self._deleted))]
        room = await self._get_loaded(ref)
        if room is not None and room.canvas.key == saved.key:
            room.publish(Deleted(canvas=ref, actor=actor))
            room.dismiss(None)
            self._forget(room)

    def add_upload(self, timeout: asyncio.Timeout) -> None:
        """Take note of a streamed request, whose time is cut short when the server stops."""
        self._uploads.add(timeout)

    def remove_upload(self, timeout: asyncio.Timeout) -> None:
        """Forget a streamed request that has ended."""
        self._uploads.discard(timeout)

    async def drain(self, give_up_s: float) -> bool:
        """Stop: take nothing more, save everything, say `bye` to everybody.

        Args:
            give_up_s: how long a failing disk is tried for.

        Returns:
            Whether everything is durable.
        """
        self.draining = True
        for upload in tuple(self._uploads):
            upload.reschedule(self._loop.time())
        await asyncio.sleep(0)
        deadline_s = self._loop.time() + give_up_s
        done = await asyncio.gather(*(self._save_by(room, deadline_s) for room in self.rooms))
        for room in self.rooms:
            room.dismiss("shutdown")
        return all(done)

    async def _save_by(self, room: Room, deadline_s: float) -> bool:
        """Save a room, trying again until the deadline; tell whether it is all durable."""
        wait_s = 0.1
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    await room.save()
            except NotFoundError:  # it was deleted
                return True
            except (CanvasError, TimeoutError) as error:
                if self._loop.time() + wait_s >= deadline_s:
                    told = {"canvas": room.canvas.ref, "ops": room.unsaved_ops, "why": str(error)}
                    log.exception("operations lost", extra=told)
                    return False
                await asyncio.sleep(wait_s)
                wait_s *= 2
            else:
                return True

    def _loaded(self, task: asyncio.Task[Room]) -> None:
        """Take note that a load has ended, and of its error, which nobody may be left to hear."""
        del self._loading[CanvasRef(task.get_name())]
        if not task.cancelled():
            task.exception()

    async def _get_loaded(self, ref: CanvasRef) -> Room | None:
        """Return the room of a canvas if it is open, or is being opened now."""
        task = self._loading.get(ref)
        if task is not None:
            await asyncio.wait([task])
        return self._rooms.get(ref)

    async def _load(self, ref: CanvasRef) -> Room:
        settings = self._settings
        places = settings.open_canvases_max - len(self._rooms) - len(self._loading)
        if places < 0 or self._open_bytes() > settings.open_text_bytes_max:
            self._make_place()
        loaded = await self._store.load(ref, settings.limits.retained_ops_max)
        canvas = await asyncio.to_thread(open_canvas, loaded, settings.limits.retained_ops_max)
        room = Room(self._house, canvas, text_seq=loaded.text.version.seq, recreated=ref in self._deleted)
        self._rooms[ref] = room
        log.info("canvas opened", extra={"canvas": ref, "version": canvas.version.etag})
        return room

    def _open_bytes(self) -> int:
        return sum(room.canvas.document.text.size_bytes for room in self._rooms.values())

    def _make_place(self) -> None:
        """Unload the room that was idle for longest, or refuse."""
        idle = [room for room in self._rooms.values() if not room.in_use]
        if not idle:
            raise OverloadedError(f"{len(self._rooms)} canvases are open", hint="Close a canvas, or try again later.")
        self._unload(min(idle, key=lambda room: room.active_s))

    def _unload(self, room: Room) -> None:
        if self.before_unload is not None:
            self.before_unload(room)
        self._forget(room)

    def _forget(self, room: Room) -> None:
        room.unload()
        if self._rooms.get(room.canvas.ref) is room:
            del self._rooms[room.canvas.ref]
        log.info("canvas unloaded", extra={"canvas": room.canvas.ref})

    async def _close_if_unused(self, room: Room) -> None:
        try:
            await room.save()
        except CanvasError as error:
            log.warning("canvas stays open", extra={"canvas": room.canvas.ref, "why": str(error)})
            return
        if not room.in_use and not room.gone:
            self._unload(room)

    def _sweep_later(self) -> None:
        self._sweep = self._loop.call_later(max(1.0, self._settings.idle_unload_s / 20), self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Unload what nobody has used for long."""
        self._sweep_later()
        before_s = self._loop.time() - self._settings.idle_unload_s
        for room in self.rooms:
            if room.active_s <= before_s and not room.in_use:
                self._unload(room)

    def _newest(self, saved: SavedCanvas) -> SavedCanvas:
        """Return what is known of a canvas, with what its open room knows and may be read."""
        room = self._rooms.get(saved.ref)
        if room is None or room.canvas.key != saved.key or room.unsettled:
            return saved
        canvas = room.canvas
        return replace(
            saved,
            title=canvas.title,
            version=canvas.version,
            size_bytes=canvas.document.text.size_bytes,
            access=canvas.access,
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # What it does is done for many requests, so it is on behalf of none.
        self._tasks.create_task(work, context=Context())
