"""The price of each kind of work, and what a run costs by them.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

S steps (reading the weights, launching kernels), T tokens fed (linear layers), K cached tokens read
while decoding, P prompt query-key pairs, O tokens sampled (output head, scheduling) and R requests
taken in. The six prices e are fitted to a table's runs at all batch sizes, non-negative, by least
squares of the relative errors. docs/stepwise.md says why six and what they reach.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.estimator.steps.work import TERMS, StepCounts
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.interpolation import BatchKey

_EXACT = 1e-12
"""Least variance of residuals, so that runs made up without noise can be fitted to."""


@dataclass(frozen=True)
class Prices:
    """What a unit of each kind of work costs, and how well the batches tell it.

    Attributes:
        energy_j: Prices in the order of `TERMS` [J each], shape (6,).
        seconds: The same for time [s each], shape (6,).
        covariance: Of the energy prices [J^2], shape (6, 6).
        residual_sd: Relative sd of a batch's mean energy around the fit.
        freedom: Degrees of freedom of that.
    """

    energy_j: FloatArray
    seconds: FloatArray
    covariance: FloatArray
    residual_sd: float
    freedom: int

    def total_j(self, counts: StepCounts) -> float:
        """Energy of that much work [J]."""
        return float(counts.array() @ self.energy_j)

    def parts_j(self, counts: StepCounts) -> Mapping[str, float]:
        """Term -> its share of the energy [J]."""
        return dict(zip(TERMS, (counts.array() * self.energy_j).tolist(), strict=True))

    def total_seconds(self, counts: StepCounts) -> float:
        """Time of that much work [s]."""
        return float(counts.array() @ self.seconds)

    def relative_sd(self, counts: StepCounts) -> float:
        """Relative sd of that energy, since the prices rest on so many runs."""
        work = counts.array()
        return math.sqrt(float(work @ self.covariance @ work)) / self.total_j(counts)


def fit_prices(batches: Sequence[MeteredBatch]) -> Prices:
    """Fit the prices to a table's batches, more than there are terms."""
    work = np.array([batch.work for batch in batches])
    energies_j = np.array([batch.energy_j for batch in batches])
    waiting = np.array([batch.waiting_j for batch in batches]) / energies_j
    energy_prices_j = _non_negative_fit(work, energies_j, waiting)
    relative = work / energies_j[:, None]
    freedom = len(energies_j) - int((energy_prices_j > 0).sum())
    residuals = relative @ energy_prices_j + waiting - 1
    variance = float(residuals @ residuals) / freedom
    # Where the runs do not tell terms apart, all that is known of a price is that it is not below 0
    # and that no run's energy is exceeded by that term alone.
    highest = 1 / relative.max(axis=0)
    scaled = relative * highest
    information = scaled.T @ scaled / max(variance, _EXACT) + np.eye(len(TERMS))
    return Prices(
        energy_j=energy_prices_j,
        seconds=_non_negative_fit(work, np.array([batch.seconds for batch in batches])),
        covariance=np.linalg.inv(information) * np.outer(highest, highest),
        residual_sd=math.sqrt(variance),
        freedom=freedom,
    )


def held_out_errors(batches: Sequence[MeteredBatch]) -> dict[BatchKey, float]:
    """Relative error of the energy of each batch when its runs are left out of the fit."""
    work = np.array([batch.work for batch in batches])
    energies_j = np.array([batch.energy_j for batch in batches])
    errors = {}
    for place, batch in enumerate(batches):
        others = np.arange(len(batches)) != place
        predicted_j = float(work[place] @ _non_negative_fit(work[others], energies_j[others]))
        errors[batch.batch] = predicted_j / batch.energy_j - 1
    return errors


def _non_negative_fit(
    work: FloatArray, values: FloatArray, other_share: FloatArray | float = 0.0
) -> FloatArray:
    """Non-negative prices, least squares of relative errors, shape (6,).

    Args:
        work: Counts of each batch, shape (batches, 6).
        values: What they add up to.
        other_share: Share of these that is none of the work's.
    """
    from scipy.optimize import nnls

    prices, _ = nnls(work / values[:, None], np.ones(len(values)) - other_share)
    return np.asarray(prices)
