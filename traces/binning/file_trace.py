"""Traces in files, read by DuckDB.

All files together are one view, `requests`: nothing is read until something is asked of it, and
only the columns that the question needs are parsed.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from joulecast.traces.binning.sources import (
    files_of,
    require_readable,
    told_as_given,
    with_texts,
)
from joulecast.traces.binning.timing import TraceInTime
from joulecast.traces.binning.trace import Query, watched
from joulecast.traces.errors import InputError
from joulecast.traces.inputs import TraceInput, parts_of, trace_name
from joulecast.traces.reading.arrivals import VIEW_COLUMNS, ArrivalReading
from joulecast.traces.reading.faults import line_of_record, malformed_line
from joulecast.traces.reading.formats import TraceFormat, shorten
from joulecast.traces.reading.layout import (
    common_format,
    describe_sources,
    layout,
    timeless_files,
)
from joulecast.traces.reading.lengths import REQUESTS, Stored, succeeded, union, with_problems
from joulecast.traces.reading.options import DEFAULTS, OnProgress, ReadingOptions
from joulecast.traces.reading.problems import PROBLEMS
from joulecast.traces.reading.scan import create_view, too_little_memory
from joulecast.traces.reading.sniff import TraceFile

if TYPE_CHECKING:
    import numpy as np

    from joulecast.traces.requests import LengthArray, TimedRequests

_Answer = TypeVar("_Answer")

_ONE_FILE = "one_file"
_MEGABYTES_PER_CORE = 100
"""Every thread of DuckDB reads into buffers of its own, of 32 MB each."""

_TEXT_AS_TEXT = "SET disabled_optimizers = 'type_pushdown'"
"""Keeps DuckDB from reading CSV text as numbers at once, which is faster, but loses rows where it
cannot, or ends there. Where invalid rows are an error, it may end there."""


@dataclass(frozen=True)
class FileTrace(TraceInTime):
    """A trace in files, read by DuckDB.

    Attributes:
        database: The DuckDB that reads them.
        watch: Told of progress, if anyone is.
        timeless: Names of the files without arrival times, where others have them.
    """

    database: duckdb.DuckDBPyConnection = field(repr=False)
    watch: OnProgress | None = field(default=None, repr=False)
    timeless: tuple[str, ...] = ()

    def lengths(self) -> "LengthArray":
        """Lengths of the requests that did not fail, in the trace's order, shape (n, 2) [tokens].

        Raises:
            InputError: As in `ask`.
        """
        return _lengths(self.arrays(f"SELECT {_LENGTHS} FROM ({succeeded(self.stored)})"))

    def timed(self) -> "tuple[TimedRequests, ArrivalReading]":
        """The requests that did not fail, in the order in which they came, and what was read.

        With `on_invalid="skip"`, those without a time are left out; what was read counts them.

        Raises:
            InputError: As in `ask`; or it has no arrival times, a row lacks its own, or they lie
                decades apart.
        """
        import numpy as np

        from joulecast.traces.requests import TimedRequests

        reading = self.require_times()
        columns = self.arrays(
            f"SELECT {_LENGTHS}, {reading.sql} AS arrival_s FROM ({succeeded(self.stored)}) "
            "WHERE arrival_s IS NOT NULL"
        )
        arrival_s = np.asarray(columns["arrival_s"], dtype=np.float64)
        reading = replace(reading, out_of_order=int((np.diff(arrival_s) < 0).sum()))
        return TimedRequests.in_order(arrival_s, _lengths(columns)), reading

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            InputError: A file broke off or has a row that is none; file and line are named.
        """
        return self.select(query.sql)

    def select(self, sql: str) -> list[dict[str, Any]]:
        """The rows of the answer to a question that is only asked of files.

        Raises:
            InputError: As in `ask`.
        """

        def rows() -> list[dict[str, Any]]:
            answer = self.database.execute(sql)
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

        return self._answer(rows)

    def arrays(self, sql: str) -> "dict[str, np.ma.MaskedArray | np.ndarray]":
        """The columns of the answer to a question that is only asked of files.

        Missing values are masked.

        Raises:
            InputError: As in `ask`.
        """
        return self._answer(lambda: self.database.execute(sql).fetchnumpy())

    def _answer(self, run: Callable[[], _Answer]) -> _Answer:
        """What a question to the database gives; its errors become ours."""
        database = self.database
        try:
            return watched(
                run, lambda: database.query_progress() / 100, self.watch, database.interrupt
            )
        except duckdb.OutOfMemoryException as error:
            raise too_little_memory(self.name) from error
        except duckdb.Error as error:
            if "Error when converting column" in str(error):
                raise (self._first_invalid_row() or self._translate(str(error))) from error
            raise self._translate(str(error)) from error

    def malformed_rows(self) -> int:
        """Rows that DuckDB could not split into fields and left out (`on_invalid="skip"`).

        Raises:
            InputError: Such a row spans lines, a stray quote having swallowed whole rows, or is so
                long that DuckDB loses its place in the file.
        """
        if self.on_invalid == "error":
            return 0
        # Every query on `requests` scans anew, and each scan notes its rejects. A rejected line may
        # begin with the end of the line before it.
        rejects = (
            "SELECT DISTINCT file_path, line, trim(csv_line, chr(13) || chr(10)) AS text, "
            "CASE WHEN error_type = 'UNQUOTED VALUE' OR contains(text, chr(10)) "
            "OR contains(text, chr(13)) THEN 'a stray quote swallows rows' "
            "WHEN error_type = 'LINE SIZE OVER MAXIMUM' THEN 'a row of over 2 MB' END AS fault "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"
        )
        try:
            rows = self.database.execute(rejects).fetchall()
        except duckdb.CatalogException:  # no CSV file was read
            return 0
        for path, line, _, fault in sorted(rows, key=lambda row: row[:2]):
            if fault:
                raise self._translate(f"CSV Error on Line: {line}\n{path}: {fault}")
        return len({(path, line) for path, line, _, _ in rows})

    def first_problem(self) -> InputError:
        """The error that names the first invalid row. Call it only when there is one."""
        return self._first_invalid_row() or InputError(f"{self.name}: has invalid lengths")

    def _first_invalid_row(self) -> InputError | None:
        """The error for it, with its line; None if every row is valid."""
        self.database.execute(_TEXT_AS_TEXT)
        for file in self.files:
            stored, view = self.one_file(file)
            numbered = (
                f"SELECT *, ROW_NUMBER() OVER () AS number "
                f"FROM ({with_problems(stored, view)}) AS rows"
            )
            rows = self.select(
                f"SELECT * FROM ({numbered}) WHERE problem <> 0 ORDER BY number LIMIT 1"
            )
            if rows:
                # Rows that are none were left out here, and shift the count.
                line = line_of_record(file, rows[0]["number"])
                if line is not None and (fault := malformed_line(file, self.format, line)):
                    return self._malformed(file, *fault)
                return _describe_problem(file, self.format, rows[0], line)
        return None

    def one_file(self, file: TraceFile) -> tuple[Stored, str]:
        """How a file alone is stored, and the view of it; its broken rows are left out."""
        stored = create_view(self.database, _ONE_FILE, [file], self.format, is_strict=False)
        return stored, _ONE_FILE

    def _malformed(self, file: TraceFile, line: int, reason: str) -> InputError:
        remedy = "; mend it or pass --on-invalid skip" if self.on_invalid == "error" else ""
        return InputError(f"{file.name}:{line}: the row {reason}{remedy}")

    def _translate(self, message: str) -> InputError:
        """The error for what DuckDB said, with our own line where we can find one."""
        named = [file for file in self.files if str(file.path.absolute()) in message]
        # One name may be part of another.
        named = sorted(named, key=lambda file: -len(str(file.path)))[:1]
        if not named:  # DuckDB names text files, but not Parquet files whose pages are damaged
            parquet = [file for file in self.files if file.kind == "parquet"]
            named = [file for file in parquet if self._is_damaged(file)] or parquet
            named = named or list(self.files)
        for file in named:
            if fault := malformed_line(file, self.format):
                return self._malformed(file, *fault)
        line = re.search(r"CSV Error on Line: (\d+)", message)
        where = f":{line[1]}" if line else ""
        return InputError(f"{named[0].name}{where}: cannot be read ({_gist(message)})")

    def _is_damaged(self, file: TraceFile) -> bool:
        """Whether a file cannot be read by itself."""
        try:
            create_view(self.database, _ONE_FILE, [file], self.format, is_strict=True)
            # Of counts and extremes, the footer would know the answer.
            query = "SELECT bit_xor(hash(input)), bit_xor(hash(output)) FROM one_file"
            self.database.execute(query).fetchall()
        except (duckdb.Error, InputError):
            return True
        return False


