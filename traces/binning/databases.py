"""Traces kept in a table of a database or warehouse, binned where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joulecast.traces.binning.trace import Query, Trace, first_line, length_kind
from joulecast.traces.errors import InputError
from joulecast.traces.files import database_file, shown_address
from joulecast.traces.reading.formats import choose_columns
from joulecast.traces.reading.layout import lengths_alone
from joulecast.traces.reading.lengths import REQUESTS, Stored, as_stored
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.scan import quoted


@dataclass(frozen=True)
class DatabaseTrace(Trace):
    """A trace in a table of a database.

    Attributes:
        connection: The Ibis backend that reaches it.
        select: The query of `REQUESTS` there, in DuckDB's dialect.
    """

    connection: Any = field(repr=False)
    select: str

    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            InputError: The database could not answer.
        """
        import ibis

        sql = f"WITH {REQUESTS} AS ({self.select}) {query.sql}"
        try:
            answer = self.connection.sql(sql, schema=ibis.schema(query.types), dialect="duckdb")
            return list(self.connection.to_pyarrow(answer).to_pylist())
        except Exception as error:
            raise InputError(f"{self.name}: cannot be read ({first_line(error)})") from error

    def require_try_cast(self) -> None:
        """Refuse a database to which text that is no number is an error, or worse, a number.

        Raises:
            InputError: It is such a one.
        """
        query = Query("SELECT TRY_CAST('x' AS DOUBLE) AS number", {"number": "float64"})
        try:
            is_null = self.ask(query)[0]["number"] is None
        except InputError:
            is_null = False
        if not is_null:
            raise InputError(
                f"{self.name}: keeps lengths as text, and {self.connection.name} has no cast that "
                "gives null for what is no number; make a view of it with whole numbers"
            )


@contextmanager
def open_table(address: str, table_name: str, options: ReadingOptions) -> Iterator[Trace]:
    """Open a trace in a table that an Ibis backend reaches.

    Args:
        address: Connection string, such as "duckdb://log.db", "trino://user@host/catalog/schema",
            "postgres://user@host/database" or "bigquery://project/dataset".
        table_name: The table; parts before it, such as a schema, with dots between.
        options: How to read it; without `memory_limit` and `watch`.

    Yields:
        The trace; only the sums of its cells will leave the database.

    Raises:
        InputError: No such backend, database, table or columns.
    """
    options.require_elsewhere()
    options.require_timeless()
    shown = f"{_without_password(address)} {table_name}"
    backend, is_address, _ = address.partition("://")
    if not is_address:
        raise InputError(
            f'"{address}": is no address of a database; give one such as duckdb://log.db'
        )
    path = database_file(address)
    if path is not None and not path.is_file():
        raise InputError(f"{shown_address(address)}: no such database")
    try:
        import ibis
    except ImportError as error:
        raise InputError(
            f"{shown}: tables of databases need {error.name}; install it with: pip install "
            "'joulecast[databases]'"
        ) from error
    try:
        if backend == "duckdb" and path is not None:
            connection = ibis.duckdb.connect(path, read_only=True)
        else:
            connection = ibis.connect(address)
    except ImportError as error:
        raise InputError(
            f"{backend}:// needs a package that is not there; install it with: pip install "
            f"'ibis-framework[{backend}]'"
        ) from error
    except Exception as error:
        shown = _without_password(address)
        said = first_line(error).replace(address, shown)
        raise InputError(f"{shown}: cannot connect ({said})") from error
    try:
        yield _trace(shown, options, connection, table_name)
    finally:
        connection.disconnect()


def _trace(shown: str, options: ReadingOptions, connection: Any, table_name: str) -> DatabaseTrace:
    *parts, name = table_name.split(".")
    try:
        table = connection.table(name, database=tuple(parts) or None)
    except Exception as error:
        raise InputError(f"{shown}: no such table ({first_line(error)})") from error
    trace_format = lengths_alone(shown, choose_columns(shown, table.columns, options), "a database")
    columns = {"input": trace_format.input_column, "output": trace_format.output_column}
    kinds = {
        side: length_kind(shown, side, str(table.schema()[column]))
        for side, column in columns.items()
    }
    values = ", ".join(
        f"{as_stored(quoted(column), kinds[side])} AS {side}" for side, column in columns.items()
    )
    place = ".".join(map(quoted, (*parts, name)))
    trace = DatabaseTrace(
        shown,
        options.on_invalid,
        ({"name": table_name, "kind": f"{connection.name} table"},),
        Stored(kinds["input"], kinds["output"], is_duckdb=connection.name == "duckdb"),
        connection,
        f"SELECT {values} FROM {place}",
    )
    if "text" in kinds.values():
        trace.require_try_cast()
    return trace


def _without_password(address: str) -> str:
    """The address as it may be shown and kept."""
    scheme, _, rest = address.partition("?")[0].partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{place}"
