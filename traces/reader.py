"""Any trace in, a lazy table of requests out.

The table is an Ibis expression on DuckDB: nothing is read until something is asked of it, and only
the columns that the question needs are parsed.
"""

import glob
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from traces.errors import InputError
from traces.formats import FORMATS, ArrivalUnit, TraceFormat, recognise
from traces.locate import line_of_record, malformed_line
from traces.sources import (
    STANDARD_INPUT,
    OnInvalid,
    TraceFile,
    describe,
    find_files,
    spool_standard_input,
)

MAX_TOKENS = 2**31
"""Longest believable length [tokens]; its square still fits 64 bits."""

PROBLEMS = {
    1: "missing",
    2: "not a number",
    3: "negative",
    4: "fractional",
    5: "over 2^31",
}
"""What can be wrong with a length, by the code that `requests` carries."""

MALFORMED = "malformed row"
"""What `--on-invalid skip` calls a CSV row that has too many or too few fields."""


@dataclass(frozen=True)
class Trace:
    """A trace that can be asked questions, nothing of it read yet.

    Attributes:
        name: What the user called it.
        requests: Lazy table with a row per request: `input_tokens`, `output_tokens` [tokens] (null
            where either is invalid), `problem` (0, or a code of `PROBLEMS`), and `arrival_s` [s]
            where the format has arrival times.
        files: The files behind it.
        format: Which columns hold what.
        on_invalid: Whether invalid rows end the reading or are left out and counted.
        connection: The DuckDB behind `requests`.
    """

    name: str
    requests: ir.Table
    files: tuple[TraceFile, ...]
    format: TraceFormat
    on_invalid: OnInvalid
    connection: Any = field(repr=False)

    def execute(self, query: ir.Table) -> list[dict[str, Any]]:
        """Run a query on `requests` and return its rows.

        Raises:
            InputError: A file broke off or has a row that is none; file and line are named.
        """
        try:
            return list(self.connection.to_pyarrow(query).to_pylist())
        except duckdb.Error as error:
            raise self._translate(str(error)) from error

    def malformed_rows(self) -> int:
        """Rows that DuckDB could not split into fields and left out (`on_invalid="skip"`).

        Raises:
            InputError: Such a row spans lines: a stray quote swallowed whole rows, uncounted.
        """
        if self.on_invalid == "error":
            return 0
        # Every query on `requests` scans anew, and each scan notes its rejects.
        rejects = (
            "SELECT DISTINCT file_path, line, "
            "contains(csv_line, chr(10)) OR contains(csv_line, chr(13)) "
            "OR error_type = 'UNQUOTED VALUE' AS spans "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"
        )
        try:
            rows = self.connection.raw_sql(rejects).fetchall()
        except duckdb.CatalogException:  # no CSV file was read
            return 0
        for path, line, spans in sorted(rows):
            if spans:
                raise self._translate(
                    f"CSV Error on Line: {line}\n{path}: a stray quote swallows rows"
                )
        return len({(path, line) for path, line, _ in rows})

    def first_problem(self) -> InputError:
        """The error that names the first invalid row. Call it only when there is one."""
        for file in self.files:
            table = _lengths(_open(self.connection, file, self.format, strict=False))
            numbered = table.mutate(row=ibis.row_number())
            bad = numbered.filter(numbered.problem != 0).order_by("row").limit(1)
            if found := self.execute(bad):
                return _describe_problem(file, self.format, found[0])
        return InputError(f"{self.name}: has invalid lengths")

    def _translate(self, message: str) -> InputError:
        """The error for what DuckDB said, with our own line where we can find one."""
        remedy = "; mend it or pass --on-invalid skip" if self.on_invalid == "error" else ""
        named = [file for file in self.files if str(file.path) in message] or self.files
        for file in named:
            if fault := malformed_line(file):
                line, reason = fault
                return InputError(f"{file.name}:{line}: the row {reason}{remedy}")
        found = re.search(r"CSV Error on Line: (\d+)", message)
        where = f":{found[1]}" if found else ""
        return InputError(f"{named[0].name}{where}: cannot be read ({_gist(message)})")


_REASONS = re.compile(
    r"Expected Number of Columns.*|Maximum line size.*exceeded|Value with unterminated quote.*"
    r"|Invalid unicode.*|a stray quote.*"
)


def _gist(message: str) -> str:
    """What DuckDB says is wrong, without the data, advice and settings that it lists."""
    if found := _REASONS.search(message):
        return found[0].strip()
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return _shorten(first.split(" Try ")[0].split("; Try")[0], 200)


