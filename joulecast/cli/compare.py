"""`joulecast compare`: one trace under several tables."""

from pathlib import Path
from typing import Any

import click

from joulecast.cli.completion import complete_tables, traces_argument
from joulecast.cli.deployment import (
    CARD_OPTION,
    SERVING_OPTIONS,
    SPARK_OPTION,
    cluster_of,
    serving_keywords,
)
from joulecast.cli.estimate import (
    METHOD_OPTIONS,
    command_line,
    load_for,
    require_stepwise,
)
from joulecast.cli.options import (
    COST_OPTIONS,
    check_results,
    command,
    emit_report,
    facility_of,
    say,
    with_options,
)
from joulecast.cli.pages import PAGE_OPTIONS, page_title
from joulecast.cli.requests.equal import take_equal, trace_of, with_equal
from joulecast.cli.trace_options import TRACE_OPTIONS
from joulecast.estimator.method import Method
from joulecast.traces.inputs.inputs import trace_name
from joulecast.views.progress import SimulationBar


@command()
@traces_argument(required=False)
@click.option(
    "--table",
    "table_names",
    multiple=True,
    metavar="TABLE",
    shell_complete=complete_tables,
    help="A shipped table or a folder; give it again for each further table.",
)
@click.option(
    "--on",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A deployment, such as model=qwen2.5-7b,gpu=l40s,gpus=2,dtype=fp8, or a table; give it "
    "again for each further one. Models may differ. Also eager=yes, decoding=top-p:0.9 and "
    "speculate=llama-3.2-1b:4:0.7.",
)
@CARD_OPTION
@with_options(SERVING_OPTIONS)
@with_options(METHOD_OPTIONS)
@with_options(COST_OPTIONS)
@with_options(PAGE_OPTIONS)
@SPARK_OPTION
@with_options(TRACE_OPTIONS)
@with_equal
def compare(
    traces: tuple[str, ...],
    table_names: tuple[str, ...],
    specs: tuple[str, ...],
    cards: tuple[Path, ...],
    method: Method,
    whole_batches: bool,
    html: Path | None,
    **options: Any,
) -> None:
    """Hold TRACE's estimates by several tables or deployments against each other.

    Several TRACEs are one together; --requests that are all alike may stand in their place. Each
    estimate stands over its ideals, and the others against the first. Tables are of one model on
    one grid: engines, GPUs, or one engine with other settings. What --on names may be of several
    models, and need not have been measured. Requests are there all at once, unless --serving
    online, --rate or the like says otherwise.
    """
    from joulecast.estimator.compare import compare_tables
    from joulecast.estimator.forecast import server_on
    from joulecast.estimator.keywords import serving_wish
    from joulecast.estimator.variants.wish import served_of_text
    from joulecast.views.compare import compare_report

    require_stepwise(method, card=cards)
    trace = trace_of(traces, take_equal(options))
    facility, title = facility_of(options), page_title(options["title"], html)
    if not table_names and not specs:
        raise click.UsageError("give --table or --on, once for each to compare")
    tables = [served_of_text(text, method) for text in (*table_names, *specs)]
    serving = serving_wish(method, serving_keywords(options), by_default="offline")
    named = [*table_names, *(spec for spec in specs if "=" not in spec)]
    results = {"--output": options["output"], "--html": html}
    check_results(results, traces=traces, tables=named, replays=map(str, cards))
    on_card = server_on(cards)
    with cluster_of(options) as cluster, SimulationBar() as bar:
        loaded, make = load_for(
            *(method, whole_batches, trace, tables[0], html, options),
            *(None, bar.watch, serving, cluster, False, on_card),
        )
        result = compare_tables(make, loaded.workload, tables, trace_name(trace), bool(specs)).at(
            facility
        )
    if html is not None:
        from joulecast.pages.compare import write_compare_page

        write_compare_page(html, result, tables, loaded, command_line(), title)
        say(f"{html}: the page of this comparison")
    emit_report(compare_report(result, tables), options)
