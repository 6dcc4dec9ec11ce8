"""What 1,000 tokens of a model cost, by how many requests are served at a time."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.memory import cache_tokens, default_limits, does_not_fit_text
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.traces.errors import InputError

BATCHES = (1, 8, 32, 128, 512)
CONTEXT_TOKENS = 1024
"""Of each request, while its outputs are priced."""


@dataclass(frozen=True)
class Rate:
    """What tokens cost where so many requests decode at a time.

    Attributes:
        batch_size: Requests.
        output_j: Of 1,000 output tokens, at contexts of 1,024 [J].
        output_seconds: Between two tokens of a request [s].
    """

    batch_size: int
    output_j: float
    output_seconds: float


@dataclass(frozen=True)
class RateCard:
    """What a model's tokens cost on a deployment.

    Attributes:
        input_j: Of 1,000 input tokens, in full steps of prompts of 1,024 tokens [J].
        outputs: Of output tokens, by batch; those that the memory holds.
        cache_tokens: Tokens that the KV cache holds.
    """

    input_j: float
    outputs: tuple[Rate, ...]
    cache_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "input_j_per_1000_tokens": self.input_j,
            "output_j_per_1000_tokens": [asdict(rate) for rate in self.outputs],
            "kv_cache_tokens": self.cache_tokens,
        }


def rate_card(scaling: Scaling) -> RateCard:
    """The rate card of a deployment.

    Raises:
        InputError: The GPUs do not hold the model, or no prices are known.
    """
    prices, deployment = scaling.carried_prices().prices, scaling.deployment
    if deployment.engine != "vllm":
        raise InputError(
            f"{deployment.engine}: serves static batches, of which tokens have no rate of their "
            "own; leave --model out, or take vllm"
        )
    capacity = cache_tokens(deployment, CONTEXT_TOKENS)
    if not capacity:
        raise InputError(does_not_fit_text(deployment))
    most = min(default_limits(deployment).requests, capacity // CONTEXT_TOKENS)
    prompts = default_limits(deployment).tokens // CONTEXT_TOKENS
    fed = _steps(0, prompts)
    input_j, _ = _spent(prices, scaling, fed)
    rates = []
    for size in BATCHES:
        if size <= most:
            energy_j, seconds = _spent(prices, scaling, _steps(size, 0))
            rates.append(Rate(size, 1000 * energy_j / size, seconds))
    return RateCard(1000 * input_j / (prompts * CONTEXT_TOKENS), tuple(rates), capacity)


def _spent(prices: UnitPrices, scaling: Scaling, steps: Steps) -> tuple[float, float]:
    spent = prices.spent(steps, scaling.deployment)
    return prices.energy_of(spent, scaling.deployment.gpus), spent.seconds


def _steps(decoding: int, prompts: int) -> Steps:
    """One step in which so many requests decode, or so many prompts are fed."""
    ones = np.ones(1)
    return Steps(
        decoding=decoding * ones,
        prompt_tokens=prompts * CONTEXT_TOKENS * ones,
        context=decoding * CONTEXT_TOKENS * ones,
        pairs=prompts * CONTEXT_TOKENS**2 / 2 * ones,
        sampled=(decoding + prompts) * ones,
        is_launched=np.array([decoding + prompts * CONTEXT_TOKENS > 512]),
        requests=prompts,
    )
