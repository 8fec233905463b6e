"""Planted bugs of what is told: the log, listeners, resuming, rooms coming and going."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_STATE: Final = ("tests/state",)

MUTANTS: Final = (
    Mutant(
        "hole-at-resume", "state/log.py", "return self._first + index + 1", "return self._first + index + 2", _STATE
    ),
    Mutant(
        "told-twice-at-resume", "state/log.py", "return self._first + index + 1", "return self._first + index", _STATE
    ),
    Mutant(
        "refusals-lost-at-eviction",
        "state/log.py",
        "if self._entries[count - 1].is_state else None",
        "if count else None",
        _STATE,
    ),
    Mutant(
        "resumed-beyond-the-log",
        "state/arrivals.py",
        'return "evicted" if place is None else self._log.replay(place, unit, prefix)',
        "return self._log.replay(self._log.first if place is None else place, unit, prefix)",
        _STATE,
    ),
    Mutant(
        "reset-not-told", "state/arrivals.py", "            if missed is not None:\n", "            if False:\n", _STATE
    ),
    Mutant(
        "reset-without-snapshot",
        "state/arrivals.py",
        "if resume.snapshot or missed is not None:",
        "if resume.snapshot:",
        ("tests/state", "tests/web/test_listen.py"),
    ),
    Mutant(
        "other-history-resumed",
        "state/arrivals.py",
        "if known is not None and known != version.etag:",
        "if False:",
        _STATE,
    ),
    Mutant("ephemeral-told-again", "state/log.py", "if not entry.ephemeral]", "if entry]", _STATE),
    Mutant(
        "gap-between-snapshot-and-stream",
        "state/room.py",
        "listener.cursor = self.log.end\n        self._list",
        "listener.cursor = self.log.end + 1\n        self._list",
        _STATE,
    ),
    Mutant("one-unit-for-all", "state/room.py", "if applied.wide_spans != applied.spans:", "if False:", _STATE),
    Mutant(
        "slow-reader-told-wrongly",
        "state/room.py",
        "if listener.cursor < self.log.first:",
        "if False:",
        _STATE,
    ),
    Mutant(
        "restored-log-too-short",
        "state/log.py",
        "first_seq = newest_seq - min(len(history), settings.log_events_min)",
        "first_seq = newest_seq - min(len(history), settings.log_events_min) + 1",
        _STATE,
    ),
    Mutant("heartbeat-of-an-old-text", "state/room.py", "if self._crc[0] != etag:", "if not self._crc[0]:", _STATE),
    Mutant(
        "duplicate-with-an-id",
        "state/room.py",
        "applied is not None and applied.ack is event else",
        "applied is not None else",
        _STATE,
    ),
    Mutant("delete-not-final", "state/room.py", "        self.gone = True\n", "", _STATE),
    Mutant(
        "refusals-forgotten",
        "state/room.py",
        "self._refusals[event.op_id] = event",
        "pass",
        ("tests/state", "tests/web/test_ops.py", "tests/web/test_history.py"),
    ),
    Mutant(
        "one-load-for-each-who-asks", "state/manager.py", "        if task is None:\n", "        if True:\n", _STATE
    ),
    Mutant("no-bye-at-the-end", "state/manager.py", 'room.dismiss("shutdown")', "room.dismiss(None)", _STATE),
    Mutant("unloaded-under-an-upload", "state/room.py", " or self.uploads > 0", "", _STATE),
    Mutant("unloaded-under-listeners", "state/room.py", "return bool(self._listeners) or", "return", _STATE),
    Mutant(
        "never-unloaded",
        "state/manager.py",
        "if room.active_s <= before_s and not room.in_use:",
        "if False:",
        _STATE,
    ),
    Mutant(
        "preview-changes-the-text",
        "state/room.py",
        "twin = self.canvas.copy()",
        "twin = self.canvas",
        _STATE,
    ),
    Mutant(
        "past-one-version-off",
        "core/canvas.py",
        "if applied.version.seq <= seq:",
        "if applied.version.seq < seq:",
        ("tests/state", "tests/web/test_history.py", "tests/core"),
    ),
    Mutant(
        "presence-for-ever",
        "state/presence.py",
        "if until_s <= now_s:",
        "if False:",
        _STATE,
    ),
    Mutant(
        "position-of-one-canvas-only",
        "web/listen.py",
        "cursors[CanvasRef(ref)] = cursor",
        "cursors = {CanvasRef(ref): cursor}",
        ("tests/web/test_listen_many.py", "tests/web/test_listen.py"),
    ),
    Mutant(
        "header-less-than-the-query",
        "web/listen.py",
        'header.decode("latin-1") if header else (given[-1] if given else None)',
        'given[-1] if given else (header and header.decode("latin-1"))',
        ("tests/web/test_listen.py",),
    ),
    Mutant(
        "hole-at-resume-of-real-readers",
        "state/log.py",
        "return self._first + index + 1",
        "return self._first + index + 2",
        ("tests/order/test_resume.py",),
        "slow",
    ),
    Mutant(
        "refusal-told-twice-to-real-clients",
        "state/room.py",
        "        else:\n            self._remember(event)",
        "        else:\n            self._append(frame, wide_frame)\n            self._remember(event)",
        ("tests/order/test_order.py",),
        "slow",
    ),
    Mutant(
        "ack-before-journal-of-real-clients",
        "state/journal.py",
        "await self._checkpointer.save_all(tell=False)",
        "self._spawn(self._checkpointer.save_all(tell=False))",
        ("tests/order/test_order.py",),
        "slow",
    ),
    Mutant(
        "busy-canvas-told-at-once", "state/listener.py", "self._not_before = self._loop", "self._ = self._loop", _STATE
    ),
    Mutant(
        "calm-canvas-waits", "state/listener.py", "events * _WAIT_FOR_EVENT", "(events + 12) * _WAIT_FOR_EVENT", _STATE
    ),
    Mutant("waits-without-bound", "state/listener.py", "* took_s, self._interval_s)", "* took_s, 3600.0)", _STATE),
)
