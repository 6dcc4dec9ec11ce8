"""Results as people and programs get them: a table for the terminal or LaTeX, JSON, or CSV."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from joulecast.traces.errors import InputError
from joulecast.traces.files import write_text
from joulecast.traces.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import RenderableType

OutputFormat = Literal["table", "json", "csv", "latex"]
WIDTH = 100
"""Width of a table that no terminal shows, and the largest that one does [letters]."""
NARROWEST = 40


@dataclass(frozen=True)
class Report:
    """One result in its three shapes.

    Attributes:
        document: The JSON document.
        rows: The CSV rows, all with the same keys; nested values become dotted columns.
        view: What a terminal shows.
    """

    document: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    view: "RenderableType"


def emit(report: Report, output_format: OutputFormat, output: Path | None) -> None:
    """Print a report, or write it to a file whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    if output is not None:
        write_text(output, _text(report, output_format, "utf-8"))
        return
    with _standard_output() as stdout:
        is_terminal = stdout.isatty()
        if is_terminal and output_format == "table":
            from rich.console import Console

            width = _width(stdout)
            # With a height, Rich believes the width of a dumb terminal, too.
            Console(file=stdout, width=width, height=WIDTH, highlight=False).print(report.view)
            return
        text = _text(report, output_format, stdout.encoding or "utf-8")
        if is_terminal:  # CSV for programs is as it is, since it has no way to escape a letter
            text = "\n".join(map(printable, text.split("\n")))
        stdout.write(text)


def print_text(text: str) -> None:
    """Print to standard output, and see that it arrives.

    Raises:
        InputError: It is closed, or what it leads to is full.
    """
    with _standard_output() as stdout:
        stdout.write(text)


def print_line(text: str) -> None:
    """Print a line to standard output, likewise; what a name holds steers no terminal."""
    print_text(f"{printable(text)}\n")


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    stdout = sys.stdout
    if stdout is None:
        raise InputError("standard output is closed; write to a file with --output")
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")  # a terminal may lack some letters
    try:
        yield stdout
        stdout.flush()
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except OSError as error:
        # What is still in the buffer would fail again, with a traceback, as Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        raise InputError(f"standard output cannot be written ({error.strerror})") from error


def _width(terminal: TextIO) -> int:
    """How wide to draw on a terminal; COLUMNS says it for one that does not know."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else os.get_terminal_size(terminal.fileno()).columns
    return max(NARROWEST, min(WIDTH, width or WIDTH))


def _text(report: Report, output_format: OutputFormat, encoding: str) -> str:
    """A report in letters that an encoding has."""
    if output_format == "json":
        return json_text(report.document, encoding, indent=2) + "\n"
    if output_format == "csv":
        return _csv([flatten(row) for row in report.rows])
    if output_format == "latex":
        from joulecast.views.latex import latex_text

        return latex_text(report.view)
    from rich.console import Console

    page = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace", newline="\n")
    Console(file=page, width=WIDTH, highlight=False, no_color=True).print(report.view)
    page.seek(0)
    return "\n".join(line.rstrip() for line in page.read().removesuffix("\n").split("\n")) + "\n"


def json_text(
    document: Mapping[str, Any], encoding: str = "utf-8", indent: int | None = None
) -> str:
    """A JSON document in letters that an encoding has; what could steer a terminal is escaped."""
    text = _json(document, indent, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return _json(document, indent, ensure_ascii=True)
    return text


def _json(document: Mapping[str, Any], indent: int | None, *, ensure_ascii: bool) -> str:
    text = json.dumps(document, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    return printable_json(text)


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: dict[str, None] = {}
    for row in rows:
        columns |= dict.fromkeys(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
