"""The page, its files and the page of the API description: read once, served from memory under a strict policy.

Beside it the JavaScript client, that the page and programs of others import: a library, for whatever origin.
"""

from __future__ import annotations

import gzip
import logging
import mimetypes
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec

from canvas_server.core.errors import NotFoundError
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import Headers

log = logging.getLogger(__name__)

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' {style}; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types preview"
)
"""Of every page. `style` allows one style block, that of the frame of the preview, which inherits this policy."""

_EDITOR: Final = "codemirror.js"
"""Made by scripts/editor_bundle.py, which cannot make it everywhere."""

_LICENCES: Final = "codemirror.licences.txt"

_MADE_OF: Final = "scripts.json"
"""What scripts/editor_bundle.py made of the page's own scripts, and of which."""

_PRELOADED: Final = re.compile(rb' *<link rel="modulepreload" href="/(?:page|client)/([\w.]+)">\n')
_STYLED: Final = re.compile(rb' *<link rel="stylesheet" href="/page/([\w.]+)">\n')
_ALL_STYLES: Final = "all.css"
_ZIPPED_BYTES_MIN: Final = 1_000

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


class _MadeOf(msgspec.Struct, frozen=True):
    parts: tuple[str, ...]
    """Names of the files to use in place of the scripts."""
    made_of: dict[str, str]
    """SHA-256 of each script, by its path."""


class _File:
    """A file that never changes, and what it takes to answer with it."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content = content
        self.content_type = _type_of(name)
        self.hash = sha256(content).hexdigest()
        self.etag = f'"{self.hash[:16]}"'.encode()
        self.zipped_etag = f'"{self.hash[:16]}-gzip"'.encode()

    @cached_property
    def zipped(self) -> bytes:
        """The content for whoever takes gzip; it holds nothing secret, so its length may tell what it will."""
        return gzip.compress(self.content, mtime=0)


class Page:
    """The handlers that serve the page.

    Args:
        web: the folder that holds those of the page and of the client; this package's if None.
    """

    def __init__(self, web: Traversable | None = None) -> None:
        web = files("canvas_server.web") if web is None else web
        built = _files_in(web / "page" / "_built")
        self._files = {**_files_in(web / "page"), **{name: built[name] for name in built.keys() & {_EDITOR, _LICENCES}}}
        self._client = _files_in(web / "client")
        if _EDITOR not in self._files:
            log.warning("the editor of the page is not built: the page falls back to a plain text box")
        css = self._files["preview.css"].content.decode()
        style = f"'sha256-{b64encode(sha256(css.encode()).digest()).decode()}'"
        self._policy = _POLICY.format(style=style).encode()
        frame = _FRAME_START.format(policy=_FRAME_POLICY.format(style=style), css=css).encode()
        self._files["preview.html"] = _File("preview.html", frame)
        self._join(built)

    def _join(self, built: Mapping[str, _File]) -> None:
        """Have a browser ask for a handful of files and not for a hundred."""
        html = self._files["index.html"].content
        names = [found.decode() for found in _STYLED.findall(html)]
        self._files[_ALL_STYLES] = _File(_ALL_STYLES, b"\n".join(self._files[name].content for name in names))
        html = _STYLED.sub(b"", html).replace(
            b"</title>\n", b'</title>\n    <link rel="stylesheet" href="/page/%b">\n' % _ALL_STYLES.encode()
        )
        parts = self._parts(built)
        if parts:
            self._files.update(parts)
            kept = {_EDITOR, *parts}
            html = _PRELOADED.sub(lambda found: found[0] if found[1].decode() in kept else b"", html)
        self._files["index.html"] = _File("index.html", html)

    def _parts(self, built: Mapping[str, _File]) -> Mapping[str, _File]:
        """Return what was made of the very scripts that are here; nothing if one of them is another by now."""
        if _MADE_OF not in built or _EDITOR not in built:
            return {}
        told = msgspec.json.decode(built[_MADE_OF].content, type=_MadeOf)
        scripts = {"page": self._files, "client": self._client}
        here = {
            f"{folder}/{name}": file.hash
            for folder, held in scripts.items()
            for name, file in held.items()
            if name.endswith(".js") and name != _EDITOR
        }
        return {name: built[name] for name in told.parts} if here == told.made_of else {}

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
    is_zipped = len(file.content) >= _ZIPPED_BYTES_MIN and b"gzip" in exchange.headers.get(b"accept-encoding", b"")
    etag = file.zipped_etag if is_zipped else file.etag
    headers = [*fields, (b"cache-control", b"no-cache"), (b"etag", etag), (b"vary", b"Accept-Encoding")]
    if exchange.headers.get(b"if-none-match") == etag:
        await exchange.answer(304, headers=headers)
    elif is_zipped:
        headers.append((b"content-encoding", b"gzip"))
        await exchange.answer(200, file.zipped, file.content_type, headers)
    else:
        await exchange.answer(200, file.content, file.content_type, headers)


def _files_in(folder: Traversable) -> dict[str, _File]:
    """Return what a folder holds by name; nothing where there is no such folder."""
    items = [item for item in folder.iterdir() if item.is_file()] if folder.is_dir() else []
    return {item.name: _File(item.name, item.read_bytes()) for item in items}


def _type_of(name: str) -> bytes:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind in ("text/javascript", "application/javascript"):
        kind = "text/javascript"
    return f"{kind}; charset=utf-8".encode() if kind.startswith("text/") else kind.encode()
