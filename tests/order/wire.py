"""The connection of one client for its requests; some of them it loses on purpose, or their answer."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random

from tests.listener import PATIENCE_S
from tests.order.address import read_address
from tests.order.follower import Json


class Wire:
    """Sends requests to the server that was announced last.

    Args:
        address_file: says where it is.
        random: decides what is lost.
        losses: the share of requests that are cut, or whose answer is never read.

    Attributes:
        life: of the server that the last request went to.
    """

    def __init__(self, address_file: Path, random: Random, losses: float) -> None:
        self._address_file = address_file
        self._random = random
        self._losses = losses
        self._connection: HTTPConnection | None = None
        self.life = -1

    @property
    def is_served(self) -> bool:
        """Whether a server was announced that may live."""
        return read_address(self._address_file).port > 0

    @property
    def is_same_life(self) -> bool:
        """Whether the server that the last request went to was the last to be announced."""
        return read_address(self._address_file).life == self.life

    def ask(self, method: str, path: str, body: bytes | None = None) -> Json | None:
        """Return the answer to a request, or None if there was none."""
        try:
            connection = self._connected()
            connection.request(method, f"/api/v2{path}", body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                answer: Json = json.loads(response.read())
                assert response.status in (200, 202), answer
                return answer
        except (OSError, HTTPException):
            self._hang_up()
            return None

    def post(self, path: str, body: bytes) -> bool:
        """Send operations; return whether they were accepted for sure."""
        if self._random.random() >= self._losses:
            return self.ask("POST", path, body) is not None
        is_whole = self._random.random() < 0.5
        try:
            connection = self._connected()
            connection.putrequest("POST", f"/api/v2{path}")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body if is_whole else body[: self._random.randrange(len(body))])
            time.sleep(self._random.choice([0.0, 0.001, 0.01]) if is_whole else 0.0)
        except (OSError, HTTPException):
            pass
        self._hang_up()
        return False

    def _connected(self) -> HTTPConnection:
        if self._connection is None:
            self.life, port = read_address(self._address_file)
            self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
