"""`joulecast table4`: the paper's Table 4 beside the published one."""

from pathlib import Path
from typing import Any, Literal

import click

from joulecast.cli.completion import complete_gpus, complete_models, complete_tables
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    check_results,
    command,
    emit_report,
    plot_option,
    split_named_traces,
    taken_model,
    with_options,
)
from joulecast.cli.trace_options import TRACE_OPTIONS, reading
from joulecast.views.progress import SimulationBar


@command()
@click.option(
    "--table",
    "table_names",
    multiple=True,
    metavar="TABLE",
    shell_complete=complete_tables,
    help="A PyTorch and a vLLM table of one GPU; by default the shipped ones.",
)
@click.option(
    "--gpu",
    metavar="NAME",
    shell_complete=complete_gpus,
    help="A GPU (see: joulecast prices), or a data sheet as a JSON file, in the place of --table; "
    "what was not measured on it is forecast.",
)
@click.option(
    "--model",
    metavar="MODEL",
    callback=taken_model,
    shell_complete=complete_models,
    help="A shipped model, or a Hugging Face config.json, likewise; by default llama-3.1-8b.",
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
    type=click.Choice(["dense", "sparse", "both"]),
    default="both",
    help="Peak of the ideals: what the chip can do, the paper's convention, or both as far as the "
    "data sheet has them.",
)
@plot_option("Also draw the table")
@with_options(TRACE_OPTIONS)
@with_options(FORMAT_OPTIONS)
def table4(
    table_names: tuple[str, ...],
    gpu: str | None,
    model: str | None,
    traces: tuple[tuple[str, str], ...],
    peak: Literal["dense", "sparse", "both"],
    plot: Path | None,
    **options: Any,
) -> None:
    """Regenerate the paper's Table 4 beside the published one.

    From the shipped tables; with --gpu or --model, of another GPU or model, forecast with intervals
    where it was not measured. --gpu rtx-a6000 is the paper's own card.
    """
    from joulecast.estimator.paper.published import embedded_rows, published_rows
    from joulecast.estimator.paper.table4 import (
        DEFAULT_TABLES,
        build_table4,
        peaks_of,
        pick_tables,
        served_on,
    )
    from joulecast.measurements.table.table import load_table
    from joulecast.traces.load import load_workload
    from joulecast.traces.public.catalog import load_embedded
    from joulecast.traces.public.paper_datasets import best_source
    from joulecast.views.paper.table4 import table4_report

    asks_for_another = gpu is not None or model is not None
    if asks_for_another and table_names:
        raise click.UsageError("--gpu and --model take the place of --table")
    names = () if asks_for_another else table_names or DEFAULT_TABLES
    served = (
        served_on(gpu, model) if asks_for_another else pick_tables([load_table(n) for n in names])
    )
    peaks = peaks_of(served, None if peak == "both" else peak)
    results = {"--output": options["output"], "--plot": plot}
    check_results(results, traces=(source for _, source in traces), tables=names)
    workloads = {key: (key, load_embedded(key)) for key in embedded_rows()}
    own = dict(traces)
    workloads |= {key: best_source(key) for key in published_rows() if key not in own}
    for key, source in traces:
        with reading(options, source) as keywords:
            workloads[key] = source, load_workload(source, **keywords)
    with SimulationBar() as bar:
        result = build_table4(workloads, served, bar.watch)
    if plot is not None:
        from joulecast.plots.table4 import plot_table4

        plot_table4(result, peaks, plot)
    emit_report(table4_report(result, served, peaks), options)
