"""Planted bugs of what must survive: checkpoints, the journal, the store, the end of a server."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_STATE: Final = ("tests/state",)
_STORAGE: Final = ("tests/storage",)
_GROUPS: Final = ("tests/storage/test_group_commit.py",)
_CRASH: Final = ("tests/state/test_crash.py", "tests/model", "tests/crash/test_kill.py")

MUTANTS: Final = (
    Mutant(
        "no-new-history-after-restart",
        "core/version.py",
        'told = f"{previous.etag}',
        """return Version(previous.seq + 1, f'W/"{previous.seq + 1}-{previous.cursor[-16:]}"')
    told = f"{previous.etag}""",
        _CRASH,
    ),
    Mutant(
        "saved-before-the-write",
        "state/checkpointer.py",
        "await self._saving.save(request)",
        "self.saved = request.version; await self._saving.save(request)",
        _STATE,
    ),
    Mutant(
        "saved-is-what-came-meanwhile-too",
        "state/checkpointer.py",
        "self.saved = request.version\n",
        "self.saved = self._canvas.version\n",
        _STATE,
    ),
    Mutant("failed-save-not-retried", "state/checkpointer.py", "        self._arm(retry_s)", "        pass", _STATE),
    Mutant(
        "dead-ticker",
        "state/checkpointer.py",
        "elif self._timer is None:",
        "elif self._timer is None and self._told_seq == 0:",
        _STATE,
    ),
    Mutant(
        "eighty-instead-of-fifty",
        "state/checkpointer.py",
        "if seq - self.saved.seq >= self._policy.ops:",
        "if seq - self.saved.seq >= self._policy.ops * 8 // 5:",
        _STATE,
    ),
    Mutant(
        "fifty-do-not-start-a-save",
        "state/checkpointer.py",
        "if seq - self.saved.seq >= self._policy.ops:",
        "if False:",
        _STATE,
    ),
    Mutant(
        "what-came-during-a-save-waits-for-ever",
        "state/checkpointer.py",
        "if self._first_unsaved_s is None or not self.unsaved_ops or",
        "if True or",
        _STATE,
    ),
    Mutant(
        "two-saves-at-a-time",
        "state/checkpointer.py",
        "            async with self._lock:\n                if self.saved.seq < wanted_seq",
        "            if True:\n                if self.saved.seq < wanted_seq",
        _STATE,
    ),
    Mutant(
        "checkpoint-told-before-the-commit",
        "state/checkpointer.py",
        "await self._saving.save(request)",
        "was, self.saved = self.saved, request.version; self._tell(); self.saved = was; "
        "await self._saving.save(request)",
        _STATE,
    ),
    Mutant(
        "age-of-a-failed-save-forgotten",
        "state/checkpointer.py",
        "            self._first_unsaved_s = oldest_s\n",
        "",
        _STATE,
    ),
    Mutant("close-without-save", "state/manager.py", "await room.save()\n        version", "version", _STATE),
    Mutant(
        "drain-without-save",
        "state/manager.py",
        "async with asyncio.timeout_at(deadline_s):\n                    await room.save()",
        "async with asyncio.timeout_at(deadline_s):\n                    pass",
        _STATE,
    ),
    Mutant("admission-open-during-drain", "state/manager.py", "self.draining = True", "self.draining = False", _STATE),
    Mutant("unloaded-while-unsaved", "state/room.py", " or self.checkpointer.unsaved_ops > 0", "", _STATE),
    Mutant("saves-after-a-delete", "state/room.py", "        self.checkpointer.stop()\n", "", _STATE),
    Mutant(
        "history-lets-go-of-the-unsaved",
        "core/history.py",
        "if self._hold_after_seq is not None:",
        "if False:",
        _STATE,
    ),
    Mutant(
        "history-counts-on-what-may-be-taken-back",
        "core/history.py",
        "            held = min(held, self._hold_after_seq - self._floor.seq)\n        count = held - self._ops_max",
        "            count = min(held - self._ops_max, self._hold_after_seq - self._floor.seq)",
        _STATE,
    ),
    Mutant(
        "ack-before-journal",
        "state/journal.py",
        "await self._checkpointer.save_all(tell=False)",
        "self._spawn(self._checkpointer.save_all(tell=False))",
        ("tests/state/test_crash.py", "tests/state/test_journal.py"),
    ),
    Mutant(
        "journal-read-before-the-disk",
        "state/journal.py",
        "return not self._settled.is_set()",
        "return False",
        _STATE,
    ),
    Mutant(
        "refused-journal-untold",
        "state/journal.py",
        "self._tell(self._refused(submission, outcome, error), operation.scope)",
        "pass",
        _STATE,
    ),
    Mutant(
        "refused-journal-not-taken-back",
        "state/journal.py",
        "self._canvas.take_back(changed, sections_changed)",
        "pass",
        _STATE,
    ),
    Mutant(
        "request-goes-on-after-a-refused-journal",
        "state/journal.py",
        "submission.fail()",
        "pass",
        _STATE,
    ),
    Mutant(
        "heartbeat-ahead-of-the-disk", "state/room.py", "        if not self.unsettled:\n", "        if True:\n", _STATE
    ),
    Mutant(
        "operations-after-the-text-not-replayed",
        "core/saved.py",
        "if op.seq > loaded.text.version.seq:",
        "if False:",
        _CRASH,
    ),
    Mutant(
        "names-forgotten-by-a-restart",
        "core/saved.py",
        "retained_ops_max, loaded.older_op_ids)",
        "retained_ops_max)",
        ("tests/state", "tests/web/test_history.py"),
    ),
    Mutant(
        "older-save-wins",
        "storage/checkpoint.py",
        "if durable.seq > request.version.seq or durable",
        "if durable",
        _STORAGE,
    ),
    Mutant(
        "saved-operations-written-twice",
        "storage/checkpoint.py",
        "return request.ops[passed:]",
        "return request.ops",
        _STORAGE,
    ),
    Mutant(
        "history-cut-too-early",
        "storage/checkpoint.py",
        "if seq <= newest_seq - history_ops_max)",
        "if seq <= newest_seq)",
        _STORAGE,
    ),
    Mutant(
        "operation-checksum-unread",
        "storage/canvas_rows.py",
        '!= row.crc32:\n        raise DamageError(f"an operation',
        '!= row.crc32 and row.seq < 0:\n        raise DamageError(f"an operation',
        _STORAGE,
    ),
    Mutant(
        "text-checksum-unread",
        "storage/canvas_rows.py",
        '!= row.crc32:\n        raise DamageError(f"a text',
        '!= row.crc32 and row.seq < 0:\n        raise DamageError(f"a text',
        _STORAGE,
    ),
    Mutant(
        "missing-operations-unnoticed",
        "storage/canvas_rows.py",
        "if op.seq != before.seq + 1:",
        "if op.seq <= before.seq:",
        _STORAGE,
    ),
    Mutant(
        "commit-without-sync",
        "storage/connection.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        _STORAGE,
    ),
    Mutant(
        "cancelled-write-abandoned",
        "storage/group_commit.py",
        "results[:] = [work(connection)]",
        "results[:] = [] if told.cancelled() else [work(connection)]",
        _STORAGE,
    ),
    Mutant(
        "two-servers-on-one-folder", "storage/folder.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH", _STORAGE
    ),
    Mutant(
        "last-of-a-group-not-written",
        "storage/row_groups.py",
        "while len(rows) - done >= size:",
        "while len(rows) - done > size:",
        _STORAGE,
    ),
    Mutant("row-written-twice", "storage/row_groups.py", "done += size", "done += max(1, size - 1)", _STORAGE),
    Mutant(
        "told-before-the-group-commits",
        "storage/group_commit.py",
        "                write.run(connection)\n",
        "                write.run(connection)\n                self._loop.call_soon_threadsafe(write.tell, None)\n",
        _GROUPS,
    ),
    Mutant(
        "one-failure-fails-the-group",
        "storage/group_commit.py",
        "if not began or (done and not _is_full(error)):",
        "if True:",
        _GROUPS,
    ),
    Mutant(
        "failed-commit-told-durable",
        "storage/group_commit.py",
        "return [_again(error) for _ in group]",
        "return [None] * len(group)",
        _GROUPS,
    ),
    Mutant(
        "full-disk-refuses-the-whole-group",
        "storage/group_commit.py",
        "(done and not _is_full(error))",
        "done",
        _GROUPS,
    ),
    Mutant("group-without-a-bound", "storage/group_commit.py", "range(min(GROUP_MAX, len", "range(max(0, len", _GROUPS),
    Mutant("newest-write-first", "storage/group_commit.py", "self._waiting.popleft()", "self._waiting.pop()", _GROUPS),
    Mutant(
        "caller-that-left-silences-the-others",
        "storage/group_commit.py",
        "            if told.cancelled():\n                return\n",
        "",
        _GROUPS,
    ),
    Mutant("nobody-wakes-the-writer-again", "storage/group_commit.py", "self._running = bool(group)", "pass", _GROUPS),
    Mutant(
        "advance-from-any-version",
        "storage/canvas_writes.py",
        "WHERE id = ? AND seq = ?",
        "WHERE id = ? AND seq >= ? * 0",
        _STORAGE,
    ),
    Mutant(
        "clock-jump-untold",
        "system.py",
        "if abs(by_s) >= _JUMP_S_MIN:",
        "if by_s >= _JUMP_S_MIN:",
        ("tests/test_clock_watch.py",),
    ),
    Mutant(
        "drift-told-as-a-jump",
        "system.py",
        "before_s, self._ahead_s = self._ahead_s, self._read_ahead_s()",
        "before_s, self._ahead_s = getattr(self, '_first_s', self._ahead_s), self._read_ahead_s(); "
        "self._first_s = before_s",
        ("tests/test_clock_watch.py",),
    ),
)
