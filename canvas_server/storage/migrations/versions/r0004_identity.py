"""Users, tokens, and the rights to canvases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("canvas", sa.Column("access", sa.String, nullable=True))
    op.create_table(
        "user",
        sa.Column("name", sa.String, nullable=False, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "token",
        sa.Column("id", sa.String, nullable=False, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("rights", sa.String, nullable=False),
        sa.Column("canvases", sa.String, nullable=True),
        sa.Column("ops_per_s", sa.Integer, nullable=True),
        sa.Column("parent", sa.String, nullable=True),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_unix_ms", sa.BigInteger, nullable=True),
        sa.Column("used_unix_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("token_by_user", "token", ["user"])
    op.create_table(
        "identity_count",
        sa.Column("id", sa.Integer, nullable=False, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.execute("INSERT INTO identity_count (id, count) VALUES (1, 0)")
