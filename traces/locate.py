"""Finding the line to name in an error message. Runs only when something is already wrong."""

import csv
import json
from collections.abc import Iterator

from traces.sources import TraceFile, open_lines


def line_of_record(file: TraceFile, record: int) -> int | None:
    """Physical line on which the given record (1 is the first after a header) ends.

    Blank lines are no records; a quoted field may span lines. None for files without lines.
    """
    if file.kind == "json lines":
        lines = (n for n, line in enumerate(_lines(file), start=1) if line.strip())
        return next((n for k, n in enumerate(lines, start=1) if k == record), None)
    if file.kind == "csv":
        records = (line for line, fields in _csv_records(file) if fields)
        return next((line for k, line in enumerate(records) if k == record), None)
    return None


def malformed_line(file: TraceFile) -> tuple[int, str] | None:
    """The first line that is no record at all, and why; None if every line is one."""
    if file.kind == "json lines":
        return next(
            (
                (n, reason)
                for n, line in enumerate(_lines(file), start=1)
                if line.strip() and (reason := _json_fault(line))
            ),
            None,
        )
    if file.kind == "csv":
        expected = len(file.columns)
        for line, fields in _csv_records(file):
            if fields and len(fields) != expected:
                return line, f"has {len(fields)} fields, the header has {expected}"
            if any("\ufffd" in field for field in fields):
                return line, "is not UTF-8 text"
    return None


def _lines(file: TraceFile) -> Iterator[str]:
    return open_lines(file.path, file.compression)


def _csv_records(file: TraceFile) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader(_lines(file), delimiter=file.delimiter)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error:
        return


def _json_fault(line: str) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return "is not JSON"
    return None if isinstance(record, dict) else "is not a JSON object"
