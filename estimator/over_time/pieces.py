"""What is said of many values that are never all there at once, since each takes memory.

All of it is to the last digit what NumPy says of the values in one array.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from joulecast.measurements.arrays import FloatArray

Pieces = Callable[[], Iterator[FloatArray]]
"""Values, some after others; the same whenever it is called."""

_FEW = 1 << 16
"""So many values may well be there at once."""

_BITS_LEFT_OUT = 44
"""Of a number's 64. Those left tell sign, size and 8 digits after the first, so that numbers that
share them differ by 0.4 % at most."""


def total_of(pieces: Pieces, count: int) -> float:
    """The sum of so many values, as `numpy.sum` has it: of halves, and of halves of these."""
    return _total_of_next(_Stream(pieces()), count)


def percentiles_of(pieces: Pieces, count: int, percents: Sequence[float]) -> list[float]:
    """What so many percent of values are at most, as `numpy.percentile` has it.

    Args:
        pieces: Durations or other values of 0 or more.
        count: How many, 1 or more.
        percents: 0 to 100.
    """
    if count <= _FEW:
        return [float(value) for value in np.percentile(np.concatenate([*pieces()]), percents)]
    places = [percent / 100 * (count - 1) for percent in percents]
    lower = [math.floor(place) for place in places]
    ranks = [rank for low in lower for rank in (low, min(low + 1, count - 1))]
    ends = iter(_of_ranks(pieces, np.array(ranks)))
    return [
        _between(low, high, place - rank)
        for low, high, place, rank in zip(ends, ends, places, lower, strict=True)
    ]


def _between(low: float, high: float, share: float) -> float:
    """So far from one value to another, counted from the nearer."""
    step = high - low
    return low + step * share if share < 0.5 else high - step * (1 - share)


def _of_ranks(pieces: Pieces, ranks: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[float]:
    """The values that so many others are before, in their order.

    Values are counted by their first bits, which come in the order of the values; only those that
    share theirs with a value that is looked for are kept.
    """
    counts = np.zeros(0, dtype=np.int64)
    for values in pieces():
        more = np.bincount(_first_bits(values))
        counts = np.pad(counts, (0, max(0, len(more) - len(counts))))
        counts[: len(more)] += more
    bits = np.searchsorted(np.cumsum(counts), ranks, side="right")
    is_looked_for = np.zeros(len(counts), dtype=bool)
    is_looked_for[bits] = True
    kept = np.empty(counts[is_looked_for].sum())
    filled = 0
    for values in pieces():
        near = values[is_looked_for[_first_bits(values)]]
        kept[filled : filled + len(near)] = near
        filled += len(near)
    kept.sort()
    left_out = np.cumsum(np.where(is_looked_for, 0, counts))
    return [float(value) for value in kept[ranks - left_out[bits]]]


def _first_bits(values: FloatArray) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return values.view(np.int64) >> _BITS_LEFT_OUT


class _Stream:
    """Values that are taken in other portions than they come in."""

    def __init__(self, pieces: Iterator[FloatArray]) -> None:
        self._pieces = pieces
        self._rest = np.zeros(0)

    def take(self, count: int) -> FloatArray:
        """The next so many."""
        parts = [self._rest]
        lacking = count - len(self._rest)
        while lacking > 0:
            parts.append(next(self._pieces))
            lacking -= len(parts[-1])
        values = np.concatenate(parts)
        self._rest = values[count:]
        return values[:count]


def _total_of_next(values: _Stream, count: int) -> float:
    """The sum of the next so many values: NumPy halves at multiples of 8 (pairwise summation)."""
    if count <= _FEW:
        return float(values.take(count).sum())
    half = count // 2
    half -= half % 8
    return _total_of_next(values, half) + _total_of_next(values, count - half)
