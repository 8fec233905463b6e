"""The token that the load shows, as every client of a server with default settings must."""

from __future__ import annotations

from typing import Final

TOKEN: Final = "bench-0123456789-abcdefghij-0123456789"
"""An admin's; the servers that are measured have it as `server.token`."""

HEADERS: Final = {"Authorization": f"Bearer {TOKEN}"}
LINE: Final = b"Authorization: Bearer %s\r\n" % TOKEN.encode()
