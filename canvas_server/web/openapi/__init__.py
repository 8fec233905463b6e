"""The API description at `/openapi.json` (OpenAPI 3.1), made from the very types that read and write the JSON.

`schemas` reads the types, `endpoints` says what each path does, `examples` are made by the rules themselves. What is
written here by hand is compared with the route table by a test.
"""

from __future__ import annotations

from canvas_server.web.openapi.document import openapi_document

__all__ = ["openapi_document"]
