"""The files behind what is given as one trace, and the tables in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from joulecast.traces.binning.connecting import fetch
from joulecast.traces.errors import InputError
from joulecast.traces.inputs.inputs import given_twice, identities_of
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.rewriting.step import describe_rows
from joulecast.traces.reading.rows.reading import TraceReading
from joulecast.traces.reading.sniff import IN_MEMORY, TraceFile


def files_of(
    sources: Sequence[Any],
    folder: str,
    options: ReadingOptions,
    database: duckdb.DuckDBPyConnection,
) -> tuple[TraceFile, ...]:
    """All files of a trace, in the order in which they are given, those of a glob by name.

    Args:
        sources: Files, globs, addresses, "-" and tables in memory.
        folder: Where what comes over a network is kept, and what is written anew.
        options: Which columns the user named.
        database: What will read them.

    Raises:
        InputError: Nothing there, not a trace, or a file that two sources name.
    """
    files: list[TraceFile] = []
    given_as: dict[object, str] = {}
    for k, source in enumerate(sources):
        if not isinstance(source, str):
            from joulecast.traces.binning.frames import open_table_in_memory

            files.append(open_table_in_memory(database, source, f"joulecast_table_{k}"))
            continue
        own = Path(folder) / f"source-{k}"
        own.mkdir()
        fetched = fetch(source, str(own))
        identities = {name: list(identities_of(str(path)))[1:] for path, name in fetched}
        for name, same in identities.items():
            for identity in same:
                if identity in given_as:
                    raise given_twice(name, given_as[identity], source)
        given_as |= {identity: source for same in identities.values() for identity in same}
        files += [describe_rows(path, name, folder, options, database) for path, name in fetched]
    return tuple(files)


@contextmanager
def told_as_given(sources: Sequence[Any]) -> Iterator[None]:
    """Have errors name keywords in place of options where a table in memory is read."""
    try:
        yield
    except InputError as error:
        if all(isinstance(source, str) for source in sources):
            raise
        from joulecast.traces.binning.frames import in_python

        raise in_python(error) from error


def row_of_table(
    file: TraceFile, number: int, ask: Callable[[str], list[dict[str, Any]]]
) -> Mapping[str, Any] | None:
    """The values of a row of a table in memory, 1 being the first; None if it is a file's."""
    if file.kind != IN_MEMORY:
        return None
    from joulecast.traces.binning.frames import row_at

    return row_at(file, number - 1, ask)


def told_in_python(reading: TraceReading, files: Sequence[TraceFile]) -> TraceReading:
    """The same, its remarks with keywords in place of options where a table in memory is read."""
    if all(file.kind != IN_MEMORY for file in files):
        return reading
    from joulecast.traces.binning.frames import text_in_python

    return replace(reading, remarks=tuple(map(text_in_python, reading.remarks)))


def with_texts(options: ReadingOptions, sources: Sequence[Any]) -> ReadingOptions:
    """The same, where columns of a table in memory may be named by what is no text, such as 0."""
    if all(isinstance(source, str) for source in sources):
        return options
    from joulecast.traces.binning import frames

    return frames.with_texts(options)


def require_readable(files: Sequence[TraceFile], trace_format: TraceFormat) -> None:
    """Refuse tables in memory of which DuckDB cannot read a column that is needed.

    Raises:
        InputError: The column is named, and what it holds.
    """
    tables = [file for file in files if file.kind == IN_MEMORY]
    if tables:
        from joulecast.traces.binning.frames import require_readable_tables

        require_readable_tables(tables, trace_format)
