"""SQL with which DuckDB reads trace files."""

import glob
import re
from collections.abc import Mapping, Sequence

import duckdb

from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.parquet import duration_columns
from joulecast.traces.reading.sniff import TraceFile

_LENGTHS = re.compile(
    r"VARCHAR|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)"
)


def create_view(
    database: duckdb.DuckDBPyConnection,
    view: str,
    files: Sequence[TraceFile],
    chosen: TraceFormat,
    strict: bool,
) -> tuple[str, ...]:
    """Make a view of the wanted columns of files of one layout, as they are written.

    Args:
        database: Where the view goes.
        view: Its name; one of that name is replaced.
        files: The files, all alike.
        chosen: Which columns are wanted.
        strict: Whether rows that are none end the reading, or are left out.

    Returns:
        The types of its columns `input`, `output`, and `arrival` where the format has it.

    Raises:
        InputError: A file cannot be read, or a length's column can hold none.
    """
    file = files[0]
    wanted = {"input": chosen.input_column, "output": chosen.output_column}
    if chosen.arrival_column is not None:
        wanted["arrival"] = chosen.arrival_column
    reader = _reader(files, list(wanted.values()), strict)
    try:
        names = list(wanted.values())
        if file.kind == "csv":
            # Columns go by position: headers may repeat a name or differ in case alone.
            names = [f"c{file.columns.index(name)}" for name in names]
        elif file.kind == "parquet":
            # DuckDB renames columns that differ in case alone; their order stays.
            found = [row[0] for row in database.execute(f"DESCRIBE FROM {reader}").fetchall()]
            names = [found[file.columns.index(name)] for name in names]
        values = (
            [_value(file.path_to(name)) for name in names]
            if file.is_json
            else [_quoted(name) for name in names]
        )
        columns = ", ".join(f"{value} AS {key}" for key, value in zip(wanted, values, strict=True))
        select = f"SELECT {columns} FROM {reader}"  # noqa: S608 - every part is quoted
        database.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {select}")
        kinds = tuple(row[1] for row in database.execute(f"DESCRIBE {view}").fetchall())
        durations = (
            duration_columns([each.path for each in files], database)
            if file.kind == "parquet"
            else {}
        )
    except duckdb.OutOfMemoryException as error:
        raise too_little_memory(file.name) from error
    except duckdb.Error as error:
        raise InputError(f"{file.name}: cannot be read ({str(error).splitlines()[0]})") from error
    for column, kind in zip((chosen.input_column, chosen.output_column), kinds, strict=False):
        if not _LENGTHS.fullmatch(kind):
            said = f"array of {kind[:-2]}" if kind.endswith("[]") else kind.strip('"')
            raise _wrong_type(file.name, column, said.lower())
        if column in durations:
            name = next(each.name for each in files if each.path.absolute() == durations[column])
            raise _wrong_type(name, column, "duration")
    return kinds


def too_little_memory(name: str) -> InputError:
    """The error for what does not fit into the memory limit."""
    return InputError(f"{name}: needs more memory than it was given; raise --memory-limit")


def _reader(files: Sequence[TraceFile], wanted: Sequence[str], strict: bool) -> str:
    """The table function that reads files of one layout; text stays text."""
    file = files[0]
    # Absolute, since DuckDB takes a leading ~ for the home folder.
    paths = [glob.escape(str(each.path.absolute())) for each in files]
    if file.kind == "csv":
        options: dict[str, object] = {
            "columns": {f"c{k}": "VARCHAR" for k in range(len(file.columns))},
            "auto_detect": False,
            "header": True,
            "delim": file.delimiter,
            "quote": '"',
            "escape": '"',
            "compression": file.compression,
            "skip": file.blank_lines,
        }
        if not strict:
            options |= {"store_rejects": True, "rejects_limit": 0}
        return _call("read_csv", paths, options)
    if file.kind == "parquet":
        return _call("read_parquet", paths, {})
    tree = key_tree(file.name, map(file.path_to, wanted))
    options = {
        "columns": {key: _json_type(below) for key, below in tree.items()},
        "format": "array" if file.kind == "json array" else "newline_delimited",
        "compression": file.compression,
        "ignore_errors": not strict and file.kind == "json lines",
    }
    return _call("read_json", paths, options)


def _json_type(below: Tree | None) -> str:
    """The type that keeps what is wanted of a JSON value, as it is written."""
    if below is None:
        return "VARCHAR"
    fields = (f"{_quoted(key)} {_json_type(deeper)}" for key, deeper in below.items())
    return f"STRUCT({', '.join(fields)})"


def _value(path: KeyPath) -> str:
    """A value within the objects of a row, as SQL."""
    value = _quoted(path[0])
    for key in path[1:]:
        value = f"struct_extract({value}, {_literal(key)})"
    return value


def _wrong_type(name: str, column: str, kind: str) -> InputError:
    return InputError(f'{name}: column "{column}" holds {kind}; lengths are whole numbers')


def _call(function: str, paths: Sequence[str], options: Mapping[str, object]) -> str:
    # Or a folder called input_tokens=7 would take the place of a column.
    given = {**options, "hive_partitioning": False}
    named = [f"{key} = {_literal(value)}" for key, value in given.items()]
    return f"{function}({', '.join([_literal(paths), *named])})"


def _literal(value: object) -> str:
    """A value as SQL."""
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, Mapping):
        inner = (f"{_literal(key)}: {_literal(item)}" for key, item in value.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_literal, value))}]"
    raise TypeError(value)


def _quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'
