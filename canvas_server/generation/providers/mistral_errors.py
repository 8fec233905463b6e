"""The one place that knows what the mistralai SDK raises, and what it lets through from below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from canvas_server.generation.providers.failures import (
    ProviderError,
    ProviderTimeoutError,
    StreamLostError,
    UnavailableError,
)
from canvas_server.generation.providers.statuses import misread, of_code, of_status, unavailable

if TYPE_CHECKING:
    from mistralai.client.models import CompletionEvent

_PROVIDER: Final = "mistral"


class _Error(msgspec.Struct):
    code: str | int | None = None


class _Data(msgspec.Struct):
    error: _Error


class _Event(msgspec.Struct):
    """An event that is an error."""

    data: _Data


@contextmanager
def translating(model: str, *, streaming: bool = False) -> Iterator[None]:
    """Raise what the SDK raises as errors of `failures`, without what they say.

    Args:
        model: that is asked.
        streaming: the answer has begun, so a connection that fails is a stream that is lost.
    """
    import httpx2  # noqa: PLC0415 - needed only where the SDK is used
    from mistralai.client.errors import MistralError, NoResponseError  # noqa: PLC0415 - as above

    try:
        yield
    except httpx2.TimeoutException:
        raise ProviderTimeoutError(f"{_PROVIDER} did not answer in time", hint="Try again later.") from None
    except (httpx2.TransportError, httpx2.DecodingError, NoResponseError):
        if streaming:
            raise lost() from None
        raise UnavailableError(f"{_PROVIDER} cannot be reached", hint="Check its base URL.") from None
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


def read_event(model: str, text: str) -> CompletionEvent:
    """Return the part of an answer that an event tells; raises what it tells instead, where it is an error.

    Args:
        model: that is asked.
        text: the event as the SDK's stream hands it over: a JSON object whose `data` is what was sent.
    """
    from mistralai.client.models import CompletionEvent  # noqa: PLC0415 - as above
    from pydantic import ValidationError  # noqa: PLC0415 - as above

    try:
        return CompletionEvent.model_validate_json(text)
    except ValidationError:
        raise _error(model, text) from None


def _error(model: str, text: str) -> ProviderError:
    try:
        code = msgspec.json.decode(text, type=_Event).data.error.code
    except ValueError:
        return lost()
    return of_code(_PROVIDER, model, None if code is None else str(code))
