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

    REPLAYS is a file or folder; by default the ones that ship. Of requests that came over time,
    steps and latencies are held against the clock, too.
    """
    from joulecast.estimator import validate as estimator
    from joulecast.estimator.online.validate import validate_online
    from joulecast.measurements.replay import SHIPPED, SHIPPED_ONLINE, Replay
    from joulecast.measurements.table.table import load_table
    from joulecast.views.validate import validation_report

    places = [SHIPPED, SHIPPED_ONLINE] if replays is None else [replays]
    paths = {path: place for place in places for path in estimator.find_replays(place)}
    results = {"--output": options["output"], "--plot": plot}
    check_results(results, tables=table_names, replays=map(str, paths))
    tables = [load_table(name) for name in table_names]
    validations, online, fit = [], [], estimator.fitting_once()
    for path, place in paths.items():
        replay = Replay.load(path)
        name = path.stem if path == place else path.relative_to(place).with_suffix("").as_posix()
        shipped = estimator.shipped_tables_for(replay)
        if replay.served is not None:
            if tables:
                estimator.require_alike(name, replay, tables)
            online.append(validate_online(name, replay, tables or shipped))
            continue
        hosts = [*tables, *shipped] if is_host_known else []
        validations.append(
            estimator.validate(
                name, replay, tables or shipped, hosts, fit, takes_other_conditions=bool(tables)
            )
        )
    emit_report(validation_report(validations, online), options)
    if plot is not None:
        from joulecast.plots.validate import plot_validations

        plot_validations(validations, online, plot)
