"""What the database of a server says of jobs and money, read beside it; and what it must always say."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.job import Job
from canvas_server.core.quota import TOTAL
from canvas_server.storage.folder import database_path

_ENTRIES: Final = """
    SELECT job_id, call, month, state, estimated, cost_micros, reserved_micros, input_tokens, output_tokens
    FROM cost_entry ORDER BY job_id, call
"""
_ACCOUNTS: Final = "SELECT month, amount_micros, reserved_micros, quota_micros FROM cost_usage WHERE provider = ?"


class EntryRow(NamedTuple):
    """A line of the bill."""

    job_id: str
    call: int
    month: str
    state: str
    estimated: int
    cost_micros: int
    reserved_micros: int
    """What was held for it."""
    input_tokens: int
    output_tokens: int


class AccountRow(NamedTuple):
    """The account of one user for all providers in a month."""

    month: str
    spent_micros: int
    reserved_micros: int
    quota_micros: int


class Books(NamedTuple):
    """All there is, of one user.

    Attributes:
        accounts: one for each month.
        entries: the lines of the bill.
        jobs: by id.
        logged: job ids of the generation log, one for each line.
    """

    accounts: list[AccountRow]
    entries: list[EntryRow]
    jobs: dict[str, Job]
    logged: list[str]

    def check(self) -> None:
        """Fail where the books do not add up, whatever is going on."""
        for account in self.accounts:
            entries = [entry for entry in self.entries if entry.month == account.month]
            assert account.spent_micros == sum(entry.cost_micros for entry in entries)
            held = sum(entry.reserved_micros for entry in entries if entry.state == "reserved")
            assert account.reserved_micros == held
            assert account.spent_micros + held <= account.quota_micros

    def check_quiet(self) -> None:
        """Fail where anything is still open, though nothing runs."""
        self.check()
        assert not any(account.reserved_micros for account in self.accounts), self.entries
        assert all(job.ended for job in self.jobs.values()), self.jobs
        assert sorted(self.logged) == sorted(self.jobs), "one line of the log for each job"
        for job in self.jobs.values():
            settled = [entry for entry in self.entries if entry.job_id == job.id and entry.state == "settled"]
            assert [entry.call for entry in settled] == list(range(1, job.call + 1)), "one settled entry for each call"
            assert job.cost_micros == sum(entry.cost_micros for entry in settled)
            told = job.usage.output_tokens if job.usage else 0
            assert told == sum(entry.output_tokens for entry in settled), (job.usage, settled)
            assert all(entry.cost_micros <= entry.reserved_micros for entry in settled), "paid more than was held"


def read_books(data_dir: Path) -> Books:
    """Return what is durable now; also beside a server, and after one was killed."""
    uri = f"{database_path(data_dir).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.execute("BEGIN")
        jobs = [msgspec.json.decode(body, type=Job) for (body,) in connection.execute("SELECT body FROM job")]
        return Books(
            accounts=[AccountRow(*row) for row in connection.execute(_ACCOUNTS, (TOTAL,))],
            entries=[EntryRow(*row) for row in connection.execute(_ENTRIES)],
            jobs={job.id: job for job in jobs},
            logged=[job_id for (job_id,) in connection.execute("SELECT job_id FROM generation_log")],
        )
