"""`--per-request`: the part of an estimate that each request takes, as a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from joulecast.cli.options import say
from joulecast.traces.errors import InputError

if TYPE_CHECKING:
    from joulecast.estimator.estimate import Estimate
    from joulecast.traces.load import LoadedTrace


def _is_csv(
    ctx: click.Context,
    param: click.Parameter,
    value: Path | None,
) -> Path | None:
    """Refuse a file whose name says that it is of another kind."""
    if value is not None and value.suffix.lower() in {
        ".parquet",
        ".json",
        ".jsonl",
        ".xlsx",
        ".gz",
    }:
        raise click.BadParameter(f"{value}: it is written as CSV; name a .csv file", ctx, param)
    if value == Path("-"):
        raise click.BadParameter("-: the estimate itself is printed; name a .csv file", ctx, param)
    return value


PER_REQUEST_OPTION = click.option(
    "--per-request",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_is_csv,
    metavar="FILE",
    help="Also write the part of each request as a row of a CSV file; they sum to the whole "
    "(stepwise).",
)


def require_told_apart(loaded: "LoadedTrace", trace: str) -> None:
    """Refuse a trace of which only sums are known.

    Args:
        loaded: The trace.
        trace: What to call it.

    Raises:
        InputError: It is such a one.
    """
    if loaded.lengths is None and loaded.timed is None:
        raise InputError(
            f"{trace}: is a workload, in which requests are not told apart, so --per-request has "
            "none to write; give the file of requests"
        )


def write_per_request(path: Path, estimate: "Estimate") -> None:
    """Write the file, and say so."""
    from joulecast.views.rates.requests import write_requests

    write_requests(path, estimate)
    kind = "" if estimate.basis is None else f", {estimate.basis.kind}"
    say(f"{path}: GPU energy of {estimate.requests['estimated']:,} requests{kind}")
