"""`joulecast trace`: look at traces and bin them."""

from pathlib import Path
from typing import Any

import click

from joulecast.cli.completion import complete_public_traces, complete_tasks, traces_argument
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    check_picture,
    check_results,
    emit_report,
    group,
    output_option,
    say,
    with_options,
)
from joulecast.cli.trace_options import GROUP_OPTION, TRACE_OPTIONS, reading
from joulecast.traces.files import database_file, write_text
from joulecast.traces.inputs.inputs import trace_name
from joulecast.views.numbers import arrivals_text, invalid_text
from joulecast.views.report import print_line, print_text


@group()
def trace() -> None:
    """Look at traces and bin them."""


@trace.command("list")
@with_options(FORMAT_OPTIONS)
def trace_list(**options: Any) -> None:
    """List public traces: those that ship, and those to be fetched."""
    from joulecast.traces.public.listing import public_traces
    from joulecast.views.trace import trace_list_report

    emit_report(trace_list_report(public_traces()), options)


@trace.command("fetch")
@click.argument("name", shell_complete=complete_public_traces)
@click.option("--again", is_flag=True, help="Fetch anew what is cached.")
@click.option(
    "--from-hub", is_flag=True, help="Get it through datasets from the Hugging Face hub (BurstGPT)."
)
def trace_fetch(name: str, again: bool, from_hub: bool) -> None:
    """Download the public trace NAME, and keep it.

    It is checked, and it and its workload are kept in the cache. From then on NAME stands for it
    wherever a TRACE is asked for. A download that broke off goes on where it was.
    """
    from joulecast.traces.public.catalog import find_entry
    from joulecast.traces.public.fetch import fetch
    from joulecast.views.progress import DownloadBar

    entry = find_entry(name)
    with DownloadBar(name) as bar:
        workload = fetch(entry, bar.tell, again, from_hub)
    requests, failed = workload.total.requests, workload.failed.requests
    print_line(
        f"{name}: {requests:,} requests, {failed:,} failed, in {entry.workload_file}; cite: "
        f"{entry.citation} ({entry.licence})"
    )


@trace.command("task")
@click.argument("name", shell_complete=complete_tasks)
@click.option("--tokenizer", help="Folder of a tokenizer, or its name on the Hugging Face hub.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the data set's files; it comes from the hub if not given.",
)
@click.option("--unpadded", is_flag=True, help="Keep every text as long as it is.")
@click.option(
    "--from-figures",
    is_flag=True,
    help="Make requests (CSV) with the figures of the paper's Table 3, without texts or tokenizer.",
)
@output_option("-o", "--output")
def trace_task(
    name: str,
    tokenizer: str | None,
    data: Path | None,
    unpadded: bool,
    from_figures: bool,
    output: Path | None,
) -> None:
    """Make a workload of the NLP task NAME.

    NAME is wmt-14, wikitext-2, imdb or cnn-dailymail: 1,024 texts in tokens of the tokenizer,
    padded to the longest as the paper does.
    """
    from joulecast.traces.public.tasks import load_task, reconstruct_task

    check_results({"--output": output})
    if from_figures:
        if tokenizer is not None or data is not None:
            raise click.UsageError("--from-figures needs neither --tokenizer nor --data")
        rows = "".join(f"{i},{o}\n" for i, o in reconstruct_task(name, not unpadded).tolist())
        text = f"input_tokens,output_tokens\n{rows}"
        if output is None:
            print_text(text.rstrip("\n"))
        else:
            write_text(output, text)
        return
    if tokenizer is None:
        raise click.UsageError("give the texts' --tokenizer, or --from-figures")
    workload = load_task(name, tokenizer, data, not unpadded)
    if output is None:
        print_text(workload.to_json())
        return
    workload.save(output)
    (source,) = workload.sources
    say(
        f"{output}: {workload.total.requests:,} texts of {source['mean_input_tokens']} +- "
        f"{source['sd_input_tokens']} tokens, the longest {source['longest_input_tokens']}; "
        f"padded: {source['padded']}"
    )


@trace.command("summary")
@traces_argument()
@with_options(TRACE_OPTIONS)
@GROUP_OPTION
@with_options(FORMAT_OPTIONS)
def trace_summary(traces: tuple[str, ...], **options: Any) -> None:
    """Show length statistics of TRACE, as in the paper's Tables 1 to 3.

    Several are one trace together.
    """
    from joulecast.traces.load import summarise
    from joulecast.views.trace import summary_report

    check_results({"--output": options["output"]}, traces=traces)
    with reading(options, *traces) as keywords:
        summary = summarise(traces, **keywords)
    emit_report(summary_report(trace_name(traces), summary), options)


