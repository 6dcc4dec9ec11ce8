"""Which files of a trace are alike, and the format that all of them share."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import TraceFormat, choose_columns
from joulecast.traces.reading.options import ReadingOptions
from joulecast.traces.reading.sniff import TraceFile


def layout(file: TraceFile, trace_format: TraceFormat) -> Hashable:
    """What files have in common that one call of a reader takes together.

    JSON rows may lack keys, so there it only matters where the format's columns lie.
    """
    columns = tuple(map(file.path_to, trace_format.columns)) if file.is_json else file.columns
    return file.kind, file.compression, columns, file.types, file.delimiter, file.blank_lines


def common_format(source: str, files: Sequence[TraceFile], options: ReadingOptions) -> TraceFormat:
    """The format that all files share; arrival times only if every file has them alike.

    Raises:
        InputError: A file lacks the columns, or two are of different formats.
    """
    formats = {choose_columns(file.name, file.names, options): file for file in files}
    (first, first_file), *others = formats.items()
    for other, file in others:
        if (other.input_column, other.output_column) != (first.input_column, first.output_column):
            raise InputError(
                f"{source}: {first_file.name} is {first.name} and {file.name} is {other.name}; "
                "bin them apart, and give their workloads together"
            )
    return replace(first, arrival_column=None) if others else first


def timeless_files(files: Sequence[TraceFile], options: ReadingOptions) -> tuple[str, ...]:
    """Names of the files without arrival times, where others of the trace have them."""
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
        {"name": file.name.rsplit("/", 1)[-1], "kind": file.kind, "format": trace_format.name}
        for file in files
    )
