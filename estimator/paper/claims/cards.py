"""The paper's three cards: what their data sheets say, and what is forecast for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecast.estimator.unit_prices.model import scaling_on
from joulecast.measurements.hardware import Gpu
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

PAPER_CARDS = "a100-pcie-80gb", "rtx-6000-ada", "rtx-a6000"
LENGTHS = 512, 64
BATCH_SIZES = 1, 64
_MODEL, _DTYPE = "llama-3.1-8b", "bfloat16"


@dataclass(frozen=True)
class CardForecast:
    """One card.

    Attributes:
        gpu: Its data sheet.
        dense_flops_per_s: Its peak [FLOP/s].
        request_j: Batch size -> forecast energy of a request of `LENGTHS` under vLLM, and the ends
            of its 95 % interval [J].
    """

    gpu: Gpu
    dense_flops_per_s: float
    request_j: dict[int, tuple[float, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "gpu": self.gpu.name,
            "product": self.gpu.product,
            "tdp_w": self.gpu.tdp_w,
            "memory_bytes": self.gpu.memory_bytes,
            "memory_bytes_per_s": self.gpu.memory_bytes_per_s,
            "dense_flops_per_s": self.dense_flops_per_s,
            "request_j": {
                str(size): dict(zip(("forecast", "low", "high"), values, strict=True))
                for size, values in self.request_j.items()
            },
        }


def forecast_cards(names: Sequence[str] = PAPER_CARDS) -> list[CardForecast]:
    """Forecast equal requests on some cards, from prices carried over by their data sheets.

    Raises:
        InputError: No such card.
    """
    forecasts = []
    for name in names:
        scaling = scaling_on(name, "vllm", _MODEL)
        request_j = {}
        for size in BATCH_SIZES:
            lengths = np.tile(np.array(LENGTHS, dtype=np.int64), (size, 1))
            workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
            estimate = scaling.step_model(workload).estimate(workload, "", lengths)
            low_j, high_j = estimate.interval_j or (estimate.energy_j, estimate.energy_j)
            request_j[size] = estimate.energy_j / size, low_j / size, high_j / size
        gpu = scaling.deployment.gpu
        forecasts.append(CardForecast(gpu, gpu.peak(_DTYPE, "dense"), request_j))
    return forecasts