@trace.command("plot")
@traces_argument()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    callback=check_picture,
    help="Picture to draw (.png, .svg or .pdf).",
)
@click.option(
    "--grid",
    "grid_name",
    type=click.Choice(["paper", "power-of-two"]),
    default="paper",
    help="The grid to compare with.",
)
@with_options(TRACE_OPTIONS)
def trace_plot(traces: tuple[str, ...], output: Path, grid_name: str, **options: Any) -> None:
    """Draw how long TRACE's requests are, and on the grid.

    Several are one trace together.
    """
    from joulecast.plots.trace import plot_distributions
    from joulecast.traces.grid import GRIDS
    from joulecast.traces.load import is_reconstructed, load_distributions

    check_results({"--output": output}, traces=traces)
    with reading(options, *traces) as keywords:
        distributions = load_distributions(traces, GRIDS[grid_name], **keywords)
    plot_distributions(distributions, trace_name(traces), output, is_reconstructed(traces))


@trace.command("bin")
@traces_argument(required=False)
@click.option(
    "--grid",
    "grid_name",
    type=click.Choice(["power-of-two", "paper"]),
    help="The cells; by default power-of-two, which serves tables on either grid.",
)
@click.option("--licence", help="Licence of the trace, kept in the workload.")
@click.option("--citation", help="What to cite for the trace, kept in the workload.")
@click.option(
    "--engine",
    "bin_engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    help="What reads the trace.",
)
@click.option("--master", metavar="URL", help="Spark's master; by default this machine.")
@click.option(
    "--connect",
    "address",
    metavar="URL",
    help="A database that keeps the trace, such as trino://user@host/catalog/schema.",
)
@click.option("--table-name", metavar="NAME", help="The table there; it takes the place of TRACE.")
@output_option("-o", "--output")
@with_options(TRACE_OPTIONS)
def trace_bin(
    traces: tuple[str, ...],
    grid_name: str | None,
    bin_engine: str,
    master: str | None,
    address: str | None,
    table_name: str | None,
    licence: str | None,
    citation: str | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Reduce TRACE to a small workload file.

    Estimates take it in TRACE's place; several are one trace together. On one machine DuckDB reads
    it; --engine spark reads it on a cluster, and --connect bins a table in the database that keeps
    it, without arrival times.
    """
    from joulecast.cli.estimate import say_timeless
    from joulecast.traces.binning.cluster import cluster_at
    from joulecast.traces.grid import GRIDS, POWER_OF_TWO_GRID
    from joulecast.traces.load import load_from_table, load_trace

    _check_where(traces, bin_engine, master, address, table_name)
    is_on_spark = bin_engine == "spark"
    database = None if address is None else database_file(address)
    sources = traces if database is None else [str(database)]
    check_results({"--output": output}, traces=sources)
    grid = GRIDS[grid_name] if grid_name else None
    arrivals = None
    with reading(options, *traces, is_elsewhere=is_on_spark or address is not None) as keywords:
        if address is not None:
            table = str(table_name)
            workload = load_from_table(address, table, grid or POWER_OF_TWO_GRID, **keywords)
        else:
            with cluster_at((master or "local[*]") if is_on_spark else None) as cluster:
                loaded = load_trace(traces, grid, cluster=cluster, **keywords)
            workload, arrivals = loaded.workload, loaded.arrivals
    if address is None:
        say_timeless(loaded)
    workload = workload.with_provenance(licence=licence, citation=citation)
    if output is None:
        print_text(workload.to_json())
        return
    workload.save(output)
    beyond, total = workload.beyond.requests, workload.total.requests
    say(
        f"{output}: {total:,} requests in {len(workload.cells)} cells, {beyond:,} of them beyond "
        f"the grid; {workload.failed.requests:,} failed, {invalid_text(workload.invalid)}; "
        f"{arrivals_text(workload, arrivals)}"
    )


def _check_where(
    traces: tuple[str, ...],
    bin_engine: str,
    master: str | None,
    address: str | None,
    table_name: str | None,
) -> None:
    """Refuse options that do not say where the trace is binned.

    Raises:
        UsageError: The options contradict one another.
    """
    if (address is None) != (table_name is None):
        raise click.UsageError("--connect and --table-name go together")
    if bool(traces) == (table_name is not None):
        raise click.UsageError("give a TRACE, or --connect and --table-name")
    if master is not None and bin_engine != "spark":
        raise click.UsageError("--master is for --engine spark")
    if bin_engine == "spark" and len(traces) > 1:
        raise click.UsageError("--engine spark takes one TRACE, a file or a glob")
    if address is not None and bin_engine == "spark":
        raise click.UsageError("--connect bins in the database; --engine spark is for files")
