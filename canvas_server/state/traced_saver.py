"""The span of a checkpoint: what it took to make operations durable, and how many they were."""

from __future__ import annotations

from canvas_server.core.ports import CheckpointRequest, CheckpointStore
from canvas_server.core.tracer import Tracer


class TracedSaver:
    """Saves as `store` does, each time within a span.

    Args:
        store: where checkpoints go.
        tracer: begins the spans.
    """

    def __init__(self, store: CheckpointStore, tracer: Tracer) -> None:
        self._store = store
        self._tracer = tracer

    async def save(self, request: CheckpointRequest) -> None:
        """Save; raises what the store raises."""
        facts = {"canvas_key": request.key, "seq": request.version.seq, "ops": len(request.ops)}
        with self._tracer.span("checkpoint", {**facts, "whole_text": request.text is not None}):
            await self._store.save(request)