@contextmanager
def open_trace(
    source: str,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
) -> Iterator[Trace]:
    """Open a trace: CSV, JSON lines or Parquet, plain or packed with gzip or zstd.

    Args:
        source: A file, a glob (files of several kinds may mix), or "-" for standard input.
        input_column: Column of the input length [tokens]; not needed for a known format.
        output_column: Column of the output length [tokens]; not needed for a known format.
        on_invalid: "error" to end at the first invalid row, "skip" to leave such rows out.

    Yields:
        The trace, to be asked while the context is open; so far, only the head of each file has
        been looked at.

    Raises:
        InputError: No such file, not a trace, or the columns are not there.
    """
    if on_invalid not in ("error", "skip"):
        raise ValueError(f'on_invalid is "error" or "skip", not {on_invalid!r}')
    with tempfile.TemporaryDirectory(prefix="joulecast-") as folder:
        piped = source == STANDARD_INPUT
        found = [spool_standard_input(folder)] if piped else find_files(source)
        files = tuple(describe(path, name) for path, name in found)
        chosen = _common_format(source, files, input_column, output_column)
        connection = ibis.duckdb.connect(autoinstall_known_extensions=False, temp_directory=folder)
        try:
            strict = on_invalid == "error"
            tables = [_lengths(_open(connection, file, chosen, strict)) for file in files]
            requests = ibis.union(*tables) if len(tables) > 1 else tables[0]
            requests = requests.drop("input", "output", "input_problem", "output_problem")
            yield Trace(source, requests, files, chosen, on_invalid, connection)
        finally:
            connection.disconnect()


def _common_format(
    source: str, files: Sequence[TraceFile], input_column: str | None, output_column: str | None
) -> TraceFormat:
    """The format that all files share; arrival times only if every file has them alike."""
    formats = {_choose_format(file, input_column, output_column): file for file in files}
    (first, one), *others = formats.items()
    for other, file in others:
        if (other.input_column, other.output_column) != (first.input_column, first.output_column):
            raise InputError(
                f"{source}: {one.name} is {first.name} and {file.name} is {other.name}; "
                "bin them apart"
            )
    return replace(first, arrival_column=None) if others else first


def _choose_format(
    file: TraceFile, input_column: str | None, output_column: str | None
) -> TraceFormat:
    chosen = known = recognise(file.columns) or FORMATS[0]
    if input_column is not None or output_column is not None:
        chosen = TraceFormat(
            "named columns",
            known.input_column if input_column is None else input_column,
            known.output_column if output_column is None else output_column,
        )
    if chosen.input_column == chosen.output_column:
        raise InputError(
            f'"{chosen.input_column}" is named as both the input and the output column; '
            "name two columns"
        )
    for column in (chosen.input_column, chosen.output_column):
        count = file.columns.count(column)
        if count == 0:
            listed = ", ".join(_shorten(name) for name in file.columns[:12])
            raise InputError(
                f'{file.name}: has no column "{column}", it has: {listed}; '
                "name the columns with --input-column and --output-column"
            )
        if count > 1:
            raise InputError(f'{file.name}: has {count} columns "{column}"; rename all but one')
    if chosen.arrival_column is not None and file.columns.count(chosen.arrival_column) != 1:
        chosen = replace(chosen, arrival_column=None)
    return chosen


