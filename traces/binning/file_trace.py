"""Traces in files, read by DuckDB.

All files together are one view, `requests`: nothing is read until something is asked of it, and
only the columns that the question needs are parsed.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from joulecast.traces.binning.connecting import ROWS, connect, view_all
from joulecast.traces.binning.prefixes import with_prefix_cache
from joulecast.traces.binning.sources import (
    files_of,
    require_readable,
    row_of_table,
    told_as_given,
    told_in_python,
    with_texts,
)
from joulecast.traces.binning.timing import TraceInTime
from joulecast.traces.binning.totals import (
    is_labelled,
    lengths_of_total,
    stored_as,
    sum_of_others,
    values_on,
)
from joulecast.traces.binning.trace import Query, watched
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import TraceInput, parts_of, trace_name
from joulecast.traces.reading.arrivals import ArrivalReading, group_in_time, is_dated, name_in_time
from joulecast.traces.reading.faults import describe_problem, gist, line_of_record, malformed_line
from joulecast.traces.reading.layout import common_format, describe_sources, timeless_files
from joulecast.traces.reading.lengths import REQUESTS, Stored, succeeded, with_problems, with_tokens
from joulecast.traces.reading.options import DEFAULTS, GROUPS_IN_TIME, OnProgress, ReadingOptions
from joulecast.traces.reading.rows.decide import decide
from joulecast.traces.reading.rows.reading import TotalRow, TraceReading
from joulecast.traces.reading.rows.rules import REASONS, RowRules
from joulecast.traces.reading.scan import create_view, too_little_memory
from joulecast.traces.reading.sniff import TraceFile
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np

_Answer = TypeVar("_Answer")

_ONE_FILE, _ONE_FILE_ROWS, _READ = "one_file", "one_file_rows", "joulecast_rows_read"

_TEXT_AS_TEXT = "SET disabled_optimizers = 'type_pushdown'"
"""Keeps DuckDB from reading CSV text as numbers at once, which is faster, but loses rows where it
cannot, or ends there. Where invalid rows are an error, it may end there."""


@dataclass(frozen=True)
class FileTrace(TraceInTime):
    """A trace in files, read by DuckDB.

    Attributes:
        files: The files behind it.
        database: The DuckDB that reads them.
        watch: Told of progress, if anyone is.
        rules: What its rows mean; None where each is a request whose lengths two columns hold.
        total: The row that has the sums of all others, if there is one.
        group_by: What requests are grouped by, as the user says.
        prefix_cache: Size of the cache of prefixes that prompts are held against [tokens].
        timeless: Names of the files without arrival times, where others have them.
    """

    files: tuple[TraceFile, ...]
    database: duckdb.DuckDBPyConnection = field(repr=False)
    watch: OnProgress | None = field(default=None, repr=False)
    rules: RowRules | None = None
    total: TotalRow | None = None
    group_by: str | None = None
    prefix_cache: int | None = None
    timeless: tuple[str, ...] = ()

    def with_rules(self) -> "FileTrace":
        """The same, after a look at what its rows mean; as it is where that is plain.

        Raises:
            InputError: As in `ask`, or it cannot be told.
        """
        if self.format.is_plain:
            return self
        # Every further question is asked of the table, so that files are read once.
        self._answer(lambda: self.database.execute(f"CREATE TEMP TABLE {_READ} AS FROM {ROWS}"))
        trace_format = with_prefix_cache(
            self.database, self.name, self.format, _READ, self.prefix_cache or 0
        )
        rules = decide(self.select, self.name, trace_format, self.stored, _READ)
        if rules.has_counts:
            rules = replace(rules, total=self._total_of_counts())
        self.database.execute(f"CREATE TEMP VIEW {REQUESTS} AS {rules.requests(_READ)}")
        return replace(self, format=rules.format, stored=rules.requests_stored, rules=rules)

    def _total_of_counts(self) -> int | None:
        """Which row, from 0, sums all others that sum requests; None if none calls itself so."""
        (row,) = self.select(sum_of_others(_READ))
        if row["number"] is None:
            return None
        _, is_it = self._labelled_total(int(row["number"]) + 1)
        return int(row["number"]) if is_it else None

    def _labelled_total(self, number: int) -> tuple[int | None, bool]:
        """The line of a row, 1 being the first, and whether that says it is the sum of others."""
        if len(self.files) > 1:
            return None, False
        (file,) = self.files
        line = line_of_record(file, number)
        values = row_of_table(file, number, self.select) or values_on(file, line)
        return line, values is not None and is_labelled(values, self.format)

    def reading(self, workload: Workload) -> TraceReading:
        """What was read, told with the workload that was made of it."""
        requests = super().reading(workload).requests
        said = TraceReading.of(self.format, self.rules, requests).with_total(self.total)
        forms = dict.fromkeys(file.form for file in self.files if file.form is not None)
        said = replace(said, format=" as ".join((said.format, *forms))) if forms else said
        return told_in_python(said, self.files)

    @property
    def has_all(self) -> bool:
        """Whether no row was left out since it sums all others."""
        return self.total is None or not self.total.is_left_out

    def without_total(self, workload: Workload) -> "FileTrace":
        """The same, without a row that is told by its label to sum all others.

        Args:
            workload: All rows of the trace, such a row included.

        Returns:
            This trace, with `total` where a row has the sums of all others; the row is left out if
            it calls itself so, or has nothing beside its numbers.

        Raises:
            InputError: As in `ask`.
        """
        lengths = lengths_of_total(workload)
        if lengths is None:
            return self
        is_it = "input_tokens = {} AND output_tokens = {}".format(*lengths)
        numbered = with_tokens(self.stored, self.numbered(REQUESTS))
        rows = self.select(f"SELECT number FROM ({numbered}) AS rows WHERE {is_it} LIMIT 2")
        if len(rows) != 1:
            return self
        number = int(rows[0]["number"])
        line, is_left_out = self._labelled_total(number)
        total = TotalRow(number if line is None else line, lengths[0], is_left_out)
        if is_left_out:
            others = f"SELECT * FROM {REQUESTS} WHERE NOT ({stored_as(lengths)})"
            self.database.execute(f"CREATE TEMP TABLE {REQUESTS}_others AS {others}")
            self.database.execute(
                f"CREATE OR REPLACE TEMP VIEW {REQUESTS} AS FROM {REQUESTS}_others"
            )
        return replace(self, total=total)

    def why_empty(self) -> str:
        """Why it has no requests, where it has none."""
        left_out = {} if self.rules is None else self.rules.left_out
        told = [f"{rows:,} rows {REASONS[reason]}" for reason, rows in left_out.items()]
        return f"has no request: {'; '.join(told)}" if told else super().why_empty()

    def grouping(self) -> str | None:
        """The group of a request, as SQL; None if all are one.

        Raises:
            InputError: They are to be grouped by when they came, and nobody knows.
        """
        if self.group_by not in GROUPS_IN_TIME:
            return None if self.format.roles.group is None else "COALESCE(group_name, '(none)')"
        times = self.require_times()
        if self.group_by == "month" and not is_dated(times):
            raise InputError(
                f"{self.name}: its times have no dates, so there are no months; group by week, "
                "day or hour"
            )
        return group_in_time(times, self.group_by)

    def group_name(self, value: Any) -> str:
        """What a group is called, by its value in `grouping`."""
        if value is None or self.group_by not in GROUPS_IN_TIME:
            return super().group_name(value)
        return name_in_time(self.require_times(), self.group_by, value)

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

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            InputError: A file broke off or has a row that is none; file and line are named.
        """

        def rows() -> list[dict[str, Any]]:
            answer = self.database.execute(query.sql)
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

        return self._answer(rows)

    def arrays(
        self, columns: str, condition: str, is_numbered: bool = False
    ) -> "dict[str, np.ma.MaskedArray | np.ndarray]":
        """Columns of the requests that did not fail; arguments and errors as for any trace."""
        requests = succeeded(self.stored, self.numbered(REQUESTS) if is_numbered else REQUESTS)
        sql = f"SELECT {columns} FROM ({requests}) AS requests WHERE {condition}"
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
            stored, view = self._one_file(file)
            rows = self.select(
                f"SELECT * FROM ({with_problems(stored, self.numbered(view))}) AS rows "
                "WHERE problem <> 0 ORDER BY number LIMIT 1"
            )
            if rows:
                # Rows that are none were left out here, and shift the count.
                line = line_of_record(file, rows[0]["number"])
                if line is not None and (fault := malformed_line(file, self.format, line)):
                    return self._malformed(file, *fault)
                return describe_problem(file, self.format, rows[0], line)
        return None

    def first_row(self, condition: str) -> tuple[str, dict[str, Any]]:
        """The first request of which something is true, after the file and line it begins on."""
        for file in self.files:
            stored, view = self._one_file(file)
            rows = self.select(
                f"SELECT * FROM ({succeeded(stored, self.numbered(view))}) AS rows "
                f"WHERE {condition} ORDER BY number LIMIT 1"
            )
            if rows:
                number = rows[0]["number"]
                return file.place_of(number, line_of_record(file, number)), rows[0]
        return self.name, {"arrival_text": None}

    def _one_file(self, file: TraceFile) -> tuple[Stored, str]:
        """How a file alone is stored, and the view of it; its broken rows are left out."""
        if self.rules is None:
            view = _ONE_FILE if self.format.is_plain else _ONE_FILE_ROWS
            return create_view(self.database, view, [file], self.format, is_strict=False), view
        create_view(self.database, _ONE_FILE_ROWS, [file], self.format, is_strict=False)
        table = f"{_ONE_FILE_ROWS}_read"
        self.database.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM {_ONE_FILE_ROWS}")
        requests = self.rules.requests(table)
        self.database.execute(f"CREATE OR REPLACE TEMP VIEW {_ONE_FILE} AS {requests}")
        return self.stored, _ONE_FILE

    def numbered(self, view: str) -> str:
        """The requests of a view of one file, with `number`: which row of the file each is."""
        number = "ROW_NUMBER() OVER ()" if self.rules is None else "row + 1"
        return f"(SELECT *, {number} AS number FROM {view}) AS numbered"

    def _malformed(self, file: TraceFile, line: int, reason: str) -> InputError:
        remedy = "; mend it or pass --on-invalid skip" if self.on_invalid == "error" else ""
        return InputError(f"{file.place(line)}: the row {reason}{remedy}")

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
        return InputError(f"{named[0].name}{where}: cannot be read ({gist(message)})")

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


@contextmanager
def open_trace(source: TraceInput, options: ReadingOptions = DEFAULTS) -> Iterator[FileTrace]:
    """Open a trace: CSV, JSON lines or Parquet, plain or packed with gzip or zstd; or tables.

    What is of a form of `traces.reading.rewriting.forms` is written anew as rows first.

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
    parts, name = parts_of(source), trace_name(source)
    options = with_texts(options, parts)
    with tempfile.TemporaryDirectory(prefix="joulecast-") as folder, told_as_given(parts):
        database = connect(folder, options.memory_limit)
        try:
            files = files_of(parts, folder, options, database)
            trace_format = common_format(name, files, options)
            require_readable(files, trace_format)
            if options.on_invalid == "skip":
                database.execute(_TEXT_AS_TEXT)
            stored = view_all(database, files, trace_format, options.on_invalid == "error")
            sources = describe_sources(files, trace_format)
            trace = FileTrace(
                name,
                options.on_invalid,
                sources,
                stored,
                trace_format,
                options.arrival_unit,
                files,
                database,
                options.watch,
                group_by=options.group_by,
                prefix_cache=options.prefix_cache,
                timeless=timeless_files(files, trace_format, options),
            )
            yield trace.with_rules()
        finally:
            database.close()
