"""The types behind the schemas: everything that goes over the wire, in the order in which the paths are described."""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from canvas_server.core.event import Event
from canvas_server.core.job_event import JobNamed, Payload, Queued
from canvas_server.core.operation import Continuation, Operation
from canvas_server.web.canvas_bodies import (
    CanvasInfo,
    CanvasList,
    CanvasState,
    ClosedBody,
    CreateAnywhereBody,
    CreateBody,
    HistoryBody,
    OutlineBody,
    PresenceBody,
    PreviewBody,
    SectionState,
    TitleBody,
)
from canvas_server.web.costs import EntriesBody, NewQuotaBody, UsageBody
from canvas_server.web.dialogues import SavedBody
from canvas_server.web.health import Alive, Readiness
from canvas_server.web.identity_bodies import (
    AccessBody,
    AccessState,
    CodeBody,
    LinkBody,
    MadeTokenBody,
    MeBody,
    NewTokenBody,
    NewUserBody,
    SessionBody,
    SignInBody,
    TicketBody,
    TicketRequestBody,
    TokenBody,
    TokenList,
    UserBody,
    UserChangeBody,
    UserList,
)
from canvas_server.web.job_bodies import ChunksBody, JobBody, JobsBody, JobView, ModelsBody, StartedBody, StoppedBody
from canvas_server.web.ops import Accepted, OpsBody, Preview
from canvas_server.web.presets import CheckedPreset, PresetBody, PresetList
from canvas_server.web.problems import Problem
from canvas_server.web.status import Status

EVENTS: Final[tuple[type[msgspec.Struct], ...]] = get_args(Event)
"""What the stream of a canvas tells."""

JOB_EVENTS: Final[tuple[type[msgspec.Struct], ...]] = (*get_args(Payload), JobNamed, Queued)
"""What the stream of a job tells, heartbeats aside: they are made where streams are."""

BODIES: Final[tuple[type[msgspec.Struct], ...]] = (
    OpsBody,
    Operation,
    Continuation,
    Accepted,
    Preview,
    CreateBody,
    CreateAnywhereBody,
    TitleBody,
    PresenceBody,
    CanvasInfo,
    CanvasState,
    SectionState,
    CanvasList,
    OutlineBody,
    PreviewBody,
    HistoryBody,
    ClosedBody,
    MeBody,
    CodeBody,
    LinkBody,
    SignInBody,
    SessionBody,
    TicketRequestBody,
    TicketBody,
    NewUserBody,
    UserChangeBody,
    UserBody,
    UserList,
    NewTokenBody,
    TokenBody,
    MadeTokenBody,
    TokenList,
    AccessBody,
    AccessState,
    JobBody,
    StartedBody,
    JobsBody,
    JobView,
    StoppedBody,
    ChunksBody,
    ModelsBody,
    UsageBody,
    EntriesBody,
    NewQuotaBody,
    PresetBody,
    CheckedPreset,
    PresetList,
    SavedBody,
    Alive,
    Readiness,
    Status,
    Problem,
)
