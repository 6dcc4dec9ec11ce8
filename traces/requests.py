"""Requests one by one: how long each is, and when it came."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
LengthArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TimedRequests:
    """Requests in the order in which they come.

    Attributes:
        arrival_s: When each comes, ascending, from the first [s], shape (n,).
        lengths: (i, o) of each, shape (n, 2) [tokens].
    """

    arrival_s: FloatArray
    lengths: LengthArray

    def __len__(self) -> int:
        return len(self.arrival_s)

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row per request, which can be given as a trace again.

        Raises:
            InputError: There is no pandas.
        """
        from joulecast.traces.frame import frame_of

        names = ("arrival_s", "input_tokens", "output_tokens")
        columns = (self.arrival_s.tolist(), *self.lengths.T.tolist())
        return frame_of(
            [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], names
        )

    @property
    def span_s(self) -> float:
        """Time from the first arrival to the last [s]."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    @classmethod
    def in_order(cls, arrival_s: FloatArray, lengths: LengthArray) -> "TimedRequests":
        """Requests in any order, those that come at once in theirs, counted from the first."""
        order = np.argsort(arrival_s, kind="stable")
        begins = arrival_s[order]
        return cls(begins - begins[0] if len(begins) else begins, lengths[order])

    @classmethod
    def at_rate(
        cls, lengths: LengthArray, rate: float, generator: np.random.Generator
    ) -> "TimedRequests":
        """Requests that come at random moments (Poisson), in the order of `lengths`.

        Args:
            lengths: (i, o) of each, shape (n, 2) [tokens].
            rate: How many come in a second, on average.
            generator: Source of randomness.
        """
        gaps = generator.exponential(1 / rate, len(lengths))
        return cls(np.cumsum(gaps) - gaps[:1], lengths)

    def faster(self, speed: float) -> "TimedRequests":
        """The same, so many times as fast."""
        return TimedRequests(self.arrival_s / speed, self.lengths)

    def between(self, begin_s: float, end_s: float) -> "TimedRequests":
        """Those that come from one moment up to another, counted from the first of these [s]."""
        first, last = np.searchsorted(self.arrival_s, [begin_s, end_s])
        return TimedRequests(self.arrival_s[first:last] - begin_s, self.lengths[first:last])
