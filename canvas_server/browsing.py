"""Opening the page in the browser of the person at this machine, where there is one to see it.

Rule: a command line can be read by every user of the machine, and an address that signs in is a secret. So the browser
is given the name of a file that only its owner may read, and the file leads on to the address.
"""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from canvas_server.private_file import write_private

PAGE_NAME: Final = "open.html"
STARTED_S: Final = 5.0
"""After which a browser surely was started; some commands end only with its window."""
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>canvas-server</title>
<p><a href="{url}">Open the page</a></p>
</html>
"""


def open_page(url: str, folder: Path, wait_s: float = 0.0) -> bool:
    """Open an address in a window; tell whether there is a screen to show it on.

    Args:
        url: of the page, with a code that signs in.
        folder: its owner's alone; the file that leads to the address stays in it.
        wait_s: how long to wait for the browser; a program that ends at once would end before it is started.
    """
    has_screen = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if not has_screen:
        return False
    page = folder.absolute() / PAGE_NAME
    try:
        write_private(page, _PAGE.format(url=escape(url)).encode())
    except OSError:
        return False
    starting = threading.Thread(target=webbrowser.open, args=(page.as_uri(),), name="browser", daemon=True)
    starting.start()
    starting.join(wait_s)
    return True


@contextmanager
def opener(folder: Path | None) -> Iterator[Callable[[str], bool]]:
    """Give what opens an address by way of a file in a folder, and remove the file at the end.

    Without a folder there is one for as long as the block runs.
    """
    if folder is None:
        with TemporaryDirectory(prefix="canvas-open-", ignore_cleanup_errors=True) as own:
            yield lambda url: open_page(url, Path(own))
        return
    shown: list[str] = []

    def show(url: str) -> bool:
        shown.append(url)
        return open_page(url, folder)

    try:
        yield show
    finally:
        # Who showed nothing may be a second server on the folder, and the file that of the first.
        if shown:
            with suppress(OSError):
                (folder / PAGE_NAME).unlink()