_LENGTHS = (
    "CAST(input_tokens AS INTEGER) AS input_tokens, CAST(output_tokens AS INTEGER) AS output_tokens"
)
"""Lengths are counts within 32 bits, which halves what they take."""


def _lengths(columns: "Mapping[str, np.ma.MaskedArray | np.ndarray]") -> "LengthArray":
    """Shape (n, 2) [tokens]."""
    import numpy as np

    pair = [np.asarray(columns[f"{side}_tokens"], dtype=np.int64) for side in ("input", "output")]
    return np.stack(pair, axis=1)


_REASONS = re.compile(
    r"Expected Number of Columns.*|Maximum line size.*exceeded|Value with unterminated quote.*"
    r"|Invalid unicode.*|a stray quote.*|a row of over.*"
)


def _gist(message: str) -> str:
    """What DuckDB says is wrong, without the data, advice and settings that it lists."""
    if reason := _REASONS.search(message):
        return reason[0].strip()
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return shorten(first.split(" Try ")[0].split("; Try")[0], 200)


@contextmanager
def open_trace(source: TraceInput, options: ReadingOptions = DEFAULTS) -> Iterator[FileTrace]:
    """Open a trace: CSV, JSON lines or Parquet, plain or packed with gzip or zstd; or tables.

    Args:
        source: A file, a glob (files of several kinds may mix), "-" for standard input, an address
            (http, https, s3), which is copied into a temporary folder first, a table in memory, or
            a list of these.
        options: How to read it.

    Yields:
        The trace, to be asked while the context is open; so far, only the head of each file has
        been looked at.

    Raises:
        InputError: No such file, not a trace, or the columns are not there.
    """
    sources_given, name = parts_of(source), trace_name(source)
    options = with_texts(options, sources_given)
    with (
        tempfile.TemporaryDirectory(prefix="joulecast-") as folder,
        told_as_given(sources_given),
    ):
        database = _connect(folder, options.memory_limit)
        try:
            files = files_of(sources_given, folder, database)
            trace_format = common_format(name, files, options)
            require_readable(files, trace_format)
            if options.on_invalid == "skip":
                database.execute(_TEXT_AS_TEXT)
            stored = _view_all(database, files, trace_format, options.on_invalid == "error")
            sources = describe_sources(files, trace_format)
            yield FileTrace(
                name,
                options.on_invalid,
                sources,
                stored,
                files,
                trace_format,
                options.arrival_unit,
                database,
                options.watch,
                timeless_files(files, options) if trace_format.arrival_column is None else (),
            )
        finally:
            database.close()


