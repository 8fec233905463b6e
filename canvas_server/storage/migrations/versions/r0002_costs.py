"""What models cost: accounts by month, quotas, a line of the bill for each call, and refusals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _create_accounts()
    _create_bill()


def _create_accounts() -> None:
    op.create_table(
        "cost_usage",
        sa.Column("user", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("amount_micros", sa.BigInteger, nullable=False),
        sa.Column("reserved_micros", sa.BigInteger, nullable=False),
        sa.Column("quota_micros", sa.BigInteger, nullable=False),
        sa.Column("updated_unix_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user", "month", "provider"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cost_quota",
        sa.Column("user", sa.String, nullable=False),
        sa.Column("from_month", sa.String, nullable=False),
        sa.Column("quota_micros", sa.BigInteger, nullable=False),
        sa.Column("updated_unix_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user", "from_month"),
        sqlite_with_rowid=False,
    )


def _create_bill() -> None:
    op.create_table(
        "cost_entry",
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("call", sa.Integer, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("valid_from", sa.String, nullable=False),
        sa.Column("input_micros", sa.BigInteger, nullable=False),
        sa.Column("cached_micros", sa.BigInteger, nullable=False),
        sa.Column("output_micros", sa.BigInteger, nullable=False),
        sa.Column("reserved_micros", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("cost_micros", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
        sa.Column("settled_unix_ms", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "call"),
    )
    op.create_index("cost_entry_by_user", "cost_entry", ["user", "month", "created_unix_ms"])
    op.create_index("cost_entry_open", "cost_entry", ["state"], sqlite_where=sa.text("state = 'reserved'"))
    op.create_table(
        "cost_refusal",
        sa.Column("id", sa.Integer, nullable=False, primary_key=True),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("estimate_micros", sa.BigInteger, nullable=False),
        sa.Column("spent_micros", sa.BigInteger, nullable=False),
        sa.Column("reserved_micros", sa.BigInteger, nullable=False),
        sa.Column("quota_micros", sa.BigInteger, nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
    )
