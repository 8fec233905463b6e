"""The schema: what is kept, table by table.

Rule: this describes, and the migrations create; a test holds the two together. Every time is in ms since 1970, and
every JSON is UTF-8 bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel


class CanvasRow(SQLModel, table=True):
    """A canvas: what is known of it without reading its text."""

    __tablename__ = "canvas"
    # AUTOINCREMENT, so that the id of a deleted canvas is never given to another one.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(primary_key=True)
    ref: str = Field(unique=True)
    title: str
    seq: int
    etag: str
    size_bytes: int
    created_unix_ms: int = Field(sa_type=BigInteger)
    updated_unix_ms: int = Field(sa_type=BigInteger)


class TextRow(SQLModel, table=True):
    """The whole text of a canvas at one version; the newest one is where loading starts."""

    __tablename__ = "canvas_text"

    canvas_id: int = Field(foreign_key="canvas.id", ondelete="CASCADE", primary_key=True)
    seq: int = Field(primary_key=True)
    etag: str
    content: str
    sections_changed: bytes = Field(sa_type=LargeBinary)
    """JSON: a list of ETags."""
    crc32: int = Field(sa_type=BigInteger)
    """Of everything else in the row: SQLite itself does not notice a flipped bit in a value."""


class OpRow(SQLModel, table=True):
    """An applied operation."""

    __tablename__ = "canvas_op"
    __table_args__ = (
        # Holds every name beside its seq, so that all the names of a canvas are read without touching the events.
        Index("canvas_op_by_op_id", "canvas_id", "op_id", unique=True),
        {"sqlite_with_rowid": False},
    )

    canvas_id: int = Field(foreign_key="canvas.id", ondelete="CASCADE", primary_key=True)
    seq: int = Field(primary_key=True)
    op_id: str
    etag: str
    event: bytes = Field(sa_type=LargeBinary)
    digest: str
    removed: bytes = Field(sa_type=LargeBinary)
    """JSON: a list of texts."""
    crc32: int = Field(sa_type=BigInteger)
    """Of everything else in the row."""
