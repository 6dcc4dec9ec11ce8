"""Traces read by Spark, on a cluster or on this machine, through PySpark."""

import re
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from joulecast.traces.binning.trace import Query, Trace, first_line, length_kind
from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.layout import common_format, describe_sources, layout
from joulecast.traces.reading.lengths import REQUESTS, Stored, as_stored, union
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.rewriting.step import describe_as_is
from joulecast.traces.reading.scan import create_view
from joulecast.traces.reading.sniff import TraceFile, find_files

_CORRUPT = "_corrupt"
_HEAD_LINES = 100
_START_SETTINGS = {
    "spark.app.name": "joulecast",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}
_SETTINGS = {
    "spark.sql.caseSensitive": "true",
    # With pruning, a CSV row is only split as far as the wanted columns, whatever follows.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
}


@dataclass(frozen=True)
class SparkTrace(Trace):
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
        try:
            return [row.asDict() for row in self.session.sql(_in_spark(query.sql)).collect()]
        except Exception as error:
            raise InputError(f"{self.name}: cannot be read ({first_line(error)})") from error


@contextmanager
def open_spark(source: str, master: str, options: ReadingOptions) -> Iterator[Trace]:
    """Open a trace on Spark.

    Args:
        source: A file or a glob that driver and workers find under the same path, or an address of
            a file system that Spark knows, such as hdfs:// or s3a://, whose files are all alike.
        master: Spark's master URL, such as "spark://host:7077", "yarn" or "local[2]".
        options: How to read it; without `memory_limit` and `watch`.

    Yields:
        The trace; only the sums of its cells will come back from the workers.

    Raises:
        InputError: No PySpark, no Java, no cluster, no such files, or they are not a trace.
    """
    options.require_elsewhere()
    session, is_ours = _session(master)
    try:
        files: tuple[TraceFile, ...]
        if "://" in source:
            files = (_describe_far(session, source, options),)
        else:
            files = tuple(
                describe_as_is(path, name, options, "Spark") for path, name in find_files(source)
            )
        trace_format = common_format(source, files, options)
        try:
            stored = _view_all(session, files, trace_format)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{source}: Spark cannot read it ({first_line(error)})") from error
        sources = describe_sources(files, trace_format)
        yield SparkTrace(source, options.on_invalid, sources, stored, session)
    finally:
        if is_ours:
            session.stop()


def _session(master: str) -> tuple[Any, bool]:
    """A session of our own, and whether it may be stopped: where Spark runs already, it goes on."""
    try:
        import sqlglot  # noqa: F401 - its questions need it
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            f"Spark needs {error.name}; install it with: pip install 'joulecast[spark]'"
        ) from error
    running = SparkSession.getActiveSession()
    if running is not None and running.sparkContext.master != master:
        raise InputError(
            f"Spark runs here already, with the master {running.sparkContext.master}; take that or "
            "stop it"
        )
    builder = SparkSession.builder.master(master)
    for key, value in _START_SETTINGS.items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate() if running is None else running.newSession()
        for key, value in _SETTINGS.items():
            session.conf.set(key, value)
    except Exception as error:
        raise InputError(f"Spark does not start with {master} ({first_line(error)})") from error
    return session, running is None


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
    select, stored = union(views, ["malformed"])
    session.sql(_in_spark(select)).createOrReplaceTempView(REQUESTS)
    return stored


def _view(session: Any, view: str, files: Sequence[TraceFile], trace_format: TraceFormat) -> Stored:
    """Make a view of the lengths in files of one layout, and whether their row is broken."""
    file = files[0]
    frame, paths = _frame(session, files, trace_format)
    values = {side: ".".join(map(_ticked, path)) for side, path in paths.items()}
    types = frame.selectExpr(*(f"{value} AS {side}" for side, value in values.items())).dtypes
    kinds = {side: length_kind(file.name, side, type_name) for side, type_name in types}
    malformed = f"{_CORRUPT} IS NOT NULL" if file.kind == "csv" else "FALSE"
    frame.selectExpr(
        *(f"{as_stored(value, kinds[side])} AS {side}" for side, value in values.items()),
        f"{malformed} AS malformed",
    ).createOrReplaceTempView(view)
    return Stored(kinds["input"], kinds["output"], has_malformed=True, is_duckdb=False)


def _frame(
    session: Any, files: Sequence[TraceFile], trace_format: TraceFormat
) -> tuple[Any, dict[str, KeyPath]]:
    """What Spark reads of files of one layout, and where the lengths lie in it."""
    file = files[0]
    locations = [_location(part) for part in files]
    columns = {"input": trace_format.input_column, "output": trace_format.output_column}
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
        return session.read.parquet(*locations), {side: (name,) for side, name in columns.items()}
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
    return "file://" + re.sub(r"([\\{}\[\]*?])", r"\\\1", str(file.path.resolve()))
