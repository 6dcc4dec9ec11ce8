"""The `joulecast` command."""

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from joulecast.cli.estimate import compare, estimate, region_list
from joulecast.cli.lazy import LazyModule
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    TRACE_OPTIONS,
    JoulecastGroup,
    Lengths,
    TraceInput,
    check_against_tables,
    check_output,
    emit_report,
    output_option,
    split_named_traces,
    with_options,
)
from joulecast.cli.trace import trace as trace_group
from joulecast.version import VERSION
from joulecast.views.report import QUANTITIES

if TYPE_CHECKING:
    from joulecast.views import lengths as views
    from joulecast.views import table as table_views
else:
    # Binning a trace needs neither, and importing them takes longer than reading a million rows.
    views, table_views = LazyModule("joulecast.views.lengths"), LazyModule("joulecast.views.table")

LENGTH = click.IntRange(1, 2**31)


class MainGroup(JoulecastGroup):
    """Imports commands that bring a good deal along when they are called for."""

    _later = ("completion", "doctor", "measure", "replay", "validate")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, sorted."""
        return sorted([*super().list_commands(ctx), *self._later])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, for results that say how they were made."""
        ctx.meta["joulecast.words"] = tuple(args)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name == "completion":
            from joulecast.cli.completion import completion

            return completion
        if cmd_name == "doctor":
            from joulecast.cli.doctor import doctor

            return doctor
        if cmd_name == "measure":
            from joulecast.cli.measure import measure

            return measure
        if cmd_name in self._later:
            from joulecast.cli import replay as cli_replay

            return cli_replay.replay if cmd_name == "replay" else cli_replay.validate_command
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=MainGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(VERSION, message="%(prog)s %(version)s")
def main() -> None:
    """Forecast the energy that an LLM serving stack will spend on a request trace."""
    if threading.current_thread() is threading.main_thread():
        # Ended from outside, temporary files go and a sweep closes its folder, as with Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@main.command()
@click.option(
    "--table",
    "table_names",
    multiple=True,
    metavar="TABLE",
    help="A PyTorch and a vLLM table of one GPU; by default the shipped ones.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    help="Take the shipped tables of this GPU, such as h100-sxm, in the place of --table.",
)
@click.option(
    "--trace",
    "traces",
    multiple=True,
    callback=split_named_traces,
    metavar="NAME=FILE",
    help="A row's trace: burstgpt, azure-2024-code, azure-2024-conv, or a name of your own.",
)
@click.option(
    "--peak",
    type=click.Choice(["dense", "sparse"]),
    default="dense",
    help="Peak of the ideal: what the chip can do, or the paper's convention.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw the table (.png, .svg or .pdf).",
)
@with_options(TRACE_OPTIONS)
@with_options(FORMAT_OPTIONS)
def table4(
    table_names: tuple[str, ...],
    gpu: str | None,
    traces: tuple[tuple[str, str], ...],
    peak: str,
    plot: Path | None,
    **options: Any,
) -> None:
    """Regenerate the paper's Table 4 beside the published one."""
    from joulecast.estimator.paper.table4 import (
        DEFAULT_TABLES,
        build_table4,
        embedded_rows,
        pick_tables,
        published_rows,
        tables_of,
    )
    from joulecast.measurements.hardware import Peak
    from joulecast.measurements.table.table import load_table
    from joulecast.plots.figure import check_plot_path
    from joulecast.plots.table4 import plot_table4
    from joulecast.traces.public.catalog import load_embedded
    from joulecast.traces.public.datasets import best_source
    from joulecast.views import table4 as table4_views

    if gpu is not None and table_names:
        raise click.UsageError("--gpu takes the place of --table")
    names = table_names or (DEFAULT_TABLES if gpu is None else tables_of(gpu))
    tables = pick_tables([load_table(name) for name in names])
    given = TraceInput.of(options)
    for path in (options["output"], plot):
        check_output(path, *(source for _, source in traces))
        check_against_tables(path, *names)
    if plot is not None:
        check_plot_path(plot)
        if plot == options["output"]:
            raise click.UsageError("--plot and --output are the same file")
    workloads = {key: (key, load_embedded(key)) for key in embedded_rows()}
    own = dict(traces)
    workloads |= {key: best_source(key) for key in published_rows() if key not in own}
    workloads |= {key: (source, given.load(source, None)) for key, source in traces}
    result = build_table4(workloads, tables, cast("Peak", peak))
    if plot is not None:
        plot_table4(result, plot)
    emit_report(table4_views.table4_report(result, tables), options)


