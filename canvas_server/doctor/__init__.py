"""`canvas-server doctor`: what would keep a server from running here, or from running well, and how to mend it."""

from canvas_server.doctor.finding import Finding
from canvas_server.doctor.live import examine_live
from canvas_server.doctor.place import DATABASE_NAME, LOCK_NAME, TOKEN_VARIABLE, examine

__all__ = ["DATABASE_NAME", "LOCK_NAME", "TOKEN_VARIABLE", "Finding", "examine", "examine_live"]
