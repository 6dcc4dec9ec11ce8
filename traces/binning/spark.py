"""Traces read by Spark, on a cluster or on this machine, through PySpark.

Lengths are read by Spark's SQL, times by the DuckDB of each worker, as everywhere.
"""

import re
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from joulecast.traces.binning.cluster import Cluster, said
from joulecast.traces.binning.timing import TraceInTime
from joulecast.traces.binning.trace import Query, first_line, length_kind
from joulecast.traces.errors import InputError
from joulecast.traces.files import shown_address
from joulecast.traces.reading.arrivals import VIEW_COLUMNS, with_arrivals
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.layout import common_format, describe_sources, layout, lengths_alone
from joulecast.traces.reading.lengths import REQUESTS, Stored, as_stored, succeeded, union
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.rewriting.step import describe_as_is
from joulecast.traces.reading.scan import DATABASE_SETTINGS, create_view
from joulecast.traces.reading.sniff import TraceFile, find_files

if TYPE_CHECKING:
    import numpy as np

_Answer = TypeVar("_Answer")

_SIDES = "input", "output"
_CORRUPT = "_corrupt"
_HEAD_LINES = 100

_PLACES = {
    # As an address, in which a plus is no blank.
    "source_file": "url_decode(replace(input_file_name(), '+', '%2B'))",
    "source_block": "input_file_block_start()",
    "source_row": "monotonically_increasing_id()",
}
"""Where a row lies, by which rows come in the order of files and lines: Spark reads in any."""


@dataclass(frozen=True)
class SparkTrace(TraceInTime):
    """A trace that Spark reads.

    Attributes:
        session: The Spark session that has it as `REQUESTS`.
    """

    session: Any = field(repr=False)

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            InputError: Spark could not read a file to its end.
        """
        return self._answer(query.sql, lambda frame: [row.asDict() for row in frame.collect()])

    def arrays(
        self, columns: str, condition: str, is_numbered: bool = False
    ) -> "dict[str, np.ndarray]":
        """Columns of the requests that did not fail, in the order of files and rows.

        Args:
            columns: As SQL.
            condition: Which requests, as SQL.
            is_numbered: Rows have no numbers on Spark.

        Raises:
            InputError: As in `ask`, or numbers are asked for.
        """
        if is_numbered:
            raise InputError(f"{self.name}: Spark numbers no rows; read it without --spark")
        table = self._answer(
            f"SELECT {columns} FROM ({succeeded(self.stored)}) AS requests WHERE {condition} "
            f"ORDER BY {', '.join(_PLACES)}",
            lambda frame: frame.toArrow(),
        )
        return {name: table[name].to_numpy() for name in table.column_names}

    def first_row(self, condition: str) -> tuple[str, dict[str, Any]]:
        """The first request of which something is true, after the file that has it."""
        (row,) = self.select(
            f"SELECT * FROM ({succeeded(self.stored)}) AS rows WHERE {condition} "
            f"ORDER BY {', '.join(_PLACES)} LIMIT 1"
        )
        return shown_address(row["source_file"].removeprefix("file://")), row

    def _answer(self, sql: str, take: Callable[[Any], _Answer]) -> _Answer:
        """What a question gives; Spark's errors become ours."""
        try:
            return take(self.session.sql(_in_spark(sql)))
        except Exception as error:
            raise InputError(f"{self.name}: cannot be read ({said(error)})") from error


def open_spark(source: str, cluster: Cluster, options: ReadingOptions) -> SparkTrace:
    """Open a trace on Spark.

    Args:
        source: A file or a glob that driver and workers find under the same path, or an address of
            a file system that Spark knows, such as hdfs:// or s3a://, whose files are all alike.
        cluster: Where it is read; the trace can be asked for as long as that runs.
        options: How to read it; without `memory_limit` and `watch`.

    Raises:
        InputError: No PySpark, no Java, no cluster, no such files, or they are not a trace.
    """
    options.require_elsewhere()
    session = cluster.session
    files: tuple[TraceFile, ...]
    if "://" in source:
        files = (_describe_far(session, source, options),)
    else:
        files = tuple(
            describe_as_is(path, name, options, "Spark") for path, name in find_files(source)
        )
    trace_format = lengths_alone(source, common_format(source, files, options), "Spark")
    try:
        stored = _view_all(session, files, trace_format)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{source}: Spark cannot read it ({first_line(error)})") from error
    return SparkTrace(
        source,
        options.on_invalid,
        describe_sources(files, trace_format),
        stored,
        trace_format,
        options.arrival_unit,
        session,
    )


