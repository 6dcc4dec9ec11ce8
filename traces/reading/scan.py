"""SQL with which DuckDB reads trace files."""

import glob
from collections.abc import Mapping, Sequence

import duckdb

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import named, with_arrivals
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.lengths import Kind, Stored, as_stored, kind_of
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.rows.rules import role_columns
from joulecast.traces.reading.sniff import IN_MEMORY, TraceFile

DATABASE_SETTINGS = {
    "autoinstall_known_extensions": False,
    "timezone": "UTC",  # of timestamps without an offset
}
"""Of every DuckDB that reads traces."""


def create_view(
    database: duckdb.DuckDBPyConnection,
    view: str,
    files: Sequence[TraceFile],
    trace_format: TraceFormat,
    is_strict: bool,
) -> Stored:
    """Make a view of the lengths in files of one layout, as they are stored.

    Args:
        database: Where the view goes.
        view: Its name; one of that name is replaced.
        files: The files, all alike.
        trace_format: Which columns hold what.
        is_strict: Whether rows that are none end the reading, or are left out.

    Returns:
        How its columns `input` and `output` are stored; it also has those of
        `traces.reading.arrivals` where the format has arrival times, and of
        `traces.reading.rows.rules`
        where it has roles.

    Raises:
        InputError: A file cannot be read, or a length's column can hold none.
    """
    file = files[0]
    reader = _reader(files, trace_format.all_columns, is_strict)
    try:
        values = _values(database, reader, file, trace_format.all_columns)
        lengths = values[trace_format.input_column], values[trace_format.output_column]
        arrival = values.get(trace_format.arrival_column or "")
        asked = lengths if arrival is None else (*lengths, arrival)
        described = database.execute(f"DESCRIBE SELECT {', '.join(asked)} FROM {reader}")
        types = [row[1] for row in described.fetchall()]
        stored = Stored(
            _require_kind(file.name, trace_format.input_column, types[0]),
            _require_kind(file.name, trace_format.output_column, types[1]),
        )
        columns = {
            "input": as_stored(lengths[0], stored.input),
            "output": as_stored(lengths[1], stored.output),
            **role_columns(trace_format, values),
        }
        select = f"SELECT {named(columns)} FROM {reader}"
        if arrival is not None:
            select = with_arrivals(columns, arrival, types[2], reader)
        database.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {select}")
    except duckdb.OutOfMemoryException as error:
        raise too_little_memory(file.name) from error
    except duckdb.Error as error:
        raise InputError(f"{file.name}: cannot be read ({str(error).splitlines()[0]})") from error
    return stored


def too_little_memory(name: str) -> InputError:
    """The error for what does not fit into the memory limit."""
    return InputError(f"{name}: needs more memory than it was given; raise --memory-limit")


def _values(
    database: duckdb.DuckDBPyConnection, reader: str, file: TraceFile, columns: Sequence[str]
) -> dict[str, str]:
    """Columns of what a reader reads, as SQL; null for one that this file has not."""
    if file.is_json:
        return {column: _value(file.path_to(column)) for column in columns}
    if file.kind == "csv":
        # Columns go by position: headers may repeat a name or differ in case alone.
        names = [f"c{position}" for position in range(len(file.columns))]
    else:
        # DuckDB renames columns that differ in case alone; their order stays.
        described = database.execute(f"DESCRIBE FROM {reader}").fetchall()
        names = [quoted(row[0]) for row in described]
    values = {}
    for column in columns:
        first, *inner = file.path_to(column)
        is_there = first in file.columns
        values[column] = _within(names[file.columns.index(first)], inner) if is_there else "NULL"
    return values


def _require_kind(name: str, column: str, type_name: str) -> Kind:
    kind = kind_of(type_name)
    if kind is None:
        is_array = type_name.endswith("[]")
        holds = f"array of {type_name[:-2]}" if is_array else type_name.strip('"')
        raise InputError(
            f'{name}: column "{column}" holds {holds.lower()}; lengths are whole numbers'
        )
    return kind


def _reader(files: Sequence[TraceFile], columns: Sequence[str], is_strict: bool) -> str:
    """The table function that reads files of one layout; text stays text."""
    file = files[0]
    if file.kind == IN_MEMORY:
        return f"({' UNION ALL '.join(f'FROM {quoted(part.path.name)}' for part in files)})"
    # Absolute, since DuckDB takes a leading ~ for the home folder.
    paths = [glob.escape(str(part.path.absolute())) for part in files]
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
        if not is_strict:
            options |= {"store_rejects": True, "rejects_limit": 0}
        return _call("read_csv", paths, options)
    if file.kind == "parquet":
        return _call("read_parquet", paths, {})
    tree = key_tree(file.name, map(file.path_to, columns))
    options = {
        "columns": {key: _json_type(below) for key, below in tree.items()},
        "format": "array" if file.kind == "json array" else "newline_delimited",
        "compression": file.compression,
        "ignore_errors": not is_strict and file.kind == "json lines",
    }
    return _call("read_json", paths, options)


def _json_type(below: Tree | None) -> str:
    """The type that keeps what is read of a JSON value, as it is written."""
    if below is None:
        return "VARCHAR"
    fields = (f"{quoted(key)} {_json_type(deeper)}" for key, deeper in below.items())
    return f"STRUCT({', '.join(fields)})"


def _value(path: KeyPath) -> str:
    """A value within the objects of a row, as SQL."""
    return _within(quoted(path[0]), path[1:])


def _within(value: str, keys: Sequence[str]) -> str:
    """What lies within an object, as SQL."""
    for key in keys:
        value = f"struct_extract({value}, {_literal(key)})"
    return value


def _call(function: str, paths: Sequence[str], options: Mapping[str, object]) -> str:
    # Or a folder called input_tokens=7 would take the place of a column.
    settings = {**options, "hive_partitioning": False}
    arguments = [
        _literal(paths),
        *(f"{key} = {_literal(value)}" for key, value in settings.items()),
    ]
    return f"{function}({', '.join(arguments)})"


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


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'
