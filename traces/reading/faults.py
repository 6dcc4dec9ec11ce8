"""Finding the line to name in an error message. Runs only when something is already wrong."""

import csv
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from joulecast.traces.errors import InputError
from joulecast.traces.files import parse_json
from joulecast.traces.reading.formats import TraceFormat, shorten
from joulecast.traces.reading.nested import KeyPath
from joulecast.traces.reading.problems import PROBLEMS
from joulecast.traces.reading.sniff import TraceFile, open_lines


def line_of_record(file: TraceFile, record: int) -> int | None:
    """Physical line on which the given record (1 is the first after a header) begins.

    Blank lines are no records; a quoted field may span lines. None for files without lines.
    """
    if not file.has_lines:
        return None
    if file.kind == "json lines":
        lines = (n for n, line in enumerate(_lines(file), start=1) if line.strip())
        return next((n for k, n in enumerate(lines, start=1) if k == record), None)
    if file.kind == "csv":
        records = (line for line, fields in _csv_records(file) if fields)
        return next((line for k, line in enumerate(records) if k == record), None)
    return None


def malformed_line(
    file: TraceFile, trace_format: TraceFormat, until: int | None = None
) -> tuple[int, str] | None:
    """The first line that begins no record at all, and why; None if every line is in one.

    Args:
        file: Where to look.
        trace_format: Columns that must be there as they should; others are not looked at.
        until: Last line to look at; None for all.
    """
    if file.kind == "json lines":
        paths = [file.path_to(name) for name in trace_format.columns]
        return next(
            (
                (n, reason)
                for n, line in enumerate(itertools.islice(_lines(file), until), start=1)
                if line.strip() and (reason := _json_fault(line, paths))
            ),
            None,
        )
    if file.kind == "csv":
        return _csv_fault(file, [file.columns.index(name) for name in trace_format.columns], until)
    return None


def _csv_fault(
    file: TraceFile, positions: Sequence[int], until: int | None
) -> tuple[int, str] | None:
    expected, begins = len(file.columns), file.blank_lines + 1
    try:
        for line, fields in _csv_records(file, strict=True):
            if until is not None and line > until:
                return None
            begins = line + sum(len(field.splitlines()) - 1 for field in fields if field) + 1
            if (
                fields
                and len(fields) != expected
                and not _has_only_empty_fields_more(fields, expected)
            ):
                reason = f"has {len(fields)} fields, the header has {expected}"
                if any("\n" in field or "\r" in field for field in fields):
                    reason += "; a quote that it opens runs over several lines"
                return line, reason
            if fields and any("\ufffd" in fields[position] for position in positions):
                return line, "is not UTF-8 text"
    except csv.Error:
        return begins, "has a stray quote; close it, or double quotes within quotes"
    return _line_end_fault(file) if until is None else None


def _has_only_empty_fields_more(fields: list[str], expected: int) -> bool:
    """DuckDB lets empty fields more pass at the end of a row."""
    return len(fields) > expected and not any(fields[expected:])


def _line_end_fault(file: TraceFile) -> tuple[int, str] | None:
    """The first line that ends otherwise than the header does."""
    header_end = None
    for n, line in enumerate(_lines(file), start=1):
        end = line[len(line.rstrip("\r\n")) :]
        header_end = header_end or end
        if end not in ("", header_end):
            return n, "ends with another line end than the header; give all lines the same"
    return None


def _lines(file: TraceFile) -> Iterator[str]:
    return open_lines(file.path, file.compression)


def _csv_records(file: TraceFile, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins, the header first."""
    csv.field_size_limit(1 << 30)
    lines = itertools.islice(_lines(file), file.blank_lines, None)
    reader = csv.reader(lines, delimiter=file.delimiter, strict=strict)
    begins = 1
    for fields in reader:
        yield file.blank_lines + begins, fields
        begins = reader.line_num + 1


class _Object(list[tuple[str, object]]):
    """The keys of a JSON object with their values, some perhaps twice."""


def _json_fault(line: str, paths: Sequence[KeyPath]) -> str | None:
    try:
        record = parse_json(line)
    except ValueError:
        return "is not JSON"
    if not isinstance(record, dict):
        return "is not a JSON object"
    row = json.loads(line, object_pairs_hook=_Object)
    return next((fault for path in paths if (fault := _path_fault(row, path))), None)


def _path_fault(row: _Object, path: KeyPath) -> str | None:
    """Why a value cannot be told, being there twice or where an object should be."""
    value: object = row
    for depth, key in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, _Object):
            return f'has something in "{".".join(path[:depth])}" that is no object'
        values = [inner for name, inner in value if name == key]
        if len(values) > 1:
            return f'has the key "{".".join(path[: depth + 1])}" twice'
        value = values[0] if values else None
    return None


_REASONS = re.compile(
    r"Expected Number of Columns.*|Maximum line size.*exceeded|Value with unterminated quote.*"
    r"|Invalid unicode.*|a stray quote.*|a row of over.*"
)


def gist(message: str) -> str:
    """What DuckDB says is wrong, without the data, advice and settings that it lists."""
    if reason := _REASONS.search(message):
        return reason[0].strip()
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return shorten(first.split(" Try ")[0].split("; Try")[0], 200)


def describe_problem(
    file: TraceFile, trace_format: TraceFormat, row: dict[str, Any], line: int | None
) -> InputError:
    """The error for a row with an invalid length.

    Args:
        file: Where it is.
        trace_format: Which columns hold the lengths.
        row: What `with_problems` says of it, and its `number`.
        line: On which it begins, if files of the kind have lines.
    """
    side = "input" if row["input_problem"] else "output"
    column = trace_format.input_column if side == "input" else trace_format.output_column
    value, problem = row[side], PROBLEMS[row["problem"]]
    where = file.place_of(row["number"], line)
    said = "is missing" if value is None else f'is "{shorten(str(value))}" ({problem})'
    return InputError(
        f"{where}: {column} {said}; lengths are counts, 0 or more; "
        "mend the row or pass --on-invalid skip"
    )
