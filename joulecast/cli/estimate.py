"""`joulecast estimate` and `joulecast compare`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from joulecast.cli.options import (
    COST_OPTIONS,
    FORMAT_OPTIONS,
    TRACE_OPTIONS,
    TraceInput,
    check_against_tables,
    check_output,
    emit_report,
    with_options,
)
from joulecast.traces.errors import InputError
from joulecast.traces.files import shown_address

if TYPE_CHECKING:
    from joulecast.estimator.compare import EstimationMethod
    from joulecast.estimator.footprint.carbon import CarbonIntensity
    from joulecast.estimator.footprint.facility import Price
    from joulecast.measurements.table.table import EnergyTable
    from joulecast.traces.load import LoadedTrace

_METHOD_OPTION = click.option(
    "--method",
    type=click.Choice(["binned", "stepwise"]),
    default="binned",
    help="The paper's formula, or the step model, which has a 95 % interval.",
)
_WHOLE_BATCHES_OPTION = click.option(
    "--whole-batches",
    is_flag=True,
    help="Round the batches of a cell up to whole ones (binned).",
)
_HTML_OPTION = click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the result as a page, one file to look at or to send on.",
)


@click.command()
@click.argument("trace")
@click.option(
    "--table",
    "table_name",
    required=True,
    metavar="TABLE",
    help="A shipped table (see: joulecast table list) or a folder.",
)
@_METHOD_OPTION
@_WHOLE_BATCHES_OPTION
@click.option("--explain", is_flag=True, help="Also show where the joules go (stepwise).")
@click.option(
    "--host",
    "host_name",
    metavar="TABLE",
    help="A table measured on the serving host, for the pace of its processor (stepwise).",
)
@with_options(COST_OPTIONS)
@_HTML_OPTION
@with_options(TRACE_OPTIONS)
@with_options(FORMAT_OPTIONS)
def estimate(
    trace: str,
    table_name: str,
    method: str,
    whole_batches: bool,
    explain: bool,
    host_name: str | None,
    pue: float | None,
    carbon: "CarbonIntensity | None",
    price: "Price | None",
    html: Path | None,
    **options: Any,
) -> None:
    """Estimate the energy of TRACE.

    TRACE is a file or a glob of files, an address, - (standard input), a saved workload, or the
    name of a public trace (see: joulecast trace list).
    """
    from joulecast.estimator.footprint.facility import Facility
    from joulecast.measurements.table.table import load_table
    from joulecast.views.estimate import estimate_report

    if explain and method != "stepwise":
        raise click.UsageError("--explain is for --method stepwise")
    if host_name is not None and method != "stepwise":
        raise click.UsageError("--host is for --method stepwise")
    facility = Facility.of(pue, carbon, price)
    table = load_table(table_name)
    host = None if host_name is None else load_table(host_name)
    _check_files(options["output"], html, trace, [table] if host is None else [table, host])
    loaded, make = _load_for(method, whole_batches, trace, table, html, options, host)
    result = make(loaded.workload, table, shown_address(trace)).at(facility)
    if html is not None:
        from joulecast.pages.estimate import write_estimate_page

        write_estimate_page(html, result, table, loaded, host, _command_line())
        click.echo(f"{html}: the page of this estimate", err=True)
    emit_report(estimate_report(result, table, explain), options)


@click.command()
@click.argument("trace")
@click.option(
    "--table",
    "table_names",
    required=True,
    multiple=True,
    metavar="TABLE",
    help="A shipped table or a folder; give it again for each further table.",
)
@_METHOD_OPTION
@_WHOLE_BATCHES_OPTION
@with_options(COST_OPTIONS)
@_HTML_OPTION
@with_options(TRACE_OPTIONS)
@with_options(FORMAT_OPTIONS)
def compare(
    trace: str,
    table_names: tuple[str, ...],
    method: str,
    whole_batches: bool,
    pue: float | None,
    carbon: "CarbonIntensity | None",
    price: "Price | None",
    html: Path | None,
    **options: Any,
) -> None:
    """Hold TRACE's estimate against its ideals, and tables against the first one.

    Tables are of one model on one grid: engines, GPUs, or one engine with other settings.
    """
    from joulecast.estimator.compare import compare_tables
    from joulecast.estimator.footprint.facility import Facility
    from joulecast.measurements.table.table import load_table
    from joulecast.views.estimate import compare_report

    facility = Facility.of(pue, carbon, price)
    tables = [load_table(name) for name in table_names]
    _check_files(options["output"], html, trace, tables)
    loaded, make = _load_for(method, whole_batches, trace, tables[0], html, options)
    result = compare_tables(make, loaded.workload, tables, shown_address(trace)).at(facility)
    if html is not None:
        from joulecast.pages.compare import write_compare_page

        write_compare_page(html, result, tables, loaded, _command_line())
        click.echo(f"{html}: the page of this comparison", err=True)
    emit_report(compare_report(result, tables), options)


def _load_for(
    method: str,
    whole_batches: bool,
    trace: str,
    table: "EnergyTable",
    html: Path | None,
    options: dict[str, Any],
    host: "EnergyTable | None" = None,
) -> "tuple[LoadedTrace, EstimationMethod]":
    """TRACE as a method and a page want it, and the method."""
    from joulecast.estimator.forecast import Method, estimation_method, reading_of

    if whole_batches and method != "binned":
        raise click.UsageError("--whole-batches is for --method binned")
    chosen = cast("Method", method)
    reading = reading_of(chosen, table)
    loaded = TraceInput.of(options).load_trace(trace, *reading, with_counts=html is not None)
    return loaded, estimation_method(chosen, loaded, whole_batches, host)


def _check_files(
    output: Path | None, html: Path | None, trace: str, tables: "Sequence[EnergyTable]"
) -> None:
    """Refuse files that would replace one another or what they are made from, before any work."""
    if html is not None and (str(html) == "-" or html.parent in _NO_FOLDERS):
        raise click.UsageError(f"--html {html}: a page is a file of its own; name one")
    for path in (output, html):
        check_output(path, trace)
        check_against_tables(path, *(table.name for table in tables))
        if path is not None and not path.parent.is_dir():
            raise InputError(
                f"{shown_address(str(path))}: cannot be written, since its folder does not exist"
            )
    if html is not None and output is not None and html.resolve() == output.resolve():
        raise click.UsageError("--html and --output are the same file")


_NO_FOLDERS = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}


def _command_line() -> str:
    """What the user typed, to be typed again."""
    words = click.get_current_context().find_root().meta.get("joulecast.words", ())
    return shlex.join(["joulecast", *map(shown_address, words)])


@click.command("regions")
@click.argument("words", nargs=-1)
@with_options(FORMAT_OPTIONS)
def region_list(words: tuple[str, ...], **options: Any) -> None:
    """Regions that --carbon knows, with their carbon intensity; WORDS narrow them down."""
    from joulecast.estimator.footprint.carbon import regions
    from joulecast.views.regions import region_list_report

    wanted = " ".join(words).casefold()
    found = [one for one in regions().values() if wanted in f"{one.region} {one.name}".casefold()]
    if not found:
        raise InputError(f'no region with "{wanted}" in its code or name')
    emit_report(region_list_report(found), options)
