"""The one place that knows what the openai SDK raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from canvas_server.generation.providers.failures import (
    ProviderError,
    ProviderTimeoutError,
    StreamLostError,
    UnavailableError,
)
from canvas_server.generation.providers.statuses import misread, of_code, of_status, unavailable


@contextmanager
def translating(provider: str, model: str, *, streaming: bool = False) -> Iterator[None]:
    """Raise what the SDK raises as errors of `failures`, without what they say.

    Args:
        provider: who is asked.
        model: for what.
        streaming: the answer has begun, so a connection that fails is a stream that is lost.
    """
    import openai  # noqa: PLC0415 - takes most of a second, and is needed only where it is used

    try:
        yield
    except openai.APITimeoutError:
        raise ProviderTimeoutError(f"{provider} did not answer in time", hint="Try again later.") from None
    except openai.APIConnectionError:
        if streaming:
            raise lost(provider) from None
        raise UnavailableError(f"{provider} cannot be reached", hint="Check that it runs, and its base URL.") from None
    except openai.APIStatusError as error:
        raise of_status(provider, model, error.status_code, _word(error.code), error.response.headers) from None
    except (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError):
        raise lost(provider) from None
    except openai.APIError as error:
        raise of_code(provider, model, _word(error.code)) from None
    except ProviderError:
        raise
    except Exception as error:  # noqa: BLE001 - what the SDK trips over in an odd answer can be anything
        misread(provider, error)
        raise (lost(provider) if streaming else unavailable(provider)) from None


def _word(code: object) -> str | None:
    # Some servers send a number, or anything else.
    return code if isinstance(code, str) else None


def lost(provider: str) -> StreamLostError:
    """Return the error for an answer that broke off."""
    return StreamLostError(f"the answer of {provider} broke off", hint="Try again; what came so far is kept.")
