"""What may go wrong between us and a provider: one map, whoever it is.

Rule: the text of an error never holds a key, a prompt or what the provider echoed of them.

    ProviderError
    ├── NotConfiguredError   no key, or no address
    ├── AddressError         its address leads where nobody is connected to, or elsewhere by a redirect
    ├── UnknownModelError    the provider does not have the model
    ├── CredentialsError     the provider refused the key
    ├── RateLimitError       come back later; `delay_s` if it said when
    ├── UnavailableError     it failed (5xx), or cannot be reached
    ├── ProviderTimeoutError it did not answer in time
    ├── StreamLostError      the answer broke off, or ended without saying that it had ended
    ├── RefusedError         it does not want to answer this
    ├── RejectedError        it cannot read the request (any other 4xx)
    ├── OutputTooLargeError  the answer is longer than we take
    └── OutputInvalidError   the answer does not fit the schema, also after one repair
"""

from __future__ import annotations

from typing import ClassVar

from canvas_server.core.errors import CanvasError


class ProviderError(CanvasError):
    """A provider did not answer as asked.

    Attributes:
        transient: whether the same call may succeed later.
        delay_s: how long the provider asks to wait, in seconds.
    """

    code = "PROVIDER_FAILED"
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", delay_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.delay_s = delay_s


class NotConfiguredError(ProviderError):
    """The provider has no key here."""

    code = "PROVIDER_NOT_CONFIGURED"


class AddressError(ProviderError):
    """The provider's address is not one of a provider, or sends on to another one."""

    code = "PROVIDER_ADDRESS"


class UnknownModelError(ProviderError):
    """There is no such provider or model."""

    code = "MODEL_UNKNOWN"


class CredentialsError(ProviderError):
    """The provider refused the key."""

    code = "PROVIDER_AUTH"


class RateLimitError(ProviderError):
    """The provider wants to be asked less often."""

    code = "PROVIDER_RATE_LIMITED"
    transient = True


class UnavailableError(ProviderError):
    """The provider failed, or cannot be reached."""

    code = "PROVIDER_FAILED"
    transient = True


class ProviderTimeoutError(ProviderError):
    """The provider did not answer, or did not go on, in time."""

    code = "PROVIDER_TIMEOUT"
    transient = True


class StreamLostError(ProviderError):
    """The answer broke off, or ended without a reason for its end."""

    code = "PROVIDER_STREAM_LOST"
    transient = True


class RefusedError(ProviderError):
    """The provider does not answer this for what it says."""

    code = "CONTENT_REFUSED"


class RejectedError(ProviderError):
    """The provider cannot read the request."""

    code = "PROVIDER_REJECTED"


class OutputTooLargeError(ProviderError):
    """The answer is longer than we take."""

    code = "OUTPUT_TOO_LARGE"


class OutputInvalidError(ProviderError):
    """The answer does not fit the schema, also after one repair."""

    code = "OUTPUT_INVALID"
