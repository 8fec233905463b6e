"""The page, its files and the page of the API description: read once, served from memory under a strict policy.

Beside it the JavaScript client, that the page and programs of others import: a library, for whatever origin.
"""

from __future__ import annotations

import mimetypes
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

from canvas_server.core.errors import NotFoundError
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import Headers

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' {style}; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types preview"
)
"""Of every page. `style` allows one style block, that of the frame of the preview, which inherits this policy."""

_FRAME_POLICY: Final = "default-src 'none'; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'"
"""Of that frame, beside the one that it inherits: what is in neither is refused."""

_FRAME_START: Final = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<style>{css}</style>
<body class="rendered">
"""


class _File(NamedTuple):
    content: bytes
    content_type: bytes
    etag: bytes


class Page:
    """The handlers that serve the page."""

    def __init__(self) -> None:
        self._files = _files_in("page")
        self._client = _files_in("client")
        css = self._files["preview.css"].content.decode()
        style = f"'sha256-{b64encode(sha256(css.encode()).digest()).decode()}'"
        self._policy = _POLICY.format(style=style).encode()
        frame = _FRAME_START.format(policy=_FRAME_POLICY.format(style=style), css=css).encode()
        self._files["preview.html"] = _File(frame, _type_of("preview.html"), _etag_of(frame))

    async def index(self, exchange: Exchange) -> None:
        """Serve `GET /`."""
        await self._answer(exchange, "index.html")

    async def docs(self, exchange: Exchange) -> None:
        """Serve `GET /docs`."""
        await self._answer(exchange, "docs.html")

    async def admin(self, exchange: Exchange) -> None:
        """Serve `GET /admin`."""
        await self._answer(exchange, "admin.html")

    async def file(self, exchange: Exchange) -> None:
        """Serve `GET /page/{name}`."""
        await self._answer(exchange, exchange.scope["path_params"]["name"])

    async def client(self, exchange: Exchange) -> None:
        """Serve `GET /client/{name}`."""
        file = self._client.get(exchange.scope["path_params"]["name"])
        if file is None:
            raise NotFoundError("there is no such file", hint="Import /client/index.js.")
        await _answer(exchange, file, [(b"access-control-allow-origin", b"*")])

    async def favicon(self, exchange: Exchange) -> None:
        """Serve `GET /favicon.ico`."""
        await self._answer(exchange, "favicon.svg")

    async def _answer(self, exchange: Exchange, name: str) -> None:
        file = self._files.get(name)
        if file is None:
            raise NotFoundError("there is no such file", hint="Open / for the page.")
        await _answer(exchange, file, [(b"content-security-policy", self._policy)])


async def _answer(exchange: Exchange, file: _File, fields: Headers) -> None:
    headers = [*fields, (b"cache-control", b"no-cache"), (b"etag", file.etag)]
    if exchange.headers.get(b"if-none-match") == file.etag:
        await exchange.answer(304, headers=headers)
    else:
        await exchange.answer(200, file.content, file.content_type, headers)


def _files_in(folder: str) -> dict[str, _File]:
    return {
        item.name: _File(item.read_bytes(), _type_of(item.name), _etag_of(item.read_bytes()))
        for item in (files("canvas_server.web") / folder).iterdir()
        if item.is_file()
    }


def _type_of(name: str) -> bytes:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind in ("text/javascript", "application/javascript"):
        kind = "text/javascript"
    return f"{kind}; charset=utf-8".encode() if kind.startswith("text/") else kind.encode()


def _etag_of(content: bytes) -> bytes:
    return b'"' + sha256(content).hexdigest()[:16].encode() + b'"'
