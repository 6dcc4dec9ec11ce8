"""How serving goes over time: sums over slices of equal length."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.traces.frame import frame_of

if TYPE_CHECKING:
    import pandas as pd

SLICES_S = (1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0)
"""What slices may last [s]."""

_MOST_SLICES = 240


def slice_seconds(span_s: float) -> float:
    """The shortest of these slices of which few enough cover a time [s]."""
    return next((each for each in SLICES_S if span_s <= _MOST_SLICES * each), SLICES_S[-1])


@dataclass(frozen=True)
class Timeline:
    """What happened in each slice; arrays of shape (slices,).

    Attributes:
        slice_s: Length of a slice; the last may end earlier [s].
        end_s: When the last ends [s].
        energy_j: GPU energy of all replicas [J].
        arrived: Requests that came.
        running: Requests that ran, on average.
        waiting: Requests that waited, on average.
        ttft_p50_s: Median time to first token of those that came then [s]; NaN of none.
        ttft_p99_s: 99 % were at most that.
        tpot_p50_s: Median time per output token, likewise.
    """

    slice_s: float
    end_s: float
    energy_j: FloatArray
    arrived: FloatArray
    running: FloatArray
    waiting: FloatArray
    ttft_p50_s: FloatArray
    ttft_p99_s: FloatArray
    tpot_p50_s: FloatArray

    @property
    def begin_s(self) -> FloatArray:
        """When each begins, from the first arrival [s]."""
        return np.asarray(self.slice_s * np.arange(len(self.energy_j)), dtype=float)

    @property
    def seconds(self) -> FloatArray:
        """How long each lasts [s]."""
        return np.asarray(np.minimum(self.slice_s, self.end_s - self.begin_s), dtype=float)

    @property
    def power_w(self) -> FloatArray:
        """Mean power of all replicas in each [W]."""
        return self.energy_j / self.seconds

    def rows(self) -> list[dict[str, Any]]:
        """A row a slice, as plain JSON values."""
        columns = {
            "begin_s": self.begin_s,
            "energy_j": self.energy_j,
            "power_w": self.power_w,
            "arrived": self.arrived,
            "running": self.running,
            "waiting": self.waiting,
            "ttft_p50_s": self.ttft_p50_s,
            "ttft_p99_s": self.ttft_p99_s,
            "tpot_p50_s": self.tpot_p50_s,
        }
        lists = {name: _plain(values) for name, values in columns.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row a slice; names of columns end in their units.

        Raises:
            InputError: There is no pandas.
        """
        return frame_of(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"slice_s": self.slice_s, "slices": self.rows()}


def _plain(values: FloatArray) -> list[float | None]:
    """Numbers, with None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]


class Spread:
    """Adds up amounts that are spread evenly over stretches of time, by slices.

    Args:
        slice_s: Length of a slice [s].
        names: Of the amounts.
    """

    def __init__(self, slice_s: float, names: Sequence[str]) -> None:
        self._slice_s = slice_s
        self._names = list(names)
        self._sums = np.zeros((len(names), 0))

    def add(self, begin_s: FloatArray, seconds: FloatArray, amounts: FloatArray) -> None:
        """More stretches, one after another.

        Args:
            begin_s: When each begins, ascending [s], shape (n,).
            seconds: How long it lasts [s], shape (n,).
            amounts: What belongs to it, shape (names, n).
        """
        if not len(begin_s):
            return
        first = int(begin_s[0] // self._slice_s)
        last = int((begin_s[-1] + seconds[-1]) // self._slice_s) + 1
        edges = self._slice_s * np.arange(first, last + 1)
        moments = np.stack([begin_s, begin_s + seconds], axis=1).ravel()
        self._reach(last)
        for k, amount in enumerate(amounts):
            reached = np.cumsum(amount)
            both = np.stack([reached - amount, reached], axis=1).ravel()
            self._sums[k, first:last] += np.diff(np.interp(edges, moments, both))

    def _reach(self, slices: int) -> None:
        """Have so many slices."""
        lacking = slices - self._sums.shape[1]
        if lacking > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, lacking)))

    @property
    def slices(self) -> int:
        """How many slices there are so far."""
        return self._sums.shape[1]

    def merge(self, other: "Spread") -> None:
        """Add what another of the same slices has."""
        slices = other.slices
        self._reach(slices)
        for k, name in enumerate(self._names):
            self._sums[k, :slices] += other.of(name, slices)

    def of(self, name: str, slices: int) -> FloatArray:
        """The sums of an amount over the first slices, shape (slices,)."""
        self._reach(slices)
        return np.asarray(self._sums[self._names.index(name), :slices])


def slice_bounds(arrival_s: FloatArray, slice_s: float, slices: int) -> list[int]:
    """Where the requests of each slice begin, and the last end; those that come later are its own.

    Args:
        arrival_s: When each comes, ascending [s], shape (n,).
        slice_s: Length of a slice [s].
        slices: How many slices.
    """
    count = len(arrival_s)
    reached = min(int(arrival_s[-1] / slice_s) + 1, slices) if count else 0
    bounds = [
        bisect_left(arrival_s, k, key=lambda moment_s: int(moment_s / slice_s))
        for k in range(reached)
    ]
    return bounds + [count] * (slices + 1 - reached)


def quantiles_by_slice(
    values_of: Callable[[slice], FloatArray], bounds: Sequence[int], percents: Sequence[float]
) -> FloatArray:
    """Quantiles of the values of each slice; NaN of none.

    Args:
        values_of: The values of requests next to one another.
        bounds: Where the requests of each slice begin, and the last end.
        percents: Of the values are at most a quantile.

    Returns:
        Shape (percents, slices).
    """
    quantiles = np.full((len(percents), len(bounds) - 1), np.nan)
    first = 0
    for k, (begin, end) in enumerate(pairwise(bounds)):
        values = np.sort(values_of(slice(begin, end)))
        if not len(values):
            continue
        for quantile, percent in zip(quantiles, percents, strict=True):
            rank = first + percent / 100 * (len(values) - 1)  # among the values of all slices
            share = rank - math.floor(rank)
            low = math.floor(rank) - first
            quantile[k] = (1 - share) * values[low] + share * values[min(low + 1, len(values) - 1)]
        first += len(values)
    return quantiles
