"""Traces kept in a table of a database or warehouse, binned where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ibis

from joulecast.traces.binning.trace import EngineTrace, Trace, first_line, require_lengths
from joulecast.traces.errors import InputError
from joulecast.traces.files import database_file, shown_address
from joulecast.traces.reading.formats import choose_columns
from joulecast.traces.reading.options import ReadingOptions


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
        stored = _stored(connection, table_name, shown, options)
        sources = ({"name": table_name, "kind": f"{connection.name} table"},)
        yield EngineTrace(shown, options.on_invalid, sources, connection, stored)
    finally:
        connection.disconnect()


def _stored(connection: Any, table_name: str, shown: str, options: ReadingOptions) -> Any:
    *parts, name = table_name.split(".")
    try:
        table = connection.table(name, database=tuple(parts) or None)
    except Exception as error:
        raise InputError(f"{shown}: no such table ({first_line(error)})") from error
    chosen = choose_columns(shown, table.columns, options)
    stored = table.select(input=table[chosen.input_column], output=table[chosen.output_column])
    require_lengths(shown, stored)
    return stored


def _without_password(address: str) -> str:
    """The address as it may be shown and kept."""
    scheme, _, rest = address.partition("?")[0].partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{place}"
