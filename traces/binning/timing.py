"""When the requests of a trace in files come: what is read as their times, and which have none."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from joulecast.traces.binning.trace import Slicing, Trace
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
from joulecast.traces.reading.faults import line_of_record
from joulecast.traces.reading.formats import TraceFormat, shorten
from joulecast.traces.reading.lengths import Stored, succeeded
from joulecast.traces.reading.sniff import TraceFile
from joulecast.traces.slices import exponent_for

_HOW_TO_WRITE = "seconds or ISO 8601, such as 2026-01-31T09:30:00.5Z"


@dataclass(frozen=True)
class TraceInTime(Trace):
    """A trace in files, whose rows may tell when requests come.

    Attributes:
        files: The files behind it.
        format: Which columns hold what.
        arrival_unit: Unit of its arrival times, if the user states one.
    """

    files: tuple[TraceFile, ...]
    format: TraceFormat
    arrival_unit: ArrivalUnit | None

    @abstractmethod
    def select(self, sql: str) -> list[dict[str, Any]]:
        """The rows of the answer to a question that is only asked of files."""

    @abstractmethod
    def one_file(self, file: TraceFile) -> tuple[Stored, str]:
        """How a file alone is stored, and the view of it; its broken rows are left out."""

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

    def arrivals_in_order(self) -> ArrivalReading | None:
        """What is read as arrival times, and how many come before the row above them."""
        reading = self.arrivals
        if reading is None or not reading.requests:
            return reading
        (counted,) = self.select(
            "SELECT COUNT(*) FILTER (arrival_s < previous_s) AS requests FROM ("
            "SELECT arrival_s, LAG(arrival_s) OVER () AS previous_s FROM ("
            f"SELECT {reading.sql} AS arrival_s FROM ({succeeded(self.stored)}) AS requests) "
            "AS rows WHERE arrival_s IS NOT NULL) AS pairs"
        )
        return replace(reading, out_of_order=counted["requests"])

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
            where, row = self._first_row(f"({reading.sql}) = {reading.last_s!r}")
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
        where, row = self._first_row(f"({reading.sql}) IS NULL")
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

    def _first_row(self, condition: str) -> tuple[str, dict[str, Any]]:
        """The first request of which something is true, after the file and line it begins on."""
        for file in self.files:
            stored, view = self.one_file(file)
            numbered = f"(SELECT *, ROW_NUMBER() OVER () AS number FROM {view}) AS numbered"
            rows = self.select(
                f"SELECT * FROM ({succeeded(stored, numbered)}) AS rows WHERE {condition} "
                "ORDER BY number LIMIT 1"
            )
            if rows:
                number = rows[0]["number"]
                return file.place_of(number, line_of_record(file, number)), rows[0]
        return self.name, {"arrival_text": None}


def _shown(row: dict[str, Any]) -> str:
    return shorten(str(row["arrival_text"]))


def _last(reading: ArrivalReading) -> str:
    """When the last of the others comes, where they have dates."""
    if reading.last_s is None or not EPOCH_BEGINS_S <= reading.last_s < EPOCH_ENDS_S:
        return ""
    return f" (the last is of {datetime.fromtimestamp(reading.last_s, UTC):%Y-%m-%d})"
