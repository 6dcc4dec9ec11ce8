"""When requests came: what a column of times holds, which unit that is, and SQL for it [s].

A view of requests with arrival times has, beside the lengths, `arrival_number` (what is a number),
`arrival_clock` (what is a date and time, in seconds since 1970 UTC), `arrival_zone` (of the latter:
1 where it says its offset from UTC, else 0) and `arrival_text` (as it is written). Which unit the
numbers have is decided from all of them together, by `decide`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from joulecast.traces.reading.lengths import kind_of

ArrivalUnit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]

PER_SECOND: Mapping[ArrivalUnit, float] = {
    "seconds": 1.0,
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
}
ARRIVAL_UNITS = tuple(PER_SECOND)
_FAR_OFFSET = r":.*[+-](1[5-9]|[2-9]\d)(:?\d\d)?\s*$|:.*[+-]\d\d:?[6-9]\d\s*$"
"""An offset from UTC that no place has: 15 hours and more, or 60 minutes and more."""

VIEW_COLUMNS = "arrival_number", "arrival_clock", "arrival_zone", "arrival_text"

EPOCH_BEGINS_S, EPOCH_ENDS_S = 1_262_304_000, 4_102_444_800
"""2010 and 2100: logs of language models lie between, and no two units are to be confused there."""

_MOST = "1e19"
"""No time is such a number, be it in nanoseconds since 1970."""

YEAR_S = 365.25 * 86_400
LONGEST_SPAN_S = 10 * YEAR_S
"""Longer than any log; times that lie further apart are not on one clock."""

_ENDINGS: Mapping[str, re.Pattern[str]] = {
    unit: re.compile(rf"(?i:(^|[^a-z])({words})[\])]?$)|(?<=[a-z])({camel})$")
    for unit, words, camel in (
        ("milliseconds", "ms|msecs?|millis|milliseconds", "Ms|Millis|Milliseconds"),
        ("microseconds", "us|usecs?|micros|microseconds", "Us|Micros|Microseconds"),
        ("nanoseconds", "ns|nsecs?|nanos?|nanoseconds", "Ns|Nanos?|Nanoseconds"),
        ("seconds", "s|secs?|seconds", "Secs?|Seconds"),
    )
}
"""How the name of a column ends that says its unit: `created_ms`, `startTimeUnixNano`, `at [s]`."""

_RECENT = f"arrival_clock >= {EPOCH_BEGINS_S} AND arrival_clock < {EPOCH_ENDS_S}"
_NUMBERS = *ARRIVAL_UNITS, "number"
_CLASSES = *_NUMBERS, "recent", "old"
"""Numbers that count from 1970 in each unit, others, dates between 2010 and 2100, and others."""


@dataclass(frozen=True)
class ArrivalReading:
    """What was read as arrival times, so that it can be said.

    Attributes:
        column: Where they were read from.
        unit: What was taken for their unit, in words: "milliseconds", "dates and times", ...
        requests: Requests (that did not fail) with a time.
        missing: Requests without a time that can be read or believed.
        first_s: The first arrival, on the trace's own clock [s]; None if there is no time at all.
        last_s: The last [s], likewise.
        zoned: Dates and times that say their offset from UTC.
        unzoned: Those that do not, and were taken as UTC.
        out_of_order: Requests that come before the row above them; None if nobody counted.
        sql: The arrival of a row [s], null if it has none, as SQL of `VIEW_COLUMNS`.
    """

    column: str
    unit: str
    requests: int
    missing: int
    first_s: float | None
    last_s: float | None
    zoned: int = 0
    unzoned: int = 0
    out_of_order: int | None = None
    sql: str = field(default="NULL", repr=False)

    @property
    def span_s(self) -> float | None:
        """Time from the first arrival to the last [s]; None if there is no time at all."""
        if self.first_s is None or self.last_s is None:
            return None
        return self.last_s - self.first_s

    @property
    def text(self) -> str:
        """All of it in a line."""
        everyone = self.requests + self.missing
        if self.span_s is None:
            return f'"{self.column}": none of {everyone:,} requests has a time that can be read'
        parts = [f'"{self.column}": {self.unit}{self._zone_text}']
        if self.missing:
            parts.append(f"{self.missing:,} of {everyone:,} requests have no time that can be read")
        if self.out_of_order:
            parts.append(f"{self.out_of_order:,} earlier than the row above them, so sorted")
        if self.span_s > YEAR_S:
            parts.append(f"they span {self.span_s / YEAR_S:,.1f} years: is that one log?")
        return "; ".join(parts)

    @property
    def _zone_text(self) -> str:
        if not self.unzoned:
            return ""
        if not self.zoned:
            return " without a zone, taken as UTC"
        return f", {self.unzoned:,} of them without a zone, taken as UTC"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        names = ("column", "unit", "requests", "missing", "out_of_order", "zoned", "unzoned")
        return {name: getattr(self, name) for name in names}


def with_arrivals(columns: Mapping[str, str], value: str, type_name: str, source: str) -> str:
    """A query of columns of a source, and of `VIEW_COLUMNS`.

    Args:
        columns: Names of the others, and what they are, as SQL.
        value: The column of arrival times there, as SQL.
        type_name: Of that column, as DuckDB calls it.
        source: What reads the source.
    """
    number, clock, zone = "CAST(NULL AS DOUBLE)", "CAST(NULL AS TIMESTAMPTZ)", "0"
    kind = kind_of(type_name)
    if type_name.startswith(("TIMESTAMP", "DATE")):
        moment = f"CAST({value} AS TIMESTAMPTZ)"  # of nanoseconds with a zone it can do little else
        clock = f"CASE WHEN ISFINITE({moment}) THEN {moment} END"
        zone = "1" if type_name.startswith("TIMESTAMPTZ") or "WITH TIME" in type_name else "0"
    elif kind in ("whole", "real"):
        number = f"CAST({value} AS DOUBLE)"
    else:
        return _with_text_arrivals(columns, value, source)
    times = (
        f"CASE WHEN ABS({number}) < {_MOST} THEN {number} END AS arrival_number",
        f"EPOCH_US({clock}) / 1e6 AS arrival_clock",
        f"{zone} AS arrival_zone",
        f"CAST({value} AS TEXT) AS arrival_text",
    )
    return f"SELECT {', '.join((*_named(columns), *times))} FROM {source}"


def named(columns: Mapping[str, str]) -> str:
    """Columns, as SQL with their names."""
    return ", ".join(_named(columns))


def _named(columns: Mapping[str, str]) -> list[str]:
    return [f"{value} AS {name}" for name, value in columns.items()]


def _with_text_arrivals(columns: Mapping[str, str], value: str, source: str) -> str:
    """The same of times kept as text: each layer does once what every row has to go through."""
    text = f"CAST({value} AS TEXT)"  # from which there is a cast to anything
    times = (
        f"{text} AS arrival_text",
        # A cast that fails takes long, and all times of day have a colon.
        f"CASE WHEN NOT CONTAINS({text}, ':') THEN TRY_CAST({text} AS DOUBLE) END AS number",
        f"CASE WHEN CONTAINS({text}, ':') THEN TRY_CAST({text} AS TIMESTAMPTZ) END AS moment",
    )
    cast = f"SELECT {', '.join((*_named(columns), *times))} FROM {source}"
    # What is no time at first may be one with a blank before its offset or a decimal comma.
    mended = "REPLACE(REPLACE(REPLACE(arrival_text, ',', '.'), ' +', '+'), ' -', '-')"
    return (
        "SELECT * EXCLUDE (number, moment), "
        f"CASE WHEN ABS(number) < {_MOST} THEN number END AS arrival_number, "
        f"EPOCH_US(CASE WHEN REGEXP_MATCHES(arrival_text, '{_FAR_OFFSET}') THEN NULL "
        "WHEN moment IS NOT NULL THEN moment "
        f"WHEN number IS NULL THEN TRY_CAST({mended} AS TIMESTAMPTZ) END) / 1e6 AS arrival_clock, "
        "CASE WHEN number IS NOT NULL THEN 0 WHEN CONTAINS(arrival_text, '+') THEN 1 "
        r"WHEN REGEXP_MATCHES(arrival_text, '[A-Za-z]\s*$|:.*-\d\d(:?\d\d)?\s*$') THEN 1 "
        f"ELSE 0 END AS arrival_zone FROM ({cast}) AS texts"
    )


def census(requests: str) -> str:
    """A query: how many times of each of `_CLASSES` there are, and between which bounds.

    Args:
        requests: A query of the rows to look at.

    Returns:
        A row per class: `class` (its index; null for what is no time), `requests`, `least`, `most`,
        `has_fractions` and `zoned`.
    """
    windows = " ".join(f"WHEN {_within(unit)} THEN {k}" for k, unit in enumerate(ARRIVAL_UNITS))
    number, recent, old = (_CLASSES.index(name) for name in ("number", "recent", "old"))
    code = (
        f"CASE WHEN arrival_number IS NULL THEN CASE WHEN {_RECENT} THEN {recent} "
        f"WHEN arrival_clock IS NOT NULL THEN {old} END {windows} ELSE {number} END"
    )
    return (
        # Rounded rather than floored, which Spark does into 64 bits.
        "SELECT class, COUNT(*) AS requests, MIN(value) AS least, MAX(value) AS most, "
        "BOOL_OR(value <> ROUND(value)) AS has_fractions, SUM(arrival_zone) AS zoned FROM ("
        f"SELECT {code} AS class, COALESCE(arrival_number, arrival_clock) AS value, arrival_zone "
        f"FROM ({requests}) AS requests) AS times GROUP BY 1"
    )


def decide(
    classes: Sequence[Mapping[str, Any]],
    column: str,
    usual: ArrivalUnit,
    stated: ArrivalUnit | None,
) -> ArrivalReading:
    """Which unit the times of a column have.

    A unit that the user states is taken. Else one that the column's name ends with (`created_ms`),
    if the numbers could be so; else, if most numbers are so many seconds, milliseconds,
    microseconds or nanoseconds since 1970 that they lie between 2010 and 2100, that unit; else the
    format's own, seconds if it has none. Milliseconds that the format alone tells of are whole:
    with fractions among them they are seconds. Where most times count from 1970, those that do
    not lie between 2010 and 2100 are none, and the other way round.

    Args:
        classes: The answer to `census`.
        column: Its name.
        usual: The unit of numbers in that format.
        stated: The unit that the user states, if any.
    """
    everyone = sum(row["requests"] for row in classes)
    rows = {_CLASSES[row["class"]]: row for row in classes if row["class"] is not None}
    extents = {
        name: _Extent(row["requests"], row["least"], row["most"]) for name, row in rows.items()
    }
    has_fractions = any(rows[name]["has_fractions"] for name in _NUMBERS if name in rows)
    units = (stated,) if stated else _units(extents, column, usual, has_fractions)
    dated = _joined([extents[name] for name in (*units, "recent") if name in extents])
    is_dated = 0 < dated.values >= _joined(extents.values()).values / 2
    clock = "recent" if is_dated else "old"
    read: dict[str, _Extent] = {unit: _numbers_of(extents, unit, is_dated) for unit in units}
    read["clock"] = extents.get(clock, _NOTHING)
    whole = _joined(read.values())
    zoned = rows[clock]["zoned"] if clock in rows else 0
    return ArrivalReading(
        column,
        _unit_text(read, is_dated),
        whole.values,
        everyone - whole.values,
        whole.least,
        whole.most,
        zoned,
        read["clock"].values - zoned,
        sql=_seconds(units, is_dated),
    )


def _units(
    extents: Mapping[str, "_Extent"], column: str, usual: ArrivalUnit, has_fractions: bool
) -> Sequence[ArrivalUnit]:
    """The unit of the numbers; several where they count from 1970 in different ones."""
    numbers = _joined([extents[name] for name in _NUMBERS if name in extents])
    for unit in ARRIVAL_UNITS:
        if _ENDINGS[unit].search(column) and _is_plausible(
            extents.get(unit, _NOTHING), numbers, unit
        ):
            return (unit,)
    dated = [unit for unit in ARRIVAL_UNITS if unit in extents]
    if dated and 2 * sum(extents[unit].values for unit in dated) >= numbers.values:
        return dated
    return ("seconds",) if usual == "milliseconds" and has_fractions else (usual,)


def _is_plausible(dated: "_Extent", numbers: "_Extent", unit: ArrivalUnit) -> bool:
    """Whether numbers could be in that unit: most since 1970, or all within a few years of 0."""
    if numbers.least is None or numbers.most is None:
        return True
    farthest_s = max(abs(numbers.most), abs(numbers.least)) / PER_SECOND[unit]
    return 2 * dated.values >= numbers.values or farthest_s < LONGEST_SPAN_S


def _numbers_of(extents: Mapping[str, "_Extent"], unit: ArrivalUnit, is_dated: bool) -> "_Extent":
    """The numbers that are read in that unit [s]: those that count from 1970 so, or all others."""
    names = [name for name in _NUMBERS if name in extents and (name == unit) == is_dated]
    count, *bounds = _joined([extents[name] for name in names])
    least, most = (None if bound is None else bound / PER_SECOND[unit] for bound in bounds)
    return _Extent(count, least, most)


def _unit_text(read: Mapping[str, "_Extent"], is_dated: bool) -> str:
    """What was read, in words."""
    since = " since 1970" if is_dated else ""
    names = {"clock": "dates and times"} | {unit: f"{unit}{since}" for unit in _NUMBERS}
    return " and ".join(text for name, text in names.items() if name in read and read[name].values)


def _seconds(units: Sequence[ArrivalUnit], is_dated: bool) -> str:
    """The arrival of a row [s], as SQL."""
    want = "" if is_dated else "NOT "
    cases = [f"WHEN {want}({_within(unit)}) THEN {_in_seconds(unit)}" for unit in units]
    return f"CASE WHEN {want}({_RECENT}) THEN arrival_clock {' '.join(cases)} END"


WIDTHS_S = {"week": 604_800, "day": 86_400, "hour": 3_600}
_MONDAY_S = 259_200
"""1970 begins so long after a Monday."""


def group_in_time(reading: ArrivalReading, width: str) -> str:
    """Which month, week, day or hour a request comes in, as SQL: a number that rises with time.

    Args:
        reading: What was read as arrival times; months are of dates.
        width: "month", "week", "day" or "hour".
    """
    if width == "month":
        moment = f"make_timestamp(CAST(FLOOR({reading.sql}) AS BIGINT) * 1000000)"
        return f"date_diff('month', TIMESTAMP '1970-01-01', {moment})"
    since_monday = f"({reading.sql}) + {_offset_s(reading, width)}"
    return f"CAST(FLOOR(({since_monday}) / {WIDTHS_S[width]}) AS BIGINT)"


def name_in_time(reading: ArrivalReading, width: str, index: int) -> str:
    """What such a time is called: by its date (UTC), a week by ISO 8601, where there is one."""
    if width == "month":
        return f"{1970 + index // 12}-{index % 12 + 1:02d}"
    if not is_dated(reading):
        return f"{width} {index + 1:3d}"
    begin = datetime.fromtimestamp(index * WIDTHS_S[width] - _offset_s(reading, width), UTC)
    forms = {"week": "%G-W%V", "day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00"}
    return begin.strftime(forms[width])


def is_dated(reading: ArrivalReading) -> bool:
    """Whether times are those of a calendar, not counted from a start of the trace's own."""
    return (reading.first_s or 0.0) >= EPOCH_BEGINS_S


def _offset_s(reading: ArrivalReading, width: str) -> int:
    """What to add to a time so that weeks of a calendar begin on Mondays [s]."""
    return _MONDAY_S if width == "week" and is_dated(reading) else 0


def _in_seconds(unit: ArrivalUnit) -> str:
    per_second = PER_SECOND[unit]
    return "arrival_number" if per_second == 1 else f"arrival_number / {per_second:.0f}"


def _within(unit: ArrivalUnit) -> str:
    """Whether a number counts from 1970 in that unit, as SQL."""
    low, high = (bound * int(PER_SECOND[unit]) for bound in (EPOCH_BEGINS_S, EPOCH_ENDS_S))
    return f"arrival_number >= {low} AND arrival_number < {high}"


class _Extent(NamedTuple):
    """How many values there are, the least and the largest (None if there are none)."""

    values: int
    least: float | None
    most: float | None


_NOTHING = _Extent(0, None, None)


def _joined(extents: Iterable[_Extent]) -> _Extent:
    """All values of several classes together."""
    there = [extent for extent in extents if extent.values]
    return _Extent(
        sum(extent.values for extent in there),
        min((extent.least for extent in there if extent.least is not None), default=None),
        max((extent.most for extent in there if extent.most is not None), default=None),
    )
