"""Tables in memory, as a trace reads them: in place, wherever DuckDB can.

A table becomes a view with the columns c0, c1, ... in its own order, and from then on is read as a
file is. Python objects are read as the text that a CSV file would have of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from joulecast.traces.binning.arrays import columns_of_array, columns_of_pairs
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import Pairs, table_name
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.nested import KeyPath
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.scan import quoted
from joulecast.traces.reading.sniff import IN_MEMORY, TraceFile


@dataclass(frozen=True)
class TableFile(TraceFile):
    """A table in memory, which stands where a file of a trace does.

    Attributes:
        unreadable: Columns that DuckDB cannot read -> of which type they are.
        label_of: What the index of the table calls the row at a position.
    """

    unreadable: Mapping[str, str] = field(default_factory=dict)
    label_of: Callable[[int], str] | None = field(default=None, repr=False, compare=False)

    def place_of(self, row: int, line: int | None) -> str:
        """Where a row (1 is the first) is, for messages; tables count from 0."""
        position = row - 1 if line is None else line
        label = "" if self.label_of is None else f", index {self.label_of(position)}"
        return f"{self.name}: the row at position {position} (counted from 0{label})"


@dataclass(frozen=True)
class _Held:
    """A table, and how to look at it.

    Attributes:
        table: What DuckDB reads.
        columns: Names of its columns.
        types: Of its columns, as its library calls them.
        select: The columns at some positions alone; None where that cannot be.
        label_of: As in `TableFile`.
    """

    table: Any
    columns: tuple[str, ...]
    types: tuple[str, ...] = ()
    select: Callable[[list[int]], Any] | None = None
    label_of: Callable[[int], str] | None = None


_POLARS_OBJECTS = "Object"


class _Stream:
    """Hands on the rows of a table as Arrow does, and nothing else of it."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def open_table_in_memory(database: duckdb.DuckDBPyConnection, table: Any, view: str) -> TableFile:
    """Make a view of a table in memory.

    Args:
        database: Where the view goes.
        table: Of pandas, Polars or Arrow, an array of NumPy, or a list of pairs.
        view: Its name.

    Raises:
        InputError: It has no rows to read requests from: other shapes, no names of columns.
    """
    name = table_name(table) or type(table).__name__
    database.execute("SET pandas_analyze_sample = 0")  # or the first objects decide what all are
    held = _held(database, table, name, f"{view}_rows")
    if not held.columns:
        raise InputError(f"{name}: has no columns; give one of input and one of output lengths")
    unreadable: dict[str, str] = {}
    try:
        if _POLARS_OBJECTS in held.types:  # of which DuckDB would read where they are in memory
            raise duckdb.NotSupportedError(_POLARS_OBJECTS)
        types = _register(database, f"{view}_source", held.table)
        positions = list(range(len(types)))
    except duckdb.Error as error:
        positions = _readable(database, f"{view}_source", held)
        if held.select is None or not positions:
            said = held.types[0] if held.types else str(error).splitlines()[0][:200]
            raise InputError(f"{name}: cannot be read ({said}); give whole numbers") from error
        unreadable = {
            column: held.types[k] for k, column in enumerate(held.columns) if k not in positions
        }
        types = _register(database, f"{view}_source", held.select(positions))
    values = dict.fromkeys(range(len(held.columns)), "CAST(NULL AS TEXT)")
    values |= dict(zip(positions, (_plain(*column) for column in types), strict=True))
    selected = ", ".join(f"{value} AS c{k}" for k, value in values.items())
    database.execute(f"CREATE TEMP VIEW {view} AS SELECT {selected} FROM {view}_source")
    described = database.sql(f"FROM {view}")
    nested = [
        (column, *path)
        for column, kind in zip(held.columns, described.types, strict=True)
        for path in _paths(kind)
    ]
    return TableFile(
        Path(view),
        name,
        IN_MEMORY,
        "none",
        held.columns,
        types=tuple(type_name for _, type_name in types),
        nested=tuple(nested),
        unreadable=unreadable,
        label_of=held.label_of,
    )


def row_at(
    file: TraceFile, position: int, ask: Callable[[str], list[dict[str, Any]]]
) -> Mapping[str, Any]:
    """The values of the row of a table at a position, and what its index calls it.

    Args:
        file: The table.
        position: From 0.
        ask: Answers a query.
    """
    (row,) = ask(f"FROM {quoted(file.path.name)} LIMIT 1 OFFSET {position}")
    values = dict(zip(file.columns, row.values(), strict=True))
    label_of = file.label_of if isinstance(file, TableFile) else None
    return values if label_of is None else {**values, "": label_of(position)}


def require_readable_tables(files: Sequence[TraceFile], trace_format: TraceFormat) -> None:
    """Refuse tables of which DuckDB cannot read a column that is needed.

    Raises:
        InputError: The column is named, and what it holds.
    """
    for file in files:
        unreadable = file.unreadable if isinstance(file, TableFile) else {}
        for column in trace_format.all_columns:
            if column in unreadable:
                raise InputError(
                    f'{file.name}: column "{column}" holds {unreadable[column]}, which cannot be '
                    "read; make numbers of it, dates and times, or texts"
                )


_WORDS = {
    r"--on-invalid skip": 'on_invalid="skip"',
    r"--(\w+)-column none": r'\1_column="none"',
    r"--(input|output|arrival|cached|count|id)-column": r"\1_column",
    r"--arrival-unit": "arrival_unit",
    r"--memory-limit": "memory_limit",
    r"--group-by COLUMN": "group_by",
    r"--group-by": "group_by",
    r"--prefix-cache": "prefix_cache",
    r"--where '(.*?)'": r"where='\1'",
    r"--where": "where",
    r"has a header but no requests": "has no rows",
}


