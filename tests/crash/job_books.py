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
    SELECT job_id, call, state, estimated, cost_micros, reserved_micros, input_tokens, output_tokens FROM cost_entry
    ORDER BY job_id, call
"""
_ACCOUNTS: Final = "SELECT amount_micros, reserved_micros, quota_micros FROM cost_usage WHERE provider = ?"


class EntryRow(NamedTuple):
    """A line of the bill."""

    job_id: str
    call: int
    state: str
    estimated: int
    cost_micros: int
    reserved_micros: int
    """What was held for it."""
    input_tokens: int
    output_tokens: int


class Books(NamedTuple):
    """All there is.

    Attributes:
        spent_micros: of all users and months together, as the accounts say.
        reserved_micros: of all users and months together.
        quota_micros: the smallest there is; None where nobody has an account.
        entries: the lines of the bill.
        jobs: by id.
        logged: job ids of the generation log, one for each line.
    """

    spent_micros: int
    reserved_micros: int
    quota_micros: int | None
    entries: list[EntryRow]
    jobs: dict[str, Job]
    logged: list[str]

    def check(self) -> None:
        """Fail where the books do not add up, whatever is going on."""
        assert self.spent_micros == sum(entry.cost_micros for entry in self.entries)
        held = sum(entry.reserved_micros for entry in self.entries if entry.state == "reserved")
        assert self.reserved_micros == held
        assert self.quota_micros is None or self.spent_micros + self.reserved_micros <= self.quota_micros

    def check_quiet(self) -> None:
        """Fail where anything is still open, though nothing runs."""
        self.check()
        assert self.reserved_micros == 0, self.entries
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
        accounts = connection.execute(_ACCOUNTS, (TOTAL,)).fetchall()
        jobs = [msgspec.json.decode(body, type=Job) for (body,) in connection.execute("SELECT body FROM job")]
        return Books(
            spent_micros=sum(account[0] for account in accounts),
            reserved_micros=sum(account[1] for account in accounts),
            quota_micros=min((account[2] for account in accounts), default=None),
            entries=[EntryRow(*row) for row in connection.execute(_ENTRIES)],
            jobs={job.id: job for job in jobs},
            logged=[job_id for (job_id,) in connection.execute("SELECT job_id FROM generation_log")],
        )
