"""The API description at `/openapi.json` (OpenAPI 3.1), made from the very types that read and write the JSON."""

from __future__ import annotations


def openapi_document() -> dict[str, object]:
    """Return the description."""
    return {"openapi": "3.1.0"}
