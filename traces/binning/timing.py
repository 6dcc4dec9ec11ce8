"""When the requests of a trace in files come: what is read as their times, and which have none."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from joulecast.traces.binning.trace import Query, Slicing, Trace
from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import (
    EPOCH_BEGINS_S,
    EPOCH_ENDS_S,
    LONGEST_SPAN_S,
    YEAR_S,
    ArrivalReading,
    ArrivalUnit,
    census,
    decide,
)
from joulecast.traces.reading.formats import TraceFormat, shorten
from joulecast.traces.reading.lengths import cached_tokens, succeeded
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.slices import exponent_for
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np

    from joulecast.traces.requests import (
        FloatArray,
        LengthArray,
        StoredLengths,
        StoredTokens,
        TimedRequests,
        TokenArray,
    )

_Columns: TypeAlias = "dict[str, np.ma.MaskedArray | np.ndarray]"

_HALF = 1 << 32
"""What the upper half of 64 bits counts in."""

_HOW_TO_WRITE = "seconds or ISO 8601, such as 2026-01-31T09:30:00.5Z"


@dataclass(frozen=True)
class TraceInTime(Trace):
    """A trace in files, whose rows may tell when requests come.

    Attributes:
        format: Which columns hold what.
        arrival_unit: Unit of its arrival times, if the user states one.
    """

    format: TraceFormat
    arrival_unit: ArrivalUnit | None

    @abstractmethod
    def arrays(
        self, columns: str, condition: str, is_numbered: bool = False
    ) -> "Mapping[str, np.ma.MaskedArray | np.ndarray]":
        """Columns of the requests that did not fail, in the order of files and rows.

        Args:
            columns: As SQL.
            condition: Which requests, as SQL.
            is_numbered: Whether there is a column `number` of rows, from 1.

        Raises:
            InputError: As in `ask`.
        """

    @abstractmethod
    def first_row(self, condition: str) -> tuple[str, dict[str, Any]]:
        """A request of which something is true, after where it lies: the first, if that is known.

        Call it only if there is one.
        """

    def select(self, sql: str) -> list[dict[str, Any]]:
        """The rows of the answer to a question that is only asked of files.

        Raises:
            InputError: As in `ask`.
        """
        return self.ask(Query(sql, {}))

    def reading(self, workload: Workload) -> TraceReading:
        """What was read, told with the workload that was made of it."""
        counts = workload.total.requests, workload.failed.requests, *workload.invalid.values()
        return TraceReading.of(self.format, None, sum(counts))

    def without_total(self, workload: Workload) -> Self:  # noqa: ARG002
        """The same, without a row that sums all others, where there is one and it calls itself so.

        Args:
            workload: All rows of the trace, such a row included.
        """
        return self

    @property
    def timeless(self) -> tuple[str, ...]:
        """What of it has no arrival times, where the rest has."""
        return ()

    @property
    def has_all(self) -> bool:
        """Whether no row was left out since it sums all others."""
        return True

    def lengths_and_cached(self) -> "tuple[LengthArray, TokenArray | None]":
        """The requests that did not fail, in the trace's order.

        Returns:
            (i, o) of each, shape (n, 2) [tokens], and tokens of each prompt that were in a cache of
            prefixes, shape (n,); None if the trace does not say. All have 64 bits.

        Raises:
            InputError: As in `ask`.
        """
        import numpy as np

        columns = dict(self.arrays(self._tokens, "TRUE"))
        lengths, cached = _lengths(columns), _cached(columns)
        return lengths.astype(np.int64), None if cached is None else cached.astype(np.int64)

    @property
    def _tokens(self) -> str:
        """What is read of requests one by one, as SQL.

        Both lengths, which are below 2^31, are one number of 64 bits: the two halves of it are the
        array that is made of them, without a copy.
        """
        columns = f"input_tokens + output_tokens * {_HALF} AS lengths"
        if self.stored.has_cached:
            cached = cached_tokens("input_tokens")
            columns += f", CAST({cached} AS INTEGER) AS cached_tokens"
        return columns

    def rows(self) -> "TokenArray":
        """Which row of the trace each request is that did not fail, from 1, shape (n,).

        Raises:
            InputError: As in `ask`.
        """
        return _rows(dict(self.arrays("number", "TRUE", is_numbered=True)))

    def timed(self, with_rows: bool = False) -> "tuple[TimedRequests, ArrivalReading]":
        """The requests that did not fail, in the order in which they came, and what was read.

        With `on_invalid="skip"`, those without a time are left out; what was read counts them.

        Args:
            with_rows: Tell which row of the trace each is, too.

        Raises:
            InputError: As in `ask`; or it has no arrival times, a row lacks its own, or they lie
                decades apart.
        """
        from joulecast.traces.requests import TimedRequests

        reading = self.require_times()
        number = ", number" if with_rows else ""
        columns = dict(
            self.arrays(
                f"{self._tokens}, {reading.sql} AS arrival_s{number}",
                f"({reading.sql}) IS NOT NULL",
                is_numbered=with_rows,
            )
        )
        moments_s = columns["arrival_s"]
        reading = replace(reading, out_of_order=int((moments_s[1:] < moments_s[:-1]).sum()))
        del moments_s
        # Of many requests each column takes memory: nothing here keeps those as they were read.
        in_order = TimedRequests.in_order(
            _arrivals(columns),
            _lengths(columns),
            _cached(columns),
            _rows(columns) if with_rows else None,
        )
        return in_order, reading

    @cached_property
    def arrivals(self) -> ArrivalReading | None:
        """What is read as arrival times, after a look at all; None without a column of them.

        Raises:
            InputError: The user named the column, and it holds no times; or stated the unit, and
                there is no column.
        """
        column = self.format.arrival_column
        if column is None:
            if self.arrival_unit is not None:
                raise self._no_column()
            return None
        classes = self.select(census(succeeded(self.stored)))
        reading = decide(classes, column, self.format.arrival_unit, self.arrival_unit)
        if self.format.is_arrival_named and reading.missing and not reading.requests:
            raise self._first_untimed(reading)
        return reading

    @property
    def has_arrivals(self) -> bool:
        """Whether it has arrival times: a column in which at least one can be read."""
        return self.arrivals is not None and self.arrivals.requests > 0

    def slicing(self) -> Slicing | None:
        """How its requests are put into slices of time; None if it has no arrival times."""
        times = self.arrivals
        if times is None or times.first_s is None or times.last_s is None:
            return None
        return Slicing(times.sql, exponent_for(times.first_s, times.last_s, times.requests))

    def require_times(self) -> ArrivalReading:
        """What is read as arrival times, if requests can be served at them.

        Raises:
            InputError: There are none; a request has none, unless such are to be left out; or they
                lie decades apart.
        """
        reading = self.arrivals
        if reading is None:
            raise self._no_column()
        if reading.missing and (self.on_invalid == "error" or not reading.requests):
            raise self._first_untimed(reading)
        span_s = reading.span_s or 0.0
        if span_s > LONGEST_SPAN_S:
            where, row = self.first_row(f"({reading.sql}) = {reading.last_s!r}")
            raise InputError(
                f'{where}: {reading.column} is "{_shown(row)}", {span_s / YEAR_S:,.0f} years after '
                "the earliest of the others; mend the row, state the unit of numbers with "
                "--arrival-unit, or take --arrival-column none"
            )
        return reading

    def _no_column(self) -> InputError:
        return InputError(
            f"{self.name}: has no column of arrival times; name one with --arrival-column"
        )

    def _first_untimed(self, reading: ArrivalReading) -> InputError:
        """The error that names the first request without a time. Call it only if there is one."""
        where, row = self.first_row(f"({reading.sql}) IS NULL")
        if not (row["arrival_text"] or "").strip():
            what = "is missing"
        elif row["arrival_number"] is None and row["arrival_clock"] is None:
            what = f'is "{_shown(row)}", which is no time'
        else:
            what = f'is "{_shown(row)}", which is not on the clock of the others{_last(reading)}'
        if not reading.requests:
            return InputError(
                f"{where}: {reading.column} {what}, and no other row has a time there either; "
                f"write {_HOW_TO_WRITE}, or name another column with --arrival-column"
            )
        everyone = reading.requests + reading.missing
        return InputError(
            f"{where}: {reading.column} {what}; {reading.missing:,} of {everyone:,} requests have "
            f"no time; write {_HOW_TO_WRITE}, or pass --on-invalid skip to leave such requests "
            "out of serving"
        )


def _arrivals(columns: _Columns) -> "FloatArray":
    """Shape (n,) [s]; taken out of the columns, as the others are."""
    import numpy as np

    return np.asarray(columns.pop("arrival_s"), dtype=np.float64)


def _lengths(columns: _Columns) -> "StoredLengths":
    """Shape (n, 2) [tokens], of 32 bits each."""
    import numpy as np

    both = np.ascontiguousarray(columns.pop("lengths"), dtype="<i8")
    return both.view("<i4").reshape(-1, 2).astype(np.int32, copy=False)


def _cached(columns: _Columns) -> "StoredTokens | None":
    """Shape (n,) [tokens], of 32 bits each; None without such a column."""
    import numpy as np

    tokens = columns.pop("cached_tokens", None)
    return None if tokens is None else np.asarray(tokens, dtype=np.int32)


def _rows(columns: _Columns) -> "TokenArray":
    """Shape (n,), from 1."""
    import numpy as np

    return np.asarray(columns.pop("number"), dtype=np.int64)


def _shown(row: dict[str, Any]) -> str:
    return shorten(str(row["arrival_text"]))


def _last(reading: ArrivalReading) -> str:
    """When the last of the others comes, where they have dates."""
    if reading.last_s is None or not EPOCH_BEGINS_S <= reading.last_s < EPOCH_ENDS_S:
        return ""
    return f" (the last is of {datetime.fromtimestamp(reading.last_s, UTC):%Y-%m-%d})"
