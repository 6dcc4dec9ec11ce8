"""The DuckDB that reads files, the files behind a source, and the view of all their rows."""

import contextlib
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import duckdb

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import VIEW_COLUMNS
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.layout import layout
from joulecast.traces.reading.lengths import REQUESTS, Stored, union
from joulecast.traces.reading.rows.rules import role_columns
from joulecast.traces.reading.scan import DATABASE_SETTINGS, create_view
from joulecast.traces.reading.sniff import (
    STANDARD_INPUT,
    TraceFile,
    find_files,
    spool_standard_input,
)

ROWS = "joulecast_rows"
"""The view of rows that are no plain requests."""

_MEGABYTES_PER_CORE = 100
"""Every thread of DuckDB reads into buffers of its own, of 32 MB each."""


def view_all(
    database: duckdb.DuckDBPyConnection,
    files: Sequence[TraceFile],
    trace_format: TraceFormat,
    is_strict: bool,
) -> Stored:
    """Make `REQUESTS`, or a view of rows where these are no plain requests: those of all files.

    They come in their order, neighbours of one layout together.
    """
    whole = REQUESTS if trace_format.is_plain else ROWS
    runs = [list(run) for _, run in groupby(files, lambda file: layout(file, trace_format))]
    if len(runs) == 1:
        return create_view(database, whole, files, trace_format, is_strict)
    views = {
        view: create_view(database, view, run, trace_format, is_strict)
        for view, run in ((f"{whole}_{k}", run) for k, run in enumerate(runs))
    }
    times = VIEW_COLUMNS if trace_format.arrival_column is not None else ()
    roles = role_columns(trace_format, dict.fromkeys(trace_format.all_columns, "NULL"))
    select, stored = union(views, (*times, *roles))
    database.execute(f"CREATE TEMP VIEW {whole} AS {select}")
    return stored


def fetch(source: str, folder: str) -> list[tuple[Path, str]]:
    """The files behind a source, here: those of an address are copied into `folder`."""
    if source == STANDARD_INPUT:
        return [spool_standard_input(folder)]
    if "://" in source:
        from joulecast.traces.reading.remote import fetch_remote

        return fetch_remote(source, Path(folder))
    return find_files(source)


def connect(folder: str, memory_limit: str | None) -> duckdb.DuckDBPyConnection:
    """A DuckDB for files, which keeps in `folder` what exceeds its memory.

    Raises:
        InputError: The limit is no size of memory.
    """
    database = duckdb.connect(config={**DATABASE_SETTINGS, "temp_directory": folder})
    # Makes query_progress() answer; the bar itself is ours. In a notebook without ipywidgets DuckDB
    # refuses that, and the progress stays unknown.
    with contextlib.suppress(duckdb.InvalidInputException):
        database.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    if memory_limit is None:
        # Without a limit DuckDB keeps what it read of many files until memory is full.
        memory_limit = f"{_MEGABYTES_PER_CORE * max(2, os.cpu_count() or 1)}MB"
    try:
        if not memory_limit.strip()[:1].isdigit():  # to DuckDB, "none" and -1 are no bound
            raise duckdb.ParserException
        database.execute(f"SET memory_limit = '{memory_limit.replace(chr(39), '')}'")
    except duckdb.Error as error:
        database.close()
        raise InputError(
            f'"{memory_limit}" is no size of memory; give one such as 500MB'
        ) from error
    return database
