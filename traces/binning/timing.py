"""When the requests of a trace in files came: what is read as their times, and which have none."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import LONGEST_SPAN_S, ArrivalReading, census, decide
from joulecast.traces.reading.faults import line_of_record
from joulecast.traces.reading.formats import shorten
from joulecast.traces.reading.lengths import succeeded

if TYPE_CHECKING:
    from joulecast.traces.binning.file_trace import FileTrace


def read_arrivals(trace: "FileTrace") -> ArrivalReading | None:
    """What its column of times holds, after a look at all of it; None if it has no such column.

    Raises:
        InputError: The user named the column, and it holds no times.
    """
    column = trace.format.arrival_column
    if column is None:
        return None
    counted = trace.select(census(succeeded(trace.stored)))
    reading = decide(counted, column, trace.format.arrival_unit, trace.arrival_unit)
    if trace.format.is_arrival_named and reading.missing and not reading.requests:
        raise first_untimed(trace, reading)
    return reading


def with_order(trace: "FileTrace", reading: ArrivalReading) -> ArrivalReading:
    """The same, and how many requests come before the row above them."""
    if not reading.requests:
        return reading
    (counted,) = trace.select(
        "SELECT COUNT(*) FILTER (arrival_s < previous_s) AS requests FROM ("
        "SELECT arrival_s, LAG(arrival_s) OVER () AS previous_s FROM ("
        f"SELECT {reading.sql} AS arrival_s FROM ({succeeded(trace.stored)}) AS requests) AS rows "
        "WHERE arrival_s IS NOT NULL) AS pairs"
    )
    return replace(reading, out_of_order=counted["requests"])


def require_times(trace: "FileTrace", reading: ArrivalReading) -> None:
    """Refuse times that cannot be served: missing ones, and those that lie decades apart.

    Raises:
        InputError: A request has no time, unless such are to be left out; or there are times that
            are not on one clock.
    """
    if reading.missing and (trace.on_invalid == "error" or not reading.requests):
        raise first_untimed(trace, reading)
    if (reading.span_s or 0.0) > LONGEST_SPAN_S:
        years = (reading.span_s or 0.0) / (LONGEST_SPAN_S / 10)
        last = f"({reading.sql}) = {reading.last_s!r}"
        where, row = _first_row(trace, last)
        raise InputError(
            f'{where}: {reading.column} is "{_shown(row)}", {years:,.0f} years after the earliest '
            "of the others; mend the row, or name the unit with --arrival-unit"
        )


def first_untimed(trace: "FileTrace", reading: ArrivalReading) -> InputError:
    """The error that names the first request without a time. Call it only when there is one."""
    where, row = _first_row(trace, f"({reading.sql}) IS NULL")
    text = row["arrival_text"]
    if not (text or "").strip():
        what = "is missing"
    elif row["arrival_number"] is None and row["arrival_clock"] is None:
        what = f'is "{_shown(row)}", which is no time'
    else:
        what = f'is "{_shown(row)}", which is not on the clock of the others{_example(reading)}'
    everyone = reading.requests + reading.missing
    return InputError(
        f"{where}: {reading.column} {what}; {reading.missing:,} of {everyone:,} requests have no "
        "time; write seconds or ISO 8601, such as 2026-01-31T09:30:00.5Z, or pass --on-invalid "
        "skip to leave such requests out of serving"
    )


def _first_row(trace: "FileTrace", condition: str) -> tuple[str, dict[str, Any]]:
    """The first request of which something is true, and file and line where it begins."""
    for file in trace.files:
        stored, view = trace.one_file(file)
        numbered = f"SELECT *, ROW_NUMBER() OVER () AS number FROM {view}"
        rows = trace.select(
            f"SELECT * FROM ({succeeded(stored, f'({numbered}) AS numbered')}) AS rows "
            f"WHERE {condition} ORDER BY number LIMIT 1"
        )
        if rows:
            line = line_of_record(file, rows[0]["number"])
            number = f": row {rows[0]['number']}"
            return f"{file.name}{number if line is None else f':{line}'}", rows[0]
    return trace.name, {"arrival_text": None}


def _shown(row: dict[str, Any]) -> str:
    return shorten(str(row["arrival_text"]))


def _example(reading: ArrivalReading) -> str:
    """When the others come, where they have dates."""
    if reading.last_s is None or not re.search("1970|dates", reading.unit):
        return ""
    return f" (the last is of {datetime.fromtimestamp(reading.last_s, UTC):%Y-%m-%d})"
