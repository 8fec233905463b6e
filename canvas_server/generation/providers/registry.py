"""Who can be asked: the providers from plain values, and the models to choose from.

Each provider's SDK is imported when its first answer is asked for, never at start-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from canvas_server.generation.providers.connections import Patience
from canvas_server.generation.providers.demo import MODELS, DemoGenerator
from canvas_server.generation.providers.failures import NotConfiguredError
from canvas_server.generation.providers.generator import LLMFactory, Maker
from canvas_server.generation.providers.local import LocalGenerator
from canvas_server.generation.providers.mistral import MistralGenerator
from canvas_server.generation.providers.openai import OpenaiGenerator

_MASK: Final = "***"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is reached; its `repr` does not tell the key."""

    base_url: str
    model: str
    """Asked when a request names none."""
    api_key: str = ""
    """Empty: none is configured."""

    def __repr__(self) -> str:
        return f"Access(base_url={self.base_url!r}, model={self.model!r}, api_key={_MASK if self.api_key else ''!r})"


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the providers need to know."""

    openai: Access
    openai_background: bool
    """Whether its answers survive a crash of ours."""
    mistral: Access
    local: Access
    demo_delay_ms: int
    patience: Patience


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be chosen by name; others may be asked for all the same."""

    provider: str
    model: str
    label: str
    configured: bool
    """Whether the provider can be asked."""
    free: bool


def make_factory(settings: ProviderSettings, count: Callable[[str], int]) -> LLMFactory:
    """Return the factory of all providers.

    Args:
        settings: a provider without the key that it needs raises `NotConfiguredError` when it is asked for.
        count: counts the tokens of a text, for the provider that has no server to do it.
    """
    return LLMFactory(
        {
            "openai": _openai(settings),
            "mistral": _mistral(settings),
            "local": _local(settings),
            "demo": lambda model: DemoGenerator(model, delay_ms=settings.demo_delay_ms, count=count),
        }
    )


def known_models(settings: ProviderSettings) -> tuple[KnownModel, ...]:
    """Return the model that is configured for each provider, and the demonstration's."""
    paid = (("openai", "OpenAI", settings.openai), ("mistral", "Mistral", settings.mistral))
    return (
        *(
            KnownModel(
                provider=provider,
                model=access.model,
                label=f"{label} · {access.model}",
                configured=bool(access.api_key),
                free=False,
            )
            for provider, label, access in paid
        ),
        KnownModel(
            provider="local",
            model=settings.local.model,
            label=f"Local · {settings.local.model}",
            configured=True,
            free=True,
        ),
        *(
            KnownModel(provider="demo", model=model, label=f"Demo · {model}", configured=True, free=True)
            for model in MODELS
        ),
    )


def _openai(settings: ProviderSettings) -> Maker:
    def make(model: str) -> OpenaiGenerator:
        access = _configured("openai", settings.openai)
        return OpenaiGenerator(
            model,
            base_url=access.base_url,
            api_key=access.api_key,
            background=settings.openai_background,
            patience=settings.patience,
        )

    return make


def _mistral(settings: ProviderSettings) -> Maker:
    def make(model: str) -> MistralGenerator:
        access = _configured("mistral", settings.mistral)
        return MistralGenerator(model, base_url=access.base_url, api_key=access.api_key, patience=settings.patience)

    return make


def _local(settings: ProviderSettings) -> Maker:
    access = settings.local
    return lambda model: LocalGenerator(
        model, base_url=access.base_url, api_key=access.api_key, patience=settings.patience
    )


def _configured(provider: str, access: Access) -> Access:
    if not access.api_key:
        raise NotConfiguredError(
            f"{provider} has no key here",
            hint=f"Set {provider.upper()}_API_KEY and start the server again, or choose the provider demo.",
        )
    return access