def _shorten(name: str, limit: int = 40) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _open(connection: Any, file: TraceFile, chosen: TraceFormat, strict: bool) -> ir.Table:
    """The wanted columns of one file as they are written: input, output, arrival_s."""
    path = glob.escape(str(file.path))
    wanted = {"input": chosen.input_column, "output": chosen.output_column}
    if chosen.arrival_column is not None:
        wanted["arrival"] = chosen.arrival_column
    try:
        if file.kind == "csv":
            # Columns go by position: headers may repeat a name or differ in case alone.
            table = connection.read_csv(
                path,
                columns={f"c{k}": "VARCHAR" for k in range(len(file.columns))},
                auto_detect=False,
                header=True,
                delim=file.delimiter,
                quote='"',
                escape='"',
                compression=file.compression,
                skip=file.blank_lines,
                **({} if strict else {"store_rejects": True, "rejects_limit": 0}),
            )
            wanted = {key: f"c{file.columns.index(name)}" for key, name in wanted.items()}
        elif file.kind == "parquet":
            _require_plain_types(file, (chosen.input_column, chosen.output_column))
            table = connection.read_parquet(path)
            # DuckDB renames columns that differ in case alone; their order stays.
            wanted = {key: table.columns[file.columns.index(x)] for key, x in wanted.items()}
        else:
            table = connection.read_json(
                path,
                columns=dict.fromkeys(set(wanted.values()), "VARCHAR"),
                format="array" if file.kind == "json array" else "newline_delimited",
                compression=file.compression,
                ignore_errors=not strict and file.kind == "json lines",
            )
    except duckdb.Error as error:
        raise InputError(f"{file.name}: cannot be read ({str(error).splitlines()[0]})") from error
    selected = table.select(**{key: table[name] for key, name in wanted.items()})
    for key, column in (("input", chosen.input_column), ("output", chosen.output_column)):
        kind = selected[key].type()
        if not (kind.is_numeric() or kind.is_string()) or kind.is_boolean():
            raise _wrong_type(file, column, kind)
    if chosen.arrival_column is not None:
        arrival_s = _seconds(selected.arrival, chosen.arrival_unit)
        selected = selected.mutate(arrival_s=arrival_s).drop("arrival")
    return selected.mutate(
        input=selected.input.cast("string"), output=selected.output.cast("string")
    )


def _require_plain_types(file: TraceFile, columns: tuple[str, str]) -> None:
    """DuckDB would take durations for counts, and does not name the type of a column of nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file.path)
    for column in columns:
        kind = schema.field(file.columns.index(column)).type
        if pa.types.is_temporal(kind) or pa.types.is_null(kind):
            raise _wrong_type(file, column, kind)


def _wrong_type(file: TraceFile, column: str, kind: object) -> InputError:
    return InputError(f'{file.name}: column "{column}" holds {kind}; lengths are whole numbers')


def _seconds(value: Any, unit: ArrivalUnit) -> Any:
    """Arrival time [s]; timestamps count from 1970-01-01 UTC."""
    if unit == "timestamp":
        epoch = ibis.timestamp("1970-01-01 00:00:00")
        moment = value if value.type().is_timestamp() else value.try_cast("timestamp")
        return moment.delta(epoch, unit="microsecond") / 1e6
    return value.try_cast("float64") / (1000.0 if unit == "milliseconds" else 1.0)


def _lengths(table: ir.Table) -> ir.Table:
    """Add the lengths as whole numbers and the code of what is wrong with them."""
    table = table.mutate(
        input_number=table.input.try_cast("float64"),
        output_number=table.output.try_cast("float64"),
    )
    table = table.mutate(
        input_problem=_problem(table.input, table.input_number),
        output_problem=_problem(table.output, table.output_number),
    )
    clean = table.input_problem == 0
    table = table.mutate(problem=clean.ifelse(table.output_problem, table.input_problem))
    valid = table.problem == 0
    return table.mutate(
        input_tokens=valid.ifelse(table.input_number, ibis.null("float64")).cast("int64"),
        output_tokens=valid.ifelse(table.output_number, ibis.null("float64")).cast("int64"),
    ).drop("input_number", "output_number")


def _problem(text: Any, number: Any) -> Any:
    """Code of what is wrong with a length, 0 if nothing is."""
    return ibis.cases(
        (text.isnull(), 1),
        (number.isnull() | number.isnan(), 2),
        (number < 0, 3),
        (number > MAX_TOKENS, 5),
        (number % 1 != 0, 4),
        else_=0,
    ).cast("int8")


def _describe_problem(file: TraceFile, chosen: TraceFormat, row: dict[str, Any]) -> InputError:
    side = "input" if row["input_problem"] else "output"
    column = chosen.input_column if side == "input" else chosen.output_column
    value, problem = row[side], PROBLEMS[row["problem"]]
    record = row["row"] + 1
    line = line_of_record(file, record)
    where = f"{file.name}:{line}" if line is not None else f"{file.name}: row {record}"
    said = "is missing" if value is None else f'is "{_shorten(value)}" ({problem})'
    return InputError(
        f"{where}: {column} {said}; lengths are counts, 0 or more; "
        "mend the row or pass --on-invalid skip"
    )


def describe_sources(files: Sequence[TraceFile], chosen: TraceFormat) -> tuple[dict[str, str], ...]:
    """Provenance of what was read, for a workload."""
    return tuple(
        {"name": file.name.rsplit("/", 1)[-1], "kind": file.kind, "format": chosen.name}
        for file in files
    )
