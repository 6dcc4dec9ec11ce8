"""Options that several commands share, and how errors leave the program."""

import glob
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.grid import Grid
from joulecast.traces.load import (
    LoadedTrace,
    load_distributions,
    load_from_spark,
    load_from_table,
    load_trace,
    summarise,
)
from joulecast.traces.reading.sniff import STANDARD_INPUT, OnInvalid
from joulecast.traces.workload import Workload
from joulecast.views.reading_bar import ReadingBar
from joulecast.views.report import OutputFormat, Report, emit

if TYPE_CHECKING:
    from joulecast.traces.distribution import Distribution
    from joulecast.traces.summary import TraceSummary

Lengths = tuple[int, int] | None
Option = Callable[[Any], Any]
Command = TypeVar("Command", bound=Callable[..., Any])


class JoulecastGroup(click.Group):
    """Ends with one line and status 1 on anything that the user gave and joulecast cannot use."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, turning `InputError` into the line that the user sees."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException(
                "there is not enough memory; estimate a part of the trace, or use --method binned"
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words begin with; completable while a shell asks."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and ctx.resilient_parsing:
            from joulecast.cli.names import add_completions

            add_completions(command, ctx)
        return name, command, rest


def _dash_is_none(
    ctx: click.Context,  # noqa: ARG001 - click passes all three
    param: click.Parameter,  # noqa: ARG001
    value: Path | None,
) -> Path | None:
    return None if value == Path("-") else value


def output_option(*names: str) -> Option:
    """Where to write a result; "-" and nothing mean standard output."""
    return click.option(
        *names,
        "output",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_dash_is_none,
        help="Write to this file instead of standard output.",
    )


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


TRACE_OPTIONS: list[Option] = [
    click.option(
        "--input-column", help="Column of the input length [tokens]; dots lead into JSON objects."
    ),
    click.option("--output-column", help="Column of the output length [tokens]; likewise."),
    click.option(
        "--on-invalid",
        type=click.Choice(["error", "skip"]),
        default="error",
        help="End at the first invalid row, or leave such rows out and count them.",
    ),
    click.option(
        "--memory-limit",
        metavar="SIZE",
        help="Most memory that reading may take, such as 500MB; by default 100 MB a core.",
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
    output_option("-o", "--output"),
]


class _Converted(click.ParamType[Any]):
    """An option whose value a function of ours understands, or says why not."""

    def __init__(self, name: str, convert: Callable[[Any], Any]) -> None:
        self.name, self._convert = name, convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert, or end with wrong usage."""
        try:
            return self._convert(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


def _carbon(value: Any) -> Any:
    from joulecast.estimator.footprint.carbon import intensity_of

    return intensity_of(value)


def _price(value: Any) -> Any:
    from joulecast.estimator.footprint.facility import Price

    return Price.of(value)


COST_OPTIONS: list[Option] = [
    click.option("--pue", type=FiniteRange(1, 100), help="Facility energy over GPU energy."),
    click.option(
        "--carbon",
        type=_Converted("carbon", _carbon),
        metavar="NUMBER|REGION",
        help="Carbon intensity [gCO2e/kWh], or whose to take: FR, France, US-CA, SE3 "
        "(see: joulecast regions).",
    ),
    click.option(
        "--price",
        type=_Converted("price", _price),
        metavar="PRICE",
        help='Price of a kilowatt hour, with a currency if you like: "0.18 EUR".',
    ),
]


def with_options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """A decorator that gives a command several options."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def emit_report(report: Report, options: dict[str, Any]) -> None:
    """Print or write a report as the values of `FORMAT_OPTIONS` say."""
    emit(report, cast("OutputFormat", options["output_format"]), options["output"])


def split_named_traces(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """NAME=FILE arguments, split at the first equals sign."""
    named: list[tuple[str, str]] = []
    for value in values:
        name, _, source = value.partition("=")
        if not (name and source):
            raise click.BadParameter(
                f'"{value}" is not NAME=FILE, such as burstgpt=BurstGPT_1.csv', ctx, param
            )
        if name in dict(named):
            raise click.BadParameter(f'"{name}" is given twice', ctx, param)
        named.append((name, source))
    return tuple(named)


@dataclass(frozen=True)
class TraceInput:
    """How to read the traces of one command."""

    input_column: str | None = None
    output_column: str | None = None
    on_invalid: OnInvalid = "error"
    memory_limit: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "TraceInput":
        """From the values of `TRACE_OPTIONS`."""
        names = ("input_column", "output_column", "on_invalid", "memory_limit")
        return cls(*(options[name] for name in names))

    def load(self, trace: str, grid: Grid | None) -> Workload:
        """TRACE as a workload on a grid; None for its own."""
        return self.load_trace(trace, grid).workload

    def load_trace(
        self, trace: str, grid: Grid | None, most_lengths: int = 0, with_counts: bool = False
    ) -> LoadedTrace:
        """TRACE as a workload on a grid, and more as `traces.load.load_trace` gives it."""
        columns = self.input_column, self.output_column
        with ReadingBar(trace) as bar:
            return load_trace(
                trace, grid, *columns, self.on_invalid, self.memory_limit, bar.watch,
                most_lengths, with_counts,
            )  # fmt: skip

    def load_elsewhere(
        self, source: str, master: str | None, address: str | None, grid: Grid
    ) -> Workload:
        """SOURCE binned by Spark (`master`), or a table binned by its database (`address`)."""
        columns = self.input_column, self.output_column
        if address is not None:
            return load_from_table(address, source, grid, *columns, self.on_invalid)
        return load_from_spark(source, master or "local[*]", grid, *columns, self.on_invalid)

    def distributions(self, trace: str, grid: Grid) -> "tuple[Distribution, Distribution]":
        """How TRACE's lengths are distributed."""
        columns = self.input_column, self.output_column
        with ReadingBar(trace) as bar:
            return load_distributions(
                trace, grid, *columns, self.on_invalid, self.memory_limit, bar.watch
            )

    def summarise(self, trace: str) -> "TraceSummary":
        """TRACE's statistics."""
        columns = self.input_column, self.output_column
        with ReadingBar(trace) as bar:
            return summarise(trace, *columns, self.on_invalid, self.memory_limit, bar.watch)


def check_against_tables(output: Path | None, *names: str) -> None:
    """Refuse to write a result over a file of a table that it is made from."""
    from joulecast.measurements.table.table import table_folder

    for name in names:
        files = f"{glob.escape(str(table_folder(name)))}/*"
        check_output(output, files, kind="file of a table")


def check_output(output: Path | None, *sources: str, kind: str = "trace") -> None:
    """Refuse to write a result over a file of some kind that it is made from."""
    if output is None or not exists(output):
        return
    for given in sources:
        source = given.removeprefix("file://")
        if source == STANDARD_INPUT and _is_standard_input(output):
            raise InputError(f"{output}: is what standard input is; write to another file")
        names = [source] if exists(source) else glob.glob(source, recursive=True)
        if any(exists(name) and output.samefile(name) for name in names):
            raise InputError(f"{output}: is a {kind} that was given; write to another file")


def _is_standard_input(path: Path) -> bool:
    """Whether standard input was redirected from that file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()))
    except (AttributeError, OSError, ValueError):
        return False  # closed, or no file at all