def _describe_far(session: Any, source: str, options: ReadingOptions) -> TraceFile:
    """What lies behind an address, as the first lines that Spark reads of it tell."""
    try:
        lines = session.sparkContext.textFile(source).take(_HEAD_LINES)
        if lines and lines[0].startswith("PAR1"):
            columns = tuple(session.read.parquet(source).columns)
            return TraceFile(Path(source), source, "parquet", "none", columns)
    except Exception as error:
        raise InputError(f"{source}: Spark cannot read it ({first_line(error)})") from error
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / "head"
        head.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return replace(describe_as_is(head, source, options, "Spark"), path=Path(source))


def _view_all(session: Any, files: Sequence[TraceFile], trace_format: TraceFormat) -> Stored:
    """Make `REQUESTS`: the rows of all files, those of one layout together."""
    for file in files:
        _require_name(file)
    groups: dict[Hashable, list[TraceFile]] = {}
    for file in files:
        groups.setdefault(layout(file, trace_format), []).append(file)
    views = {
        f"{REQUESTS}_{k}": _view(session, f"{REQUESTS}_{k}", group, trace_format)
        for k, group in enumerate(groups.values())
    }
    times = VIEW_COLUMNS if trace_format.arrival_column is not None else ()
    select, stored = union(views, ["malformed", *_PLACES, *times])
    session.sql(_in_spark(select)).createOrReplaceTempView(REQUESTS)
    return stored


def _view(session: Any, view: str, files: Sequence[TraceFile], trace_format: TraceFormat) -> Stored:
    """Make a view of the lengths in files of one layout, when they come, and where they lie."""
    file = files[0]
    frame, paths = _frame(session, files, trace_format)
    values = {side: ".".join(map(_ticked, path)) for side, path in paths.items()}
    types = frame.selectExpr(*(f"{values[side]} AS {side}" for side in _SIDES)).dtypes
    kinds = {side: length_kind(file.name, side, type_name) for side, type_name in types}
    columns = {side: as_stored(values[side], kinds[side]) for side in _SIDES}
    columns["malformed"] = f"{_CORRUPT} IS NOT NULL" if file.kind == "csv" else "FALSE"
    columns |= _PLACES
    if "arrival" in values:
        columns["arrival"] = _moment(file, trace_format, values["arrival"])
    frame = frame.selectExpr(*(f"{value} AS {name}" for name, value in columns.items()))
    if "arrival" in values:
        frame = _with_times(frame)
    frame.createOrReplaceTempView(view)
    return Stored(kinds["input"], kinds["output"], has_malformed=True, is_duckdb=False)


def _moment(file: TraceFile, trace_format: TraceFormat, value: str) -> str:
    """The column of arrival times, as SQL; Spark takes nanoseconds since 1970 for whole numbers."""
    types = dict(zip(file.columns, file.types, strict=False))
    kind = types.get(str(trace_format.arrival_column), "")
    if "NANOS=NanoSeconds" not in kind:
        return value
    moment = f"timestamp_micros(({value} + 500) DIV 1000)"
    return moment if "isAdjustedToUTC=1" in kind else f"CAST({moment} AS TIMESTAMP_NTZ)"


def _with_times(frame: Any) -> Any:
    """Rows with `VIEW_COLUMNS` in the place of `arrival`."""
    from pyspark.sql.types import StructType

    schema = StructType(list(frame.drop("arrival").schema))
    for name, type_name in zip(
        VIEW_COLUMNS, ("double", "double", "integer", "string"), strict=True
    ):
        schema.add(name, type_name)
    return frame.mapInArrow(_read_times, schema)


def _read_times(batches: Iterable[Any]) -> Iterator[Any]:
    """Times as DuckDB reads them of files; this runs on Spark's workers."""
    # On one thread rows keep their order.
    with duckdb.connect(config={**DATABASE_SETTINGS, "threads": 1}) as database:
        for batch in batches:
            database.register("rows_of_batch", batch)
            (type_name,) = database.table("rows_of_batch").select("arrival").types
            select = with_arrivals({}, "arrival", str(type_name), "rows_of_batch")
            times = database.sql(select).to_arrow_table()
            with_times = batch.drop_columns(["arrival"])
            for name in VIEW_COLUMNS:
                with_times = with_times.append_column(name, times[name].combine_chunks())
            yield with_times


