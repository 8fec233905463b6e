"""What the state floor is told when it is built; plain values, whoever read them from wherever."""

from __future__ import annotations

from typing import Literal

import msgspec

from canvas_server.core.limits import Limits
from canvas_server.state.checkpointer import CheckpointPolicy


class StateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How living canvases are kept (PROTOCOL sections 5 and 8)."""

    limits: Limits = Limits()
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    durability: Literal["checkpoint", "journal"] = "checkpoint"
    """`journal`: an operation is told only after it is on disk."""
    log_events_min: int = 1024
    log_bytes_min: int = 1024 * 1024
    heartbeat_s: float = 15.0
    flush_interval_s: float = 0.016
    """The longest that a busy server waits to join events into one write."""
    close_quiet_s: float = 5.0
    """A canvas is closed when its last listener has left and nothing came for this long."""
    idle_unload_s: float = 1800.0
    listeners_max: int = 1024
    open_canvases_max: int = 1000
    open_text_bytes_max: int = 512 * 1024 * 1024
