"""An author who sends one long request line by line, until the server ends it."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import Final

from tests.crash.clients import Worker
from tests.crash.lineage import Lineage
from tests.listener import PATIENCE_S
from tests.serving import Json, append
from tests.upload import Answer, Upload

LINE_S: Final = 0.02
"""Between two lines."""


class Streamer(Worker):
    """Streams into one canvas.

    Args:
        port: of the server.
        ref: of the canvas.
        lineage: of the canvas; what is sent is noted there before it is.
        name: the op id of its first line, which no other may use.

    Attributes:
        op_ids: of the lines that were sent.
    """

    def __init__(self, port: int, ref: str, lineage: Lineage, name: str) -> None:
        super().__init__(name)
        self._upload = Upload(port, f"/api/v2/canvas/{ref}/ops:stream?unit=codepoint")
        self._lineage = lineage
        self._answer: Answer | None = None
        self.op_ids: list[str] = []

    def work(self) -> None:
        with self._upload:
            version = self._lineage.head.version
            self._send(append("It streams", op_id=self.name, client_version=version.etag, scope="range"))
            until_s = time.monotonic() + PATIENCE_S
            # Lines that are sent after the answer would have the kernel throw it away.
            while not select.select([self._upload], [], [], LINE_S)[0]:
                assert time.monotonic() < until_s, "nobody ends the request"
                self._send({"op_id": f"{self.name}.{len(self.op_ids)}", "content": " on"})
            # Of a connection that was cut there is no answer, or half of one.
            with suppress(LookupError, ValueError):
                self._answer = self._upload.answer()

    def answer(self) -> Answer | None:
        """Wait for the end, and return the answer; None if the connection was cut."""
        self.finish()
        return self._answer

    def _send(self, operation: Json) -> None:
        """Send a line; one that continues another has its op id only in our notes."""
        op_id = operation["op_id"]
        self._lineage.sent[op_id] = operation
        self.op_ids.append(op_id)
        self._upload.line(operation if "action" in operation else {"content": operation["content"]})
