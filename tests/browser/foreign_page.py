"""A page of another origin, as somebody makes it who shows a canvas in an editor of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

_HTML: Final = (
    '<!doctype html><html lang="en"><title>Mine</title><script type="importmap">%s</script><body></body></html>'
)
_ENTRY_KINDS: Final = ("browser", "import", "module", "default")


class ForeignPage:
    """Serves the page and its modules.

    Attributes:
        url: its origin.
        imports: where the page finds what it imports, by the name it uses.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.imports: dict[str, str] = {}
        self._modules: dict[str, bytes] = {}

    def add(self, name: str, source: str) -> None:
        """Offer a module under `/<name>`."""
        self._modules[f"/{name}"] = source.encode()

    def add_packages(self, package: Path) -> None:
        """Offer a package of npm, and all that was installed with it."""
        modules = package.parent.parent if package.parent.name.startswith("@") else package.parent
        for manifest in sorted([*modules.glob("*/package.json"), *modules.glob("@*/*/package.json")]):
            told = json.loads(manifest.read_text())
            path = f"/npm/{told['name']}.js"
            self.imports[told["name"]] = path
            self._modules[path] = (manifest.parent / _entry(told)).read_bytes()

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Return type and content of what is there."""
        if path == "/":
            return "text/html", (_HTML % json.dumps({"imports": self.imports})).encode()
        found = self._modules.get(path)
        return None if found is None else ("text/javascript", found)


def _entry(told: Mapping[str, object]) -> str:
    """Return the ES module that a manifest names."""
    entry: object = told.get("exports") or told.get("module") or told.get("main") or "index.js"
    if isinstance(entry, dict):
        entry = entry.get(".", entry)
    while isinstance(entry, dict):
        entry = next(entry[kind] for kind in _ENTRY_KINDS if kind in entry)
    return str(entry)


@contextmanager
def foreign_page() -> Iterator[ForeignPage]:
    """Serve a page that has nothing yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = page.answer(self.path.partition("?")[0])
            self.send_response(404 if found is None else 200)
            kind, content = found or ("text/plain", b"")
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        page = ForeignPage(server.server_port)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield page
        server.shutdown()
        thread.join()
