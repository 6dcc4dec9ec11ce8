"""From a file as the user has it to one whose rows can be read."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from joulecast.traces.errors import InputError
from joulecast.traces.reading.options import NO_COLUMN, ReadingOptions
from joulecast.traces.reading.rewriting.faults import Fault
from joulecast.traces.reading.rewriting.forms import Form, Wanted, Write, find_form
from joulecast.traces.reading.rewriting.text import Peek
from joulecast.traces.reading.sniff import TraceFile, describe, look_at

if TYPE_CHECKING:
    import duckdb


def describe_rows(
    path: Path,
    name: str,
    folder: str,
    options: ReadingOptions,
    database: "duckdb.DuckDBPyConnection | None" = None,
) -> TraceFile:
    """Recognise one file by its content; one whose rows cannot be read is written anew as rows.

    Args:
        path: Where it is.
        name: What to call it in messages.
        folder: Where a file that is written anew goes.
        options: Which columns the user named.
        database: A DuckDB to look into Parquet files with, if one is at hand.

    Raises:
        InputError: It is no trace, or breaks off.
    """
    peek = Peek(look_at(path, name))
    chosen_form = _find(peek, options)
    if chosen_form is None:
        return describe(peek.look, database)
    form, write = chosen_form
    target = _written(peek, write, folder)
    file = describe(look_at(target, name), database)
    return replace(file, form=form.name, has_lines=form.keeps_lines)


def describe_as_is(path: Path, name: str, options: ReadingOptions, engine: str) -> TraceFile:
    """Recognise one file by its content, for an engine that reads it where it is.

    Raises:
        InputError: It is no trace, or of a form that must be written anew first.
    """
    peek = Peek(look_at(path, name))
    chosen_form = _find(peek, options)
    if chosen_form is not None and not chosen_form[0].is_read_elsewhere:
        raise InputError(
            f"{name}: is of the form {chosen_form[0].name}, which {engine} does not read; bin it "
            "with DuckDB"
        )
    return describe(peek.look)


def _find(peek: Peek, options: ReadingOptions) -> tuple[Form, Write] | None:
    named = (options.input_column, options.output_column, options.arrival_column)
    wanted: Wanted = frozenset(column for column in named if column not in (None, NO_COLUMN))
    try:
        return find_form(peek, wanted)
    except Fault as fault:
        raise InputError(f"{peek.look.name}: {fault}") from fault
    except OSError as error:
        raise InputError(f"{peek.look.name}: cannot be read ({error.strerror})") from error


def _written(peek: Peek, write: Write, folder: str) -> Path:
    """The file written anew."""
    name = peek.look.name
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            target = Path(file.name)
        write(peek, target)
    except Fault as fault:
        raise InputError(f"{name}: {fault}") from fault
    except OSError as error:
        raise InputError(f"{name}: cannot be written anew in {folder} ({error})") from error
    return target
