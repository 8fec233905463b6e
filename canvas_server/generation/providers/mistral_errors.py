"""The one place that knows what the mistralai SDK raises, and what it lets through from below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from canvas_server.generation.providers.failures import (
    ProviderError,
    ProviderTimeoutError,
    StreamLostError,
    UnavailableError,
)
from canvas_server.generation.providers.statuses import misread, of_code, of_status, unavailable

_PROVIDER: Final = "mistral"


class _Error(msgspec.Struct):
    code: str | int | None = None


class _Data(msgspec.Struct):
    error: _Error


class _Event(msgspec.Struct):
    """An event that is an error: the SDK hands its text over unread."""

    data: _Data


@contextmanager
def translating(model: str, *, streaming: bool = False) -> Iterator[None]:
    """Raise what the SDK raises as errors of `failures`, without what they say.

    Args:
        model: that is asked.
        streaming: the answer has begun, so a connection that fails is a stream that is lost.
    """
    import httpx2  # noqa: PLC0415 - needed only where the SDK is used
    from mistralai.client.errors import MistralError, NoResponseError, ResponseValidationError  # noqa: PLC0415 - as above

    try:
        yield
    except httpx2.TimeoutException:
        raise ProviderTimeoutError(f"{_PROVIDER} did not answer in time", hint="Try again later.") from None
    except (httpx2.TransportError, httpx2.DecodingError, NoResponseError):
        if streaming:
            raise lost() from None
        raise UnavailableError(f"{_PROVIDER} cannot be reached", hint="Check its base URL.") from None
    except ResponseValidationError as error:
        raise _misread(model, error.body) from None
    except MistralError as error:
        raise of_status(_PROVIDER, model, error.status_code, None, error.headers) from None
    except UnicodeDecodeError:
        raise lost() from None
    except ProviderError:
        raise
    except Exception as error:  # noqa: BLE001 - what the SDK trips over in an odd answer can be anything
        misread(_PROVIDER, error)
        raise (lost() if streaming else unavailable(_PROVIDER)) from None


def lost() -> StreamLostError:
    """Return the error for an answer that broke off."""
    return StreamLostError(f"the answer of {_PROVIDER} broke off", hint="Try again; what came so far is kept.")


def _misread(model: str, body: str) -> ProviderError:
    try:
        code = msgspec.json.decode(body, type=_Event).data.error.code
    except ValueError:
        return lost()
    return of_code(_PROVIDER, model, None if code is None else str(code))