def _view_all(
    database: duckdb.DuckDBPyConnection,
    files: Sequence[TraceFile],
    trace_format: TraceFormat,
    is_strict: bool,
) -> Stored:
    """Make `REQUESTS`: the rows of all files in their order, neighbours of one layout together."""
    runs = [list(run) for _, run in groupby(files, lambda file: layout(file, trace_format))]
    if len(runs) == 1:
        return create_view(database, REQUESTS, files, trace_format, is_strict)
    views = {
        view: create_view(database, view, run, trace_format, is_strict)
        for view, run in ((f"{REQUESTS}_{k}", run) for k, run in enumerate(runs))
    }
    select, stored = union(views, VIEW_COLUMNS if trace_format.arrival_column is not None else ())
    database.execute(f"CREATE TEMP VIEW {REQUESTS} AS {select}")
    return stored


def _connect(folder: str, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    settings = {
        "autoinstall_known_extensions": False,
        "temp_directory": folder,
        "timezone": "UTC",  # of timestamps without an offset
    }
    database = duckdb.connect(config=settings)
    # Makes query_progress() answer; the bar itself is ours. In a notebook without ipywidgets DuckDB
    # refuses that, and the progress stays unknown.
    with contextlib.suppress(duckdb.InvalidInputException):
        database.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    if memory_limit is None:
        # Without a limit DuckDB keeps what it read of many files until memory is full.
        memory_limit = f"{_MEGABYTES_PER_CORE * max(2, os.cpu_count() or 1)}MB"
    try:
        if not memory_limit.strip()[:1].isdigit():  # to DuckDB, "none" and -1 are no bound
            raise duckdb.ParserException
        database.execute(f"SET memory_limit = '{memory_limit.replace(chr(39), '')}'")
    except duckdb.Error as error:
        database.close()
        raise InputError(
            f'"{memory_limit}" is no size of memory; give one such as 500MB'
        ) from error
    return database


def _describe_problem(
    file: TraceFile, trace_format: TraceFormat, row: dict[str, Any], line: int | None
) -> InputError:
    side = "input" if row["input_problem"] else "output"
    column = trace_format.input_column if side == "input" else trace_format.output_column
    value, problem = row[side], PROBLEMS[row["problem"]]
    where = file.place_of(row["number"], line)
    said = "is missing" if value is None else f'is "{shorten(str(value))}" ({problem})'
    return InputError(
        f"{where}: {column} {said}; lengths are counts, 0 or more; "
        "mend the row or pass --on-invalid skip"
    )