@main.command("tables")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    callback=split_named_traces,
    metavar="NAME=FILE",
    help="A task's workload, as joulecast trace task makes it.",
)
@with_options(FORMAT_OPTIONS)
def tables(tasks: tuple[tuple[str, str], ...], **options: Any) -> None:
    """Regenerate the paper's Tables 1 to 3, lengths of tasks and traces, beside the published."""
    from joulecast.traces.errors import unknown_name
    from joulecast.traces.public.tasks import task_names
    from joulecast.traces.workload import Workload
    from joulecast.views.length_tables import tables_report

    for name, _ in tasks:
        if name not in task_names():
            raise unknown_name("task", name, task_names())
    loaded = {name: Workload.load(Path(source)) for name, source in tasks}
    emit_report(tables_report(loaded), options)


main.add_command(estimate)
main.add_command(compare)
main.add_command(region_list)
main.add_command(trace_group)


@main.group(cls=JoulecastGroup)
def table() -> None:
    """Look at energy tables."""


@table.command("list")
@with_options(FORMAT_OPTIONS)
def table_list(**options: Any) -> None:
    """The tables that ship."""
    from joulecast.measurements.table.table import load_table, table_names

    emit_report(
        table_views.table_list_report([load_table(name) for name in table_names()]), options
    )


@table.command("show")
@click.argument("name", metavar="TABLE")
@click.option(
    "--quantity",
    type=click.Choice(list(QUANTITIES)),
    default="request-energy",
    help="What to show per cell.",
)
@click.option("--over", metavar="TABLE", help="Show the first table's values over this one's.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw heat maps into this file (.png, .svg or .pdf).",
)
@with_options(FORMAT_OPTIONS)
def table_show(
    name: str, quantity: str, over: str | None, plot: Path | None, **options: Any
) -> None:
    """Energies and largest batches of TABLE, cell by cell."""
    from joulecast.measurements.table.table import load_table

    output = options["output"]
    if plot is not None and output is not None and plot.resolve() == output.resolve():
        raise click.UsageError("--plot and --output name the same file")
    for path in (output, plot):
        check_against_tables(path, name, *([] if over is None else [over]))
    loaded, other = load_table(name), None if over is None else load_table(over)
    if other is not None:
        table_views.same_grid(loaded, other)
    if plot is not None:
        from joulecast.plots.table import plot_table

        plot_table(loaded, quantity, other, plot)
    emit_report(table_views.table_show_report(loaded, quantity, other), options)


@table.command("check")
@click.argument("name", metavar="TABLE")
@with_options(FORMAT_OPTIONS)
def table_check(name: str, **options: Any) -> None:
    """Read TABLE strictly and hold it against what a table should satisfy."""
    from joulecast.estimator.steps.check import step_check
    from joulecast.measurements.table.checks import check_table
    from joulecast.measurements.table.table import load_table

    check_against_tables(options["output"], name)
    loaded = load_table(name)
    checks = [*check_table(loaded), step_check(loaded)]
    emit_report(table_views.table_check_report(loaded, checks), options)


@main.command()
@click.argument("model")
@click.option("--input", "input_tokens", type=LENGTH, help="Input length [tokens].")
@click.option("--output", "output_tokens", type=LENGTH, help="Output length [tokens].")
@click.option("--recompute", is_flag=True, help="Count with the DeepSpeed profiler again.")
@with_options(FORMAT_OPTIONS[:1])
@output_option("--output-file")
def flops(
    model: str,
    input_tokens: int | None,
    output_tokens: int | None,
    recompute: bool,
    **options: Any,
) -> None:
    """FLOPs of a request of MODEL: a shipped name, or with --recompute your own config.json."""
    from joulecast.estimator.flops import load_flops, profile, provenance
    from joulecast.traces.grid import POWER_OF_TWO_GRID

    if (input_tokens is None) != (output_tokens is None):
        raise click.UsageError("give both --input and --output, or neither for the whole grid")
    lengths: Lengths = None
    if input_tokens is not None and output_tokens is not None:
        lengths = (input_tokens, output_tokens)
    law = profile(model) if recompute else load_flops(model)
    stored = provenance()
    made = (
        "counted now"
        if recompute
        else f"counted on {stored['computed_on']} with deepspeed {stored['deepspeed']}, torch "
        f"{stored['torch']}, transformers {stored['transformers']}"
    )
    emit_report(views.flops_report(law, lengths, POWER_OF_TWO_GRID, made), options)
