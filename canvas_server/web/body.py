"""Bodies: read within a bound, decoded once, and refused with the place where they are wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import msgspec
from starlette.types import Receive

from canvas_server.core.errors import CanvasError, InvalidFieldError, InvalidJsonError, TooLargeError
from canvas_server.web.problems import MediaTypeError

T = TypeVar("T")

_WHERE: Final = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_NAMED: Final = re.compile(r"(?:unknown|required) field `(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

JSON: Final = b"application/json"
NDJSON: Final = b"application/x-ndjson"


class ClientGoneError(Exception):
    """The client left before its request was whole; there is nobody to answer."""


def media_type(headers: dict[bytes, bytes]) -> bytes:
    """Return the type of a request's body, without parameters, in lower case.

    Raises:
        MediaTypeError: the body is encoded.
    """
    if b"content-encoding" in headers:
        raise MediaTypeError("encoded bodies are not read", hint="Send the body without Content-Encoding.")
    sent = headers.get(b"content-type", b"")
    return sent if sent == JSON else sent.partition(b";")[0].strip().lower()


def expect_json(headers: dict[bytes, bytes]) -> None:
    """Refuse a body that is not JSON.

    Raises:
        MediaTypeError: it is not.
    """
    if media_type(headers) != JSON:
        raise MediaTypeError("the body must be application/json", hint="Set Content-Type: application/json.")


async def read_body(receive: Receive, headers: dict[bytes, bytes], bytes_max: int) -> bytes:
    """Read a whole body.

    Raises:
        TooLargeError: it is larger than `bytes_max`; no more than that is held.
        ClientGoneError: the client left.
    """
    declared = headers.get(b"content-length")
    if declared is not None and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise ClientGoneError


async def read_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Iterate over a body as it arrives.

    Raises:
        ClientGoneError: the client left before its end.
    """
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def decode(decoder: Callable[[bytes], T], body: bytes) -> T:
    """Decode a body.

    Raises:
        InvalidJsonError: it is not JSON.
        InvalidFieldError: a field is wrong; the pointer says which.
    """
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise _field_error(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8, or nested too deep"
        raise InvalidJsonError(f"the body is not JSON: {reason}", hint="Send one JSON value in UTF-8.") from error


def _field_error(message: str) -> CanvasError:
    match = _WHERE.search(message)
    steps = [step[0] or step[1] for step in _STEP.findall(match[1])] if match else []
    told = message[: match.start()] if match else message
    if named := _NAMED.search(told):
        steps.append(named[1])
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return InvalidFieldError(told, pointer=pointer, hint="Look up the field in /openapi.json.")


def _too_large(bytes_max: int) -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {bytes_max} bytes", hint="Send less at once, or stream it as application/x-ndjson."
    )
