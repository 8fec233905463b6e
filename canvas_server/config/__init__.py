"""The settings of a server and the one loader that finds them.

Rule: only `app`, `cli` and `doctor` know this package; every other room is given plain values. Nothing here reads
the environment by itself: the caller hands it in.
"""

from canvas_server.config.load import Loaded, flatten, load
from canvas_server.config.secret import Secret
from canvas_server.config.settings import (
    ActorSettings,
    CheckpointSettings,
    LimitSettings,
    LogSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    StreamSettings,
)

__all__ = [
    "ActorSettings",
    "CheckpointSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "StreamSettings",
    "flatten",
    "load",
]
