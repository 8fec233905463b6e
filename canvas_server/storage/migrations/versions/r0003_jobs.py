"""Jobs with their events, the log of generations, and answers that may be told again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String, nullable=False, primary_key=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("idempotency_key", sa.String, nullable=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("call", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_unix_ms", sa.BigInteger, nullable=True),
    )
    op.create_index("job_by_key", "job", ["user", "idempotency_key"], unique=True)
    op.create_index("job_by_user", "job", ["user", "created_unix_ms"])
    op.create_index("job_by_end", "job", ["ended_unix_ms"])
    op.create_table(
        "job_event",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("cursor", sa.Integer, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "seq"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "generation_log",
        sa.Column("id", sa.Integer, nullable=False, primary_key=True),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("code", sa.String, nullable=True),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("cost_micros", sa.BigInteger, nullable=False),
        sa.Column("ended_unix_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("generation_log_by_job", "generation_log", ["job_id"])
    op.create_table(
        "cached_answer",
        sa.Column("key", sa.String, nullable=False, primary_key=True),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("until_unix_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("cached_answer_by_end", "cached_answer", ["until_unix_ms"])
