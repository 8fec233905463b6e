"""The schema: what is kept, table by table.

Rule: this describes, and the migrations create; a test holds the two together. Every time is in ms since 1970, and
every JSON is UTF-8 bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, text
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
    access: str | None = None
    """JSON of `core.access.Access`; NULL for a canvas that nobody owns."""


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


class CostUsageRow(SQLModel, table=True):
    """What a user has spent with a provider in a month; provider `*` sums the others and is the one that is bounded."""

    __tablename__ = "cost_usage"
    __table_args__ = ({"sqlite_with_rowid": False},)

    user: str = Field(primary_key=True)
    month: str = Field(primary_key=True)
    """`YYYY-MM`."""
    provider: str = Field(primary_key=True)
    amount_micros: int = Field(sa_type=BigInteger)
    reserved_micros: int = Field(sa_type=BigInteger)
    quota_micros: int = Field(sa_type=BigInteger)
    """As it was when the row last changed."""
    updated_unix_ms: int = Field(sa_type=BigInteger)


class CostQuotaRow(SQLModel, table=True):
    """What a user may spend, from a month on until a later row says otherwise; set by an admin."""

    __tablename__ = "cost_quota"
    __table_args__ = ({"sqlite_with_rowid": False},)

    user: str = Field(primary_key=True)
    from_month: str = Field(primary_key=True)
    quota_micros: int = Field(sa_type=BigInteger)
    updated_unix_ms: int = Field(sa_type=BigInteger)


class CostEntryRow(SQLModel, table=True):
    """A line of the bill: one call, from its reservation on."""

    __tablename__ = "cost_entry"
    __table_args__ = (
        Index("cost_entry_by_user", "user", "month", "created_unix_ms"),
        Index("cost_entry_open", "state", sqlite_where=text("state = 'reserved'")),
    )

    job_id: str = Field(primary_key=True)
    call: int = Field(primary_key=True)
    user: str
    month: str
    """In which it was reserved, and so is paid."""
    provider: str
    model: str
    valid_from: str
    """Names the price, which follows in full: the file of prices may change."""
    input_micros: int = Field(sa_type=BigInteger)
    cached_micros: int = Field(sa_type=BigInteger)
    output_micros: int = Field(sa_type=BigInteger)
    reserved_micros: int = Field(sa_type=BigInteger)
    input_tokens: int = Field(sa_type=BigInteger)
    cached_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    estimated: bool
    cost_micros: int = Field(sa_type=BigInteger)
    state: str
    """reserved, settled or released."""
    created_unix_ms: int = Field(sa_type=BigInteger)
    settled_unix_ms: int | None = Field(default=None, sa_type=BigInteger)


class CostRefusalRow(SQLModel, table=True):
    """A call that the quota did not allow, with how things stood."""

    __tablename__ = "cost_refusal"

    id: int = Field(primary_key=True)
    job_id: str
    user: str
    month: str
    provider: str
    model: str
    estimate_micros: int = Field(sa_type=BigInteger)
    spent_micros: int = Field(sa_type=BigInteger)
    reserved_micros: int = Field(sa_type=BigInteger)
    quota_micros: int = Field(sa_type=BigInteger)
    created_unix_ms: int = Field(sa_type=BigInteger)


class JobRow(SQLModel, table=True):
    """A job: what is searched for in columns, all of it in `body`."""

    __tablename__ = "job"
    __table_args__ = (
        Index("job_by_key", "user", "idempotency_key", unique=True),
        Index("job_by_user", "user", "created_unix_ms"),
        Index("job_by_end", "ended_unix_ms"),
    )

    id: str = Field(primary_key=True)
    user: str
    idempotency_key: str | None = None
    state: str
    call: int
    body: bytes = Field(sa_type=LargeBinary)
    """JSON of `core.job.Job`."""
    created_unix_ms: int = Field(sa_type=BigInteger)
    ended_unix_ms: int | None = Field(default=None, sa_type=BigInteger)


class JobEventRow(SQLModel, table=True):
    """One event of a job's stream."""

    __tablename__ = "job_event"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_id: str = Field(foreign_key="job.id", ondelete="CASCADE", primary_key=True)
    seq: int = Field(primary_key=True)
    attempt: int
    kind: str
    data: bytes = Field(sa_type=LargeBinary)
    cursor: int | None = None


class GenerationLogRow(SQLModel, table=True):
    """How one generation went; stays when its job is forgotten."""

    __tablename__ = "generation_log"
    __table_args__ = (Index("generation_log_by_job", "job_id"),)

    id: int = Field(primary_key=True)
    job_id: str
    user: str
    provider: str
    model: str
    state: str
    step: str
    code: str | None = None
    duration_ms: int = Field(sa_type=BigInteger)
    input_tokens: int
    output_tokens: int
    cost_micros: int = Field(sa_type=BigInteger)
    ended_unix_ms: int = Field(sa_type=BigInteger)


class CachedAnswerRow(SQLModel, table=True):
    """A whole answer that may be told again until its time is over."""

    __tablename__ = "cached_answer"
    __table_args__ = (Index("cached_answer_by_end", "until_unix_ms"),)

    key: str = Field(primary_key=True)
    answer: bytes = Field(sa_type=LargeBinary)
    until_unix_ms: int = Field(sa_type=BigInteger)


class UserRow(SQLModel, table=True):
    """Somebody who may come in."""

    __tablename__ = "user"
    __table_args__ = ({"sqlite_with_rowid": False},)

    name: str = Field(primary_key=True)
    role: str
    active: bool
    created_unix_ms: int = Field(sa_type=BigInteger)


class TokenRow(SQLModel, table=True):
    """A token, as its digest."""

    __tablename__ = "token"
    __table_args__ = (Index("token_by_user", "user"), {"sqlite_with_rowid": False})

    id: str = Field(primary_key=True)
    digest: str = Field(unique=True)
    user: str
    """Also one whom the settings name, and who is in no table."""
    purpose: str
    label: str
    rights: str
    """JSON: a list of rights."""
    canvases: str | None = None
    """JSON: a list of refs; NULL for all."""
    ops_per_s: int | None = None
    parent: str | None = None
    """The token that it ends with."""
    created_unix_ms: int = Field(sa_type=BigInteger)
    expires_unix_ms: int | None = Field(default=None, sa_type=BigInteger)
    used_unix_ms: int | None = Field(default=None, sa_type=BigInteger)


class IdentityCountRow(SQLModel, table=True):
    """One row: how often users and tokens were changed, so that a server notices what another program changed."""

    __tablename__ = "identity_count"

    id: int = Field(primary_key=True)
    count: int
