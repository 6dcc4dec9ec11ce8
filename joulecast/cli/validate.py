"""`joulecast validate`: every method held against replays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from joulecast.cli.completion import complete_tables
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    check_results,
    command,
    emit_report,
    plot_option,
    with_options,
)


@command()
@click.argument("replays", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--table",
    "table_names",
    multiple=True,
    metavar="TABLE",
    shell_complete=complete_tables,
    help="Table to estimate from; by default a shipped one of the replay's kind and conditions.",
)
@click.option(
    "--known-host/--unknown-host",
    "is_host_known",
    default=True,
    help="Whether to take the pace of a replay's host from a table measured on the same card.",
)
@plot_option("Also draw it")
@with_options(FORMAT_OPTIONS)
def validate(
    replays: Path | None,
    table_names: Sequence[str],
    is_host_known: bool,
    plot: Path | None,
    **options: Any,
) -> None:
    """Hold every method's estimates of REPLAYS against what they took.

    REPLAYS is a file or folder; by default the ones that ship.
    """
    from joulecast.estimator import validate as estimator
    from joulecast.measurements.replay import SHIPPED, Replay
    from joulecast.measurements.table.table import load_table
    from joulecast.views.validate import validation_report

    place = replays or SHIPPED
    paths = estimator.find_replays(place)
    results = {"--output": options["output"], "--plot": plot}
    check_results(results, tables=table_names, replays=map(str, paths))
    tables = [load_table(name) for name in table_names]
    validations, fit = [], estimator.fitting_once()
    for path in paths:
        replay = Replay.load(path)
        name = path.stem if path == place else path.relative_to(place).with_suffix("").as_posix()
        shipped = estimator.shipped_tables_for(replay)
        hosts = [*tables, *shipped] if is_host_known else []
        validations.append(
            estimator.validate(
                name, replay, tables or shipped, hosts, fit, takes_other_conditions=bool(tables)
            )
        )
    emit_report(validation_report(validations), options)
    if plot is not None:
        from joulecast.plots.validate import plot_validations

        plot_validations(validations, plot)
