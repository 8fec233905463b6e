"""What is asked of a model: the request of a user, and what tells two of them apart."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from canvas_server.core.job import CanvasOutput, JobSpec

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a job, its fields checked one by one."""

    prompt: str = ""
    """May be empty where a preset says what to write."""
    provider: str | None = None
    model: str | None = None
    preset_id: str | None = None
    schema: dict[str, object] | None = None
    max_output_tokens: int | None = None
    canvas: CanvasOutput | None = None
    idempotency_key: str | None = None


def request_digest(request: JobRequest) -> str:
    """Return what differs when an idempotency key is used again for something else."""
    return sha256(_encode(msgspec.structs.replace(request, idempotency_key=None))).hexdigest()


def billed_text(prompt: str, schema: dict[str, object] | None) -> str:
    """Return what a provider bills as input: a schema is sent, and paid, with every prompt."""
    return prompt if schema is None else prompt + _encode(schema).decode()


def cache_key(user: str, spec: JobSpec) -> str:
    """Return what two requests share that the same answer serves: user, provider, model, prompt and parameters.

    The user is in it because an answer that comes at once and at no cost tells that somebody asked the same.
    """
    asked = (user, spec.provider, spec.model, spec.prompt, spec.schema, spec.max_output_tokens)
    return sha256(_encode(asked)).hexdigest()
