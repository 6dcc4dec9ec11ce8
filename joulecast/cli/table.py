"""`joulecast table`: look at energy tables."""

from pathlib import Path
from typing import Any

import click

from joulecast.cli.completion import complete_tables
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    check_results,
    emit_report,
    group,
    plot_option,
    with_options,
)
from joulecast.traces.errors import InputError
from joulecast.views.numbers import QUANTITIES


@group()
def table() -> None:
    """Look at energy tables."""


@table.command("list")
@with_options(FORMAT_OPTIONS)
def table_list(**options: Any) -> None:
    """List the tables that ship."""
    from joulecast.measurements.table.table import load_table, table_names
    from joulecast.views import table as views

    emit_report(views.table_list_report([load_table(name) for name in table_names()]), options)


@table.command("show")
@click.argument("name", metavar="TABLE", shell_complete=complete_tables)
@click.option(
    "--quantity",
    type=click.Choice(list(QUANTITIES)),
    default=None,
    help="What to show per cell; by default request-energy.",
)
@click.option(
    "--over",
    metavar="TABLE",
    shell_complete=complete_tables,
    help="Show the first table's values over this one's.",
)
@plot_option("Also draw heat maps")
@with_options(FORMAT_OPTIONS)
def table_show(
    name: str, quantity: str | None, over: str | None, plot: Path | None, **options: Any
) -> None:
    """Show energies and largest batches of TABLE, cell by cell.

    Of a table of traffic, the prices; where too few cells were measured to fill in the others,
    those that were.
    """
    from joulecast.measurements.table.table import load_table
    from joulecast.views import table as views

    names = [name] if over is None else [name, over]
    check_results({"--output": options["output"], "--plot": plot}, tables=names)
    loaded, other = load_table(name), None if over is None else load_table(over)
    if other is not None and other.grid != loaded.grid:
        raise InputError(
            f"{other.name}: is on another grid than {loaded.name}; compare tables of one"
        )
    shown = [loaded] if other is None else [loaded, other]
    of_traffic = [table for table in shown if table.is_of_traffic]
    if of_traffic and (other is not None or plot is not None or quantity is not None):
        raise InputError(
            f"{of_traffic[0].name}: is of traffic, which tells prices and no cell's energy; show "
            "it without --over, --plot and --quantity"
        )
    if of_traffic:
        from joulecast.estimator.steps.traffic import fit_traffic

        emit_report(views.traffic_show_report(loaded, fit_traffic(loaded)), options)
        return
    quantity = quantity or "request-energy"
    if other is not None and not loaded.available_cells.keys() & other.available_cells.keys():
        raise InputError(f"{other.name}: has no cell in common with {loaded.name}; compare others")
    if plot is not None:
        from joulecast.plots.table import plot_table

        plot_table(loaded, quantity, other, plot)
    emit_report(views.table_show_report(loaded, quantity, other), options)


@table.command("check")
@click.argument("name", metavar="TABLE", shell_complete=complete_tables)
@with_options(FORMAT_OPTIONS)
def table_check(name: str, **options: Any) -> None:
    """Hold TABLE against what a table should satisfy."""
    from joulecast.estimator.steps.check import step_checks
    from joulecast.measurements.table.checks import check_table
    from joulecast.measurements.table.table import load_table
    from joulecast.views import table as views

    check_results({"--output": options["output"]}, tables=[name])
    loaded = load_table(name)
    checks = [*check_table(loaded), *step_checks(loaded)]
    emit_report(views.table_check_report(loaded, checks), options)
