"""Which files of a trace are alike, and the format that all of them share."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import TraceFormat, choose_columns
from joulecast.traces.reading.meaning.roles import NO_ROLES, Roles
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.sniff import TraceFile


def layout(file: TraceFile, trace_format: TraceFormat) -> Hashable:
    """What files have in common that one call of a reader takes together.

    JSON rows may lack keys, so there it only matters where the format's columns lie.
    """
    columns = tuple(map(file.path_to, trace_format.all_columns)) if file.is_json else file.columns
    return file.kind, file.compression, columns, file.types, file.delimiter, file.blank_lines


def common_format(source: str, files: Sequence[TraceFile], options: ReadingOptions) -> TraceFormat:
    """The format that all files share; arrival times only if every file has them alike.

    Roles are those of all files together: where a file lacks the column, it says nothing.

    Raises:
        InputError: A file lacks the columns, or two are of different formats.
    """
    formats = [(choose_columns(file.name, file.names, options), file) for file in files]
    first, first_file = formats[0]
    for other, file in formats:
        if (other.input_column, other.output_column) != (first.input_column, first.output_column):
            raise InputError(
                f"{source}: {first_file.name} is {first.name} and {file.name} is {other.name}; "
                "bin them apart, and give their workloads together"
            )
    roles: dict[str, Any] = first.roles._asdict()
    for other, _ in formats:
        roles = {name: mine or getattr(other.roles, name) for name, mine in roles.items()}
    is_timed_alike = len({replace(other, roles=NO_ROLES) for other, _ in formats}) == 1
    arrival_column = first.arrival_column if is_timed_alike else None
    return replace(first, arrival_column=arrival_column, roles=Roles(**roles))


def lengths_alone(source: str, trace_format: TraceFormat, engine: str) -> TraceFormat:
    """The same format, for an engine that takes every row for a request of two lengths.

    Args:
        source: What to call the trace in messages.
        trace_format: The format.
        engine: What to call the engine.

    Raises:
        InputError: Rows or lengths mean something else.
    """
    roles = trace_format.roles
    for columns, option in (
        ((roles.requests,), "--count-column none"),
        ((roles.perhaps_requests,), "--count-column none"),
        ((*roles.also_input, *roles.also_output), "--input-column and --output-column"),
        (roles.where, ""),
        ((roles.group,), ""),
    ):
        told = [f'"{column}"' for column in columns if column is not None]
        if told:
            other = f", or say with {option} what to take" if option else ""
            raise InputError(
                f"{source}: {' and '.join(told)} says what a row or a length means, and {engine} "
                f"takes each row for one request of two lengths; read it without {engine}{other}"
            )
    unregarded = tuple(dict.fromkeys(roles.columns))
    return replace(trace_format, roles=NO_ROLES, is_sparse=False, unregarded=unregarded)


def timeless_files(
    files: Sequence[TraceFile], trace_format: TraceFormat, options: ReadingOptions
) -> tuple[str, ...]:
    """Names of the files without arrival times, where others of the trace have them."""
    if trace_format.arrival_column is not None:
        return ()
    without = [
        file.name
        for file in files
        if choose_columns(file.name, file.names, options).arrival_column is None
    ]
    return tuple(without) if len(without) < len(files) else ()


def describe_sources(
    files: Sequence[TraceFile], trace_format: TraceFormat
) -> tuple[dict[str, str], ...]:
    """Provenance of what was read, for a workload."""
    return tuple(
        {
            "name": file.name.rsplit("/", 1)[-1],
            "kind": file.form or file.kind,
            "format": trace_format.name,
        }
        for file in files
    )
