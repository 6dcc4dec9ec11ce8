"""Traces read by Spark, on a cluster or on this machine, through Ibis and PySpark."""

import functools
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import getitem
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from joulecast.traces.binning.duckdb_files import alike, common_format, describe_sources
from joulecast.traces.binning.trace import EngineTrace, Trace, first_line, require_lengths
from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.lengths import union
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.scan import create_view
from joulecast.traces.reading.sniff import TraceFile, describe, find_files

_CORRUPT = "_corrupt"
_HEAD_LINES = 100
_SETTINGS = {
    "spark.app.name": "joulecast",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.caseSensitive": "true",
    # With pruning, a CSV row is only split as far as the wanted columns, whatever follows.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
}


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
    session = _session(master)
    try:
        files: tuple[TraceFile, ...]
        if "://" in source:
            files = (_describe_far(session, source),)
        else:
            files = tuple(describe(path, name) for path, name in find_files(source))
        chosen = common_format(source, files, options)
        connection = ibis.pyspark.connect(session)
        try:
            tables = [
                _stored(session, connection, group, chosen, f"requests_{k}")
                for k, group in enumerate(alike(files, chosen))
            ]
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{source}: Spark cannot read it ({first_line(error)})") from error
        sources = describe_sources(files, chosen)
        yield EngineTrace(source, options.on_invalid, sources, connection, union(tables))
    finally:
        session.stop()


def _session(master: str) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            f"Spark needs {error.name}; install it with: pip install 'joulecast[spark]'"
        ) from error
    builder = SparkSession.builder.master(master)
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise InputError(f"Spark does not start with {master} ({first_line(error)})") from error


def _describe_far(session: Any, source: str) -> TraceFile:
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
        return replace(describe(head, source), path=Path(source))


def _stored(
    session: Any, connection: Any, files: Sequence[TraceFile], chosen: TraceFormat, view: str
) -> ir.Table:
    """The lengths of files of one layout as they are written, and whether their row is broken."""
    file = files[0]
    paths = [_location(each) for each in files]
    for each in files:
        _require_name(each)
    names = {"input": chosen.input_column, "output": chosen.output_column}
    wanted: dict[str, KeyPath] = {key: (name,) for key, name in names.items()}
    if file.kind == "csv":
        _require_rows_on_lines(session, file.name, paths)
        columns = ", ".join(f"c{k} STRING" for k in range(len(file.columns)))
        frame = session.read.csv(
            paths,
            schema=f"{columns}, {_CORRUPT} STRING",
            header=True,
            sep=file.delimiter,
            quote='"',
            escape='"',
            mode="PERMISSIVE",
            columnNameOfCorruptRecord=_CORRUPT,
        )
        wanted = {key: (f"c{file.columns.index(name)}",) for key, name in names.items()}
    elif file.kind == "parquet":
        if not any("://" in each.name for each in files):
            # Spark would take durations and nanoseconds for counts.
            create_view(duckdb.connect(), "requests", files, chosen, strict=True)
        frame = session.read.parquet(*paths)
    elif file.kind == "json lines":
        wanted = {key: file.path_to(name) for key, name in names.items()}
        tree = key_tree(file.name, wanted.values())
        frame = session.read.json(paths, schema=_fields(tree, " "))
    else:
        raise InputError(f"{file.name}: is one JSON array; Spark needs a request per line")
    frame.createOrReplaceTempView(view)
    table = connection.table(view)
    malformed = table[_CORRUPT].notnull() if file.kind == "csv" else ibis.literal(False)
    lengths = {key: functools.reduce(getitem, path, table) for key, path in wanted.items()}
    stored = table.select(**lengths, malformed=malformed)
    require_lengths(file.name, stored)
    return stored


def _fields(tree: Tree, between: str) -> str:
    """Wanted keys and their types as Spark's schemas have them, which are `between` them."""
    return ", ".join(
        f"`{key.replace('`', '``')}`{between}"
        + ("STRING" if below is None else f"STRUCT<{_fields(below, ': ')}>")
        for key, below in tree.items()
    )


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