def with_texts(options: ReadingOptions) -> ReadingOptions:
    """The same, where columns may be named by what is no text, such as 0."""
    named = {
        name: str(value)
        for name, value in vars(options).items()
        if (name.endswith("_column") or name == "group_by") and value is not None
    }
    return replace(options, **named)  # type: ignore[arg-type]


def in_python(error: InputError) -> InputError:
    """The same error for who reads a table, and has no command line."""
    return InputError(text_in_python(str(error)))


def text_in_python(text: str) -> str:
    """A line for who reads a table, with keywords in place of options."""
    for option, keyword in _WORDS.items():
        text = re.sub(option, keyword, text)
    return text


def _held(database: duckdb.DuckDBPyConnection, table: Any, name: str, rows: str) -> _Held:
    """A table as DuckDB reads it; a stream, which can be read once, is kept as `rows` there."""
    if isinstance(table, Pairs):
        return _of_arrays(columns_of_pairs(table.rows))
    if name == "NumPy array":
        return _of_arrays(columns_of_array(table))
    if name == "pandas table":
        return _of_pandas(table)
    if name == "Polars table":
        frame = table.collect() if type(table).__name__ == "LazyFrame" else table
        types = tuple(str(kind) for kind in frame.dtypes)
        # As a stream, since DuckDB would ask pyarrow for Polars' tables.
        return _Held(
            _Stream(frame), tuple(frame.columns), types, lambda ks: _Stream(frame[:, list(ks)])
        )
    if name == "Arrow table":
        types = tuple(str(column.type) for column in table.schema)
        return _Held(table, tuple(table.schema.names), types, table.select)
    return _of_stream(database, table, name, rows)


def _of_stream(database: duckdb.DuckDBPyConnection, table: Any, name: str, rows: str) -> _Held:
    try:
        database.register(f"{rows}_once", table)
        database.execute(f"CREATE TEMP TABLE {rows} AS FROM {rows}_once")
        described = database.execute(f"DESCRIBE FROM {rows}").fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0][:200]
        raise InputError(f"{name}: cannot be read ({said})") from error
    database.unregister(f"{rows}_once")
    return _Held(None, tuple(column[0] for column in described))


def _of_arrays(columns: Mapping[str, Any]) -> _Held:
    names = tuple(columns)
    arrays = {f"c{k}": columns[name] for k, name in enumerate(names)}
    types = tuple(str(array.dtype) for array in arrays.values())
    return _Held(arrays, names, types, lambda ks: {f"c{k}": arrays[f"c{k}"] for k in ks})


def _of_pandas(frame: Any) -> _Held:
    if frame.columns.nlevels > 1:
        raise InputError(
            "pandas table: its columns have several levels (MultiIndex); give them one, such as "
            'table.columns = table.columns.map(".".join)'
        )
    index = frame.index
    is_counted = type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)
    label_of = None if is_counted else (lambda position: f"{index[position]!s}")
    inner = frame.copy(deep=False)
    for level in range(index.nlevels):
        values = index.get_level_values(level)
        if values.name is not None or values.dtype.kind == "M":  # a CSV file would have it, too
            called = "index" if values.name is None else values.name
            inner.insert(inner.shape[1], called, values, allow_duplicates=True)
    columns = tuple(str(column) for column in inner.columns)
    types = tuple(str(kind) for kind in inner.dtypes)
    return _Held(inner, columns, types, lambda ks: inner.iloc[:, ks], label_of)


def _register(database: duckdb.DuckDBPyConnection, source: str, table: Any) -> list[Any]:
    """Names and types of the columns of a table, as DuckDB reads it from now on."""
    if table is None:
        database.execute(f"CREATE TEMP VIEW {source} AS FROM {source[: -len('source')]}rows")
    else:
        try:
            database.register(source, table)
        except (TypeError, ValueError, RuntimeError) as error:  # as it answers types it never saw
            raise duckdb.NotSupportedError(str(error)) from error
    try:
        described = database.execute(f"DESCRIBE FROM {source}").fetchall()
    except (TypeError, ValueError, RuntimeError) as error:
        raise duckdb.NotSupportedError(str(error)) from error
    return [(quoted(column[0]), column[1]) for column in described]


def _paths(kind: Any) -> Iterator[KeyPath]:
    """Where values lie within a column of structs."""
    if kind.id != "struct":
        return
    for name, inner in kind.children:
        if inner.id == "struct":
            yield from ((name, *path) for path in _paths(inner))
        else:
            yield (name,)


def _readable(database: duckdb.DuckDBPyConnection, source: str, held: _Held) -> list[int]:
    """Positions of the columns that DuckDB can read by themselves."""
    positions = []
    for k in range(len(held.columns) if held.select is not None else 0):
        if held.types[k] == _POLARS_OBJECTS:
            continue
        try:
            _register(database, source, held.select([k]))  # type: ignore[misc]
        except duckdb.Error:
            continue
        positions.append(k)
    return positions


def _plain(column: str, type_name: str) -> str:
    """A column as a file would have it, as SQL: no dictionaries, and moments for times since 0."""
    if type_name.startswith("ENUM") or type_name == '"NULL"':
        return f"CAST({column} AS TEXT)"
    if type_name == "INTERVAL":
        return f"CAST(TIMESTAMP '1970-01-01' + {column} AS TIMESTAMPTZ)"
    return column
