"""Where a provider is, as the settings say it; requests and answers never do."""

from __future__ import annotations

import msgspec

from canvas_server.generation.providers.failures import AddressError


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A provider and its address.

    Attributes:
        provider: its name in the settings.
        base_url: its scheme, host and port are the only ones that are connected to and that the key is sent to.
        proxied: whether it is reached by the proxy that the environment names, if it names one and this is `https`.
    """

    provider: str
    base_url: str
    proxied: bool

    def error(self, wrong: str) -> AddressError:
        """Return the error for an address that is not used.

        Args:
            wrong: goes on after "the address of openai"; without what a name leads to, which is nobody's business.
        """
        return AddressError(
            f"the address of {self.provider} {wrong}",
            hint=f"Set {self.provider}.base_url to the address where the provider itself answers.",
        )