def _frame(
    session: Any, files: Sequence[TraceFile], trace_format: TraceFormat
) -> tuple[Any, dict[str, KeyPath]]:
    """What Spark reads of files of one layout, and where lengths and times lie in it."""
    file = files[0]
    locations = [_location(part) for part in files]
    columns = dict(zip((*_SIDES, "arrival"), trace_format.columns, strict=False))
    if file.kind == "csv":
        _require_rows_on_lines(session, file.name, locations)
        texts = ", ".join(f"c{k} STRING" for k in range(len(file.columns)))
        frame = session.read.csv(
            locations,
            schema=f"{texts}, {_CORRUPT} STRING",
            header=True,
            sep=file.delimiter,
            quote='"',
            escape='"',
            mode="PERMISSIVE",
            columnNameOfCorruptRecord=_CORRUPT,
        )
        return frame, {side: (f"c{file.columns.index(name)}",) for side, name in columns.items()}
    if file.kind == "parquet":
        if not any("://" in part.name for part in files):
            # Spark would take nanoseconds for counts.
            create_view(duckdb.connect(), REQUESTS, files, trace_format, is_strict=True)
        paths = {side: file.path_to(name) for side, name in columns.items()}
        return session.read.parquet(*locations), paths
    if file.kind == "json lines":
        paths = {side: file.path_to(name) for side, name in columns.items()}
        schema = _fields(key_tree(file.name, paths.values()), " ")
        return session.read.json(locations, schema=schema), paths
    raise InputError(f"{file.name}: is one JSON array; Spark needs a request per line")


def _fields(tree: Tree, between: str) -> str:
    """Wanted keys and their types as Spark's schemas have them, which are `between` them."""
    return ", ".join(
        f"{_ticked(key)}{between}"
        + ("STRING" if below is None else f"STRUCT<{_fields(below, ': ')}>")
        for key, below in tree.items()
    )


def _in_spark(sql: str) -> str:
    """A query in DuckDB's dialect, in that of Spark."""
    import sqlglot

    (translated,) = sqlglot.transpile(sql, read="duckdb", write="spark")
    return str(translated)


def _ticked(name: str) -> str:
    """A name as Spark's SQL."""
    return f"`{name.replace('`', '``')}`"


def _require_name(file: TraceFile) -> None:
    """Spark knows packed files by their names alone."""
    ending = {"gzip": ".gz", "zstd": ".zst"}.get(file.compression, "")
    packed = file.name.endswith((".gz", ".zst", ".bz2", ".xz", ".lz4", ".snappy"))
    if not file.name.endswith(ending) or (packed and not ending and "://" not in file.name):
        what = f"is packed with {file.compression}" if ending else "is not packed"
        raise InputError(f"{file.name}: {what}, and Spark goes by the name; rename it")
    if Path(file.name).name.startswith((".", "_")):
        raise InputError(f"{file.name}: Spark hides files of such a name; rename it")


def _require_rows_on_lines(session: Any, name: str, paths: Sequence[str]) -> None:
    """Refuse what splitting at line ends would misread, and files whose columns differ.

    Spark splits CSV at every line end; within quotes it would make rows of parts of rows.
    """
    lines = session.read.text(list(paths))
    odd = lines.filter("((length(value) - length(replace(value, '\"', ''))) & 1) = 1").limit(1)
    if odd.count():
        raise InputError(
            f"{name}: has a line with an odd number of quotes: a quoted line break, which Spark "
            "does not read, or a stray quote; mend it or bin the file with DuckDB"
        )
    if "://" in name:
        heads = {session.sparkContext.textFile(path).first() for path in lines.inputFiles()}
        if len(heads) > 1:
            raise InputError(f"{name}: its files have different headers; bin them apart")


def _location(file: TraceFile) -> str:
    """A path as Spark takes it: an address, its pattern characters escaped where they are none."""
    if "://" in file.name:
        return file.name
    # Links are not followed, or files would come in another order.
    return "file://" + re.sub(r"([\\{}\[\]*?])", r"\\\1", str(file.path.absolute()))
