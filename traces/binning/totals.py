"""Rows that sum all others, as exports and spreadsheets have them below their last row."""

import csv
import itertools
import re
from collections.abc import Mapping
from typing import Any

from joulecast.traces.files import parse_json
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.sniff import TraceFile, open_lines
from joulecast.traces.workload import Workload

_LABEL = re.compile(r"\W*((grand|sub)[\s_-]*)?(totals?|sums?|overall|all)\W*", re.IGNORECASE)
_FEWEST = 4
"""Rows without which a row with half of all tokens tells nothing."""


def lengths_of_total(workload: Workload) -> tuple[int, int] | None:
    """Input and output [tokens] that a row would have that sums all others; None if none can be.

    Squares of lengths tell that without another look at the rows: one with half of all tokens has
    a square that hardly any log's cell comes near to.
    """
    total = workload.total
    i, o = total.input_tokens // 2, total.output_tokens // 2
    if (
        total.requests < _FEWEST
        or not i
        or not o
        or total.input_tokens % 2
        or total.output_tokens % 2
    ):
        return None
    row, column = workload.grid.assign([i], [o])
    sums = workload.cells.get((int(row[0]), int(column[0])))
    if sums is None or sums.input_tokens_squared < i * i or sums.output_tokens_squared < o * o:
        return None
    return i, o


def stored_as(lengths: tuple[int, int]) -> str:
    """Whether a row has lengths of input and output, as SQL of how they are stored."""
    return " AND ".join(
        f"COALESCE(TRY_CAST({side} AS DOUBLE) = {length}, FALSE)"
        for side, length in zip(("input", "output"), lengths, strict=True)
    )


def sum_of_others(table: str) -> str:
    """A query: `number`, the row of a table of rows that has half of all tokens; null if none."""
    lengths = "TRY_CAST(input AS DOUBLE) AS i, TRY_CAST(output AS DOUBLE) AS o"
    return (
        f"SELECT CASE WHEN COUNT(*) >= {_FEWEST} AND 2 * MAX(i) = SUM(i) AND 2 * MAX(o) = SUM(o) "
        "AND ARG_MAX(row, i) = ARG_MAX(row, o) THEN ARG_MAX(row, i) END AS number "
        f"FROM (SELECT {lengths}, rowid AS row FROM {table} WHERE reason IS NULL) AS lengths"
    )


def is_labelled(values: Mapping[str, Any], trace_format: TraceFormat) -> bool:
    """Whether a row calls itself a total, or has nothing beside its numbers.

    Args:
        values: What it has in its columns.
        trace_format: Which columns hold the lengths.
    """
    numbers = {*trace_format.columns[:2], trace_format.roles.requests, trace_format.roles.total}
    others = [str(value or "").strip() for name, value in values.items() if name not in numbers]
    if any(_LABEL.fullmatch(value) for value in others):
        return True
    return bool(others) and not any(others)


def values_on(file: TraceFile, line: int | None) -> Mapping[str, Any] | None:
    """The values of the row that begins on a line, by their columns; None if that is not all."""
    if line is None:
        return None
    (text,) = itertools.islice(open_lines(file.path, file.compression), line - 1, line)
    if file.kind == "csv":
        fields = next(csv.reader([text], delimiter=file.delimiter), [])
        return dict(zip(file.columns, fields, strict=False))
    try:
        record = parse_json(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
