"""SQL with which DuckDB reads trace files."""

import glob
from collections.abc import Mapping, Sequence

import duckdb

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import with_arrivals
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.lengths import Kind, Stored, as_stored, kind_of
from joulecast.traces.reading.nested import KeyPath, Tree, key_tree
from joulecast.traces.reading.sniff import IN_MEMORY, TraceFile


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
        `traces.reading.arrivals` where the format has arrival times.

    Raises:
        InputError: A file cannot be read, or a length's column can hold none.
    """
    file = files[0]
    reader = _reader(files, trace_format.columns, is_strict)
    try:
        values = _values(database, reader, file, trace_format.columns)
        described = database.execute(f"DESCRIBE SELECT {', '.join(values)} FROM {reader}")
        types = [row[1] for row in described.fetchall()]
        stored = Stored(
            _require_kind(file.name, trace_format.input_column, types[0]),
            _require_kind(file.name, trace_format.output_column, types[1]),
        )
        columns = [
            f"{as_stored(values[0], stored.input)} AS input",
            f"{as_stored(values[1], stored.output)} AS output",
        ]
        select = f"SELECT {', '.join(columns)} FROM {reader}"
        if trace_format.arrival_column is not None:
            select = with_arrivals(columns, values[2], types[2], reader)
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
) -> list[str]:
    """Columns of what a reader reads, as SQL."""
    if file.is_json:
        return [_value(file.path_to(column)) for column in columns]
    positions = [file.columns.index(column) for column in columns]
    if file.kind == "csv":
        # Columns go by position: headers may repeat a name or differ in case alone.
        return [f"c{position}" for position in positions]
    # DuckDB renames columns that differ in case alone; their order stays.
    names = [row[0] for row in database.execute(f"DESCRIBE FROM {reader}").fetchall()]
    return [quoted(names[position]) for position in positions]


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
    value = quoted(path[0])
    for key in path[1:]:
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
