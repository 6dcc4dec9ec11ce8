"""Results as people and programs get them: a table for the terminal, JSON, or CSV."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from joulecast.traces.errors import InputError
from joulecast.traces.files import write_text

if TYPE_CHECKING:
    from rich.console import RenderableType

OutputFormat = Literal["table", "json", "csv"]
QUANTITIES = {
    "request-energy": "energy per request in a full batch [J]",
    "batch-energy": "energy per batch, E_batch [J]",
    "batch-size": "largest batch, B [requests]",
}
WIDTH = 100
NARROWEST = 80


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
    if output_format == "json":
        text = json.dumps(report.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    elif output_format == "csv":
        text = _csv([flatten(row) for row in report.rows])
    elif output is None and sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console

        width = max(NARROWEST, min(WIDTH, Console().width))
        with _standard_output() as stdout:
            Console(file=stdout, width=width, highlight=False).print(report.view)
        return
    else:
        text = _plain(report.view)
    if output is None:
        print_text(text)
    else:
        write_text(output, text)


def print_text(text: str) -> None:
    """Print to standard output, and see that it arrives.

    Raises:
        InputError: It is closed, or what it leads to is full.
    """
    with _standard_output() as stdout:
        stdout.write(text)


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


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def joules(energy_j: float) -> str:
    """An energy with four digits and the fitting prefix."""
    if energy_j == 0:
        return "0 J"
    rounded_j = four_significant(energy_j)
    for factor, unit in ((1e12, "TJ"), (1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J")):
        if rounded_j >= factor:
            return f"{plain_digits(rounded_j / factor)} {unit}"
    return f"{plain_digits(rounded_j * 1e3)} mJ"


def four_digits(number: float) -> str:
    """A number with four digits, trailing zeros included."""
    return f"{number:#.4g}".rstrip(".")


def three_digits(number: float) -> str:
    """Three digits, which fit into a cell; whole numbers whole."""
    return (
        f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:#.3g}".rstrip(".")
    )


def compact(number: float) -> str:
    """A number in few letters, for a narrow cell: two or three digits."""
    rounded = float(f"{number:.2e}")
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")):
        if rounded >= size:
            shown = rounded / size
            is_whole = shown >= 9.95 or (suffix == "" and number == int(number))
            return f"{shown:.0f}{suffix}" if is_whole else f"{shown:.1f}{suffix}"
    return f"{number:.1g}"


def kwh(energy_kwh: float) -> str:
    """Kilowatt hours with four digits."""
    return f"{plain_digits(energy_kwh)} kWh"


def grams(mass_g: float) -> str:
    """A mass of CO2 equivalents with four digits and the fitting unit."""
    for factor, unit in ((1e6, "t CO2e"), (1e3, "kg CO2e")):
        if four_significant(mass_g) >= factor:
            return f"{plain_digits(mass_g / factor)} {unit}"
    return f"{plain_digits(mass_g)} gCO2e"


def money(amount: float, currency: str | None) -> str:
    """An amount with four digits, or to the cent if it is large."""
    text = plain_digits(amount) if amount < 100 else f"{amount:,.2f}"
    return f"{text} {currency}" if currency else text


def plain_digits(number: float) -> str:
    """A number of 0 or more with four digits, never with an exponent."""
    if number == 0:
        return "0"
    decimals = 3 - math.floor(math.log10(four_significant(number)))
    return f"{number:,.{max(0, decimals)}f}"


def four_significant(number: float) -> float:
    """A number rounded to four digits."""
    return float(f"{number:.3e}")


def percent(share: float) -> str:
    """A share as a percentage; a trace of something is never shown as nothing."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: dict[str, None] = {}
    for row in rows:
        columns |= dict.fromkeys(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plain(view: "RenderableType") -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=WIDTH, highlight=False, no_color=True).print(view)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def invalid_text(invalid: Mapping[str, int]) -> str:
    """How many rows were invalid, and why."""
    total = f"{sum(invalid.values()):,} invalid"
    if not invalid:
        return total
    return f"{total} ({', '.join(f'{count:,} {reason}' for reason, count in invalid.items())})"
