"""Options that several commands share, and how errors leave the program."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traces.errors import InputError
from traces.grid import PAPER_GRID, Grid
from traces.load import is_saved_workload, load_workload, require_trace
from traces.sources import STANDARD_INPUT, OnInvalid
from traces.workload import Workload

if TYPE_CHECKING:
    from traces.summary import TraceSummary

Lengths = tuple[int, int] | None
Option = Callable[[Any], Any]


class JoulecastGroup(click.Group):
    """Ends with one line and status 1 on anything that the user gave and joulecast cannot use."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, turning `InputError` into the line that the user sees."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.ClickException(str(error)) from error


TRACE_OPTIONS: list[Option] = [
    click.option("--input-column", help="Column of the input length [tokens]."),
    click.option("--output-column", help="Column of the output length [tokens]."),
    click.option(
        "--on-invalid",
        type=click.Choice(["error", "skip"]),
        default="error",
        help="End at the first invalid row, or leave such rows out and count them.",
    ),
]

FORMAT_OPTIONS: list[Option] = [
    click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        help="How to print the result.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to this file instead of standard output.",
    ),
]


class FiniteRange(click.FloatRange):
    """A float range that takes neither nan nor inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert and check."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


def split_named_traces(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """NAME=FILE arguments, split at the first equals sign."""
    named = []
    for value in values:
        name, _, source = value.partition("=")
        if not (name and source):
            raise click.BadParameter(
                f'"{value}" is not NAME=FILE, such as burstgpt=BurstGPT_1.csv', ctx, param
            )
        named.append((name, source))
    return tuple(named)


@dataclass(frozen=True)
class TraceInput:
    """How to read the traces of one command."""

    input_column: str | None = None
    output_column: str | None = None
    on_invalid: OnInvalid = "error"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "TraceInput":
        """From the values of `TRACE_OPTIONS`."""
        return cls(options["input_column"], options["output_column"], options["on_invalid"])

    def load(self, trace: str, grid: Grid) -> Workload:
        """TRACE as a workload on a grid."""
        return load_workload(trace, grid, self.input_column, self.output_column, self.on_invalid)

    def summarise(self, trace: str) -> "TraceSummary":
        """TRACE's statistics: exact from a file of requests, bounded from a workload."""
        from traces.catalog import is_embedded
        from traces.summary import summarise_trace, summarise_workload

        if is_saved_workload(trace) or (is_embedded(trace) and not Path(trace).exists()):
            return summarise_workload(load_workload(trace))
        require_trace(trace)
        from traces.binning import bin_trace
        from traces.reader import open_trace

        columns = self.input_column, self.output_column
        with open_trace(trace, *columns, self.on_invalid) as opened:
            return summarise_trace(opened, bin_trace(opened, PAPER_GRID))


def check_output(output: Path | None, source: str) -> None:
    """Refuse to write a result over the trace that it is made from."""
    if output is None or source == STANDARD_INPUT:
        return
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise InputError(f"{output}: is the trace itself; give another file")
