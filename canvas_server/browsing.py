"""Opening the page in the browser of the person at this machine, where there is one to see it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser


def open_page(url: str) -> bool:
    """Open an address in a window, without waiting for it; tell whether there is a screen to show it on."""
    has_screen = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if has_screen:
        threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
    return has_screen
