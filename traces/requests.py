"""Requests one by one: how long each is, and when it came."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
LengthArray = npt.NDArray[np.int64]
TokenArray = npt.NDArray[np.int64]
"""A number of tokens for each request, shape (n,)."""

StoredLengths = npt.NDArray[np.int32 | np.int64]
StoredTokens = npt.NDArray[np.int32 | np.int64]
"""The same where there may be very many: of 32 bits each if they were read from files, half as
large. What takes them makes sums and products in 64 bits, or of real numbers."""


@dataclass(frozen=True)
class TimedRequests:
    """Requests in the order in which they come.

    Attributes:
        arrival_s: When each comes, ascending, from the first [s], shape (n,).
        lengths: (i, o) of each, shape (n, 2) [tokens].
        cached: Tokens of each prompt that were in a cache of prefixes, shape (n,) [tokens]; None
            where that is not known.
        rows: Which row of the trace each is, from 1, shape (n,); None where nobody asked.
    """

    arrival_s: FloatArray
    lengths: StoredLengths
    cached: StoredTokens | None = None
    rows: TokenArray | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas with a row per request, which can be given as a trace again.

        Raises:
            InputError: There is no pandas.
        """
        from joulecast.traces.frame import frame_of

        names = ["arrival_s", "input_tokens", "output_tokens"]
        columns = [self.arrival_s.tolist(), *self.lengths.T.tolist()]
        if self.cached is not None:
            names.append("cached_tokens")
            columns.append(self.cached.tolist())
        return frame_of(
            [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], names
        )

    @property
    def span_s(self) -> float:
        """Time from the first arrival to the last [s]."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    @property
    def is_in_order(self) -> bool:
        """Whether they are as `in_order` has them."""
        arrival_s = self.arrival_s
        return not len(self) or (
            arrival_s[0] == 0 and bool((arrival_s[1:] >= arrival_s[:-1]).all())
        )

    @classmethod
    def in_order(
        cls,
        arrival_s: FloatArray,
        lengths: StoredLengths,
        cached: StoredTokens | None = None,
        rows: TokenArray | None = None,
    ) -> "TimedRequests":
        """Requests in any order, those that come at once in theirs, counted from the first."""
        if len(arrival_s) and not (arrival_s[1:] >= arrival_s[:-1]).all():
            order = np.argsort(arrival_s, kind="stable")
            arrival_s = arrival_s[order]  # one by one, so that no two are there twice
            lengths = lengths[order]
            cached = None if cached is None else cached[order]
            rows = None if rows is None else rows[order]
            del order
        return cls(arrival_s - arrival_s[:1], lengths, cached, rows)

    @classmethod
    def at_rate(
        cls,
        lengths: StoredLengths,
        rate: float,
        generator: np.random.Generator,
        cached: StoredTokens | None = None,
        rows: TokenArray | None = None,
    ) -> "TimedRequests":
        """Requests that come at random moments (Poisson), in the order of `lengths`.

        Args:
            lengths: (i, o) of each, shape (n, 2) [tokens].
            rate: How many come in a second, on average.
            generator: Source of randomness.
            cached: Tokens of each prompt that were in a cache of prefixes, if that is known.
            rows: Which row of the trace each is, if that is.
        """
        gaps = generator.exponential(1 / rate, len(lengths))
        return cls(np.cumsum(gaps) - gaps[:1], lengths, cached, rows)

    def faster(self, speed: float) -> "TimedRequests":
        """The same, so many times as fast."""
        return self if speed == 1 else replace(self, arrival_s=self.arrival_s / speed)

    def only(self, chosen: npt.NDArray[np.bool_]) -> "TimedRequests":
        """Some of them at their times, counted from the first of these; `chosen` has shape (n,)."""
        cached = None if self.cached is None else self.cached[chosen]
        rows = None if self.rows is None else self.rows[chosen]
        return TimedRequests.in_order(self.arrival_s[chosen], self.lengths[chosen], cached, rows)

    def dealt(self, turn: int, among: int) -> "TimedRequests":
        """Those that one of so many gets when they are dealt out in turn."""
        cached = None if self.cached is None else self.cached[turn::among]
        return TimedRequests(self.arrival_s[turn::among], self.lengths[turn::among], cached)

    def between(self, begin_s: float, end_s: float) -> "TimedRequests":
        """Those that come from one moment up to another, counted from the first of these [s]."""
        first, last = np.searchsorted(self.arrival_s, [begin_s, end_s])
        cached = None if self.cached is None else self.cached[first:last]
        return TimedRequests(self.arrival_s[first:last] - begin_s, self.lengths[first:last], cached)

    def untimed(self) -> tuple[LengthArray, TokenArray | None, TokenArray | None]:
        """Lengths in 64 bits, cached tokens and rows, as of requests that are there at once."""
        cached = None if self.cached is None else self.cached.astype(np.int64)
        return self.lengths.astype(np.int64), cached, self.rows

    def without_cached(self) -> "TimedRequests":
        """The same, as if nothing were known of a cache of prefixes."""
        return replace(self, cached=None)
