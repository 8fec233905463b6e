"""What can be chosen to write: `GET /api/v1/models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from canvas_server.core.usage import TOKENS_PER_PRICE
from canvas_server.generation.cost import CostControl, amount_of
from canvas_server.generation.pricing import PriceUnknownError
from canvas_server.generation.providers.registry import KnownModel
from canvas_server.web.exchange import Exchange
from canvas_server.web.job_bodies import DefaultModel, ModelBody, ModelPrices, ModelsBody

_encode: Final = msgspec.json.Encoder().encode


class Models:
    """The handler.

    Args:
        known: the models by name.
        default: who answers a request that names nobody.
        costs: know the prices.
    """

    def __init__(self, known: Sequence[KnownModel], default: DefaultModel, costs: CostControl) -> None:
        self._known = known
        self._default = default
        self._costs = costs

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/models`: those of the settings, then all others that have a price."""
        configured = {model.provider: model.configured for model in self._known}
        named = {(model.provider, model.model): model for model in self._known}
        for listed in self._costs.prices():
            price = listed.price
            named.setdefault(
                (price.provider, price.model),
                KnownModel(
                    provider=price.provider,
                    model=price.model,
                    label=listed.label,
                    configured=configured.get(price.provider, False),
                    free=price.free,
                ),
            )
        body = ModelsBody(self._default, [self._body(model) for model in named.values()])
        await exchange.answer(200, _encode(body))

    def _body(self, model: KnownModel) -> ModelBody:
        return ModelBody(
            provider=model.provider,
            model=model.model,
            label=model.label,
            configured=model.configured,
            free=model.free,
            prices=self._prices(model),
        )

    def _prices(self, model: KnownModel) -> ModelPrices | None:
        try:
            price = self._costs.price(model.provider, model.model)
        except PriceUnknownError:
            return None
        return ModelPrices(
            input=amount_of(price.input_micros),
            cached=amount_of(price.cached_micros),
            output=amount_of(price.output_micros),
            currency=self._costs.currency,
            per_tokens=TOKENS_PER_PRICE,
        )
