"""From which acceptance on speculation takes less energy than decoding a token a step."""

from dataclasses import replace

import numpy as np

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.variants.model import Speculated
from joulecast.measurements.engines.decoding import Speculation
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

_TOLERANCE = 0.002


def equal_requests(
    serves: Scaling, batch_size: int, input_tokens: int = 512, output_tokens: int = 64
) -> Estimate:
    """The estimate of one batch of equal requests.

    Args:
        serves: What serves them, with a draft or without.
        batch_size: How many.
        input_tokens: Of each.
        output_tokens: Likewise.

    Raises:
        InputError: It cannot serve them.
    """
    lengths = np.tile(np.array([input_tokens, output_tokens], dtype=np.int64), (batch_size, 1))
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
    return serves.step_model(workload).estimate(workload, "equal requests", lengths)


def speculation_saving(
    serves: Speculated, batch_size: int, input_tokens: int = 512, output_tokens: int = 64
) -> float:
    """Share of the energy that speculation saves; below 0 where it takes more.

    Args:
        serves: With its draft.
        batch_size: Of equal requests that are served at once.
        input_tokens: Of each.
        output_tokens: Likewise.

    Raises:
        InputError: It cannot serve them.
    """
    alone = Scaling(serves.deployment, serves.watts, serves.table)
    sizes = batch_size, input_tokens, output_tokens
    return 1 - equal_requests(serves, *sizes).energy_j / equal_requests(alone, *sizes).energy_j


def break_even_acceptance(
    serves: Speculated, batch_size: int, input_tokens: int = 512, output_tokens: int = 64
) -> float | None:
    """Acceptance from which on speculation takes less energy than greedy decoding without a draft.

    Both by the same prices, so that what these are off by matters little.

    Args:
        serves: With its draft, whose own acceptance does not matter; a `host` of 0 s tells what
            the GPU alone would make of it.
        batch_size: Of equal requests that are served at once.
        input_tokens: Of each.
        output_tokens: Likewise.

    Returns:
        The acceptance, 0 to 1; None if even accepting everything does not pay.

    Raises:
        InputError: It cannot serve them.
    """

    def saving(acceptance: float) -> float:
        proposed: Speculation = serves.proposed.with_acceptance(acceptance)
        asked = replace(serves, speculation=proposed)
        return speculation_saving(asked, batch_size, input_tokens, output_tokens)

    if saving(1.0) <= 0:
        return None
    if saving(0.0) > 0:
        return 0.0
    low, high = 0.0, 1.0
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        if saving(middle) > 0:
            high = middle
        else:
            low = middle
    return high
