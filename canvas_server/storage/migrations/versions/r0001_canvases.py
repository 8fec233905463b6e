"""Canvases with their texts and operations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "canvas",
        sa.Column("id", sa.Integer, nullable=False, primary_key=True),
        sa.Column("ref", sa.String, nullable=False),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("etag", sa.String, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("created_unix_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_unix_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("ref"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "canvas_text",
        sa.Column("canvas_id", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("etag", sa.String, nullable=False),
        sa.Column("content", sa.String, nullable=False),
        sa.Column("sections_changed", sa.LargeBinary, nullable=False),
        sa.Column("crc32", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("canvas_id", "seq"),
        sa.ForeignKeyConstraint(["canvas_id"], ["canvas.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "canvas_op",
        sa.Column("canvas_id", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("op_id", sa.String, nullable=False),
        sa.Column("etag", sa.String, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("removed", sa.LargeBinary, nullable=False),
        sa.Column("crc32", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("canvas_id", "seq"),
        sa.ForeignKeyConstraint(["canvas_id"], ["canvas.id"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("canvas_op_by_op_id", "canvas_op", ["canvas_id", "op_id"], unique=True)
