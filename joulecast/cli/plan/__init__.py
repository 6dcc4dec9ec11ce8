"""`joulecast plan`: what serves a trace in time with the fewest GPUs, joules or euros."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulecast.cli.completion import complete_models, traces_argument
from joulecast.cli.deployment import (
    ARRIVAL_OPTIONS,
    FLEET_OPTIONS,
    LIMIT_OPTIONS,
    serving_keywords,
)
from joulecast.cli.estimate import command_line, say_timeless
from joulecast.cli.options import (
    COST_OPTIONS,
    FORMAT_OPTIONS,
    FiniteRange,
    Option,
    check_results,
    command,
    emit_report,
    facility_of,
    plot_option,
    say,
    taken_model,
    with_options,
)
from joulecast.cli.pages import PAGE_OPTIONS, page_title
from joulecast.cli.trace_options import TRACE_OPTIONS, reading
from joulecast.traces.inputs.inputs import trace_name
from joulecast.views.progress import SimulationBar

if TYPE_CHECKING:
    from joulecast.estimator.planning.fleets import Goal
    from joulecast.estimator.planning.plan import Asked

PLAN_OPTIONS: list[Option] = [
    click.option(
        "--slo",
        metavar="LIST",
        help="How long requests may wait: ttft_p99=2s,tpot_p99=50ms (ttft, tpot or e2e; p50, p90, "
        "p99 or mean).",
    ),
    click.option(
        "--on",
        "specs",
        multiple=True,
        metavar="SPEC",
        help="Deployments, every value with every other, such as gpu=h100-sxm,h200-sxm,gpus=1..4,"
        "dtype=bfloat16,fp8 (also model, engine, eager, decoding, speculate, replicas, "
        "max-num-seqs, max-num-batched-tokens), or a table; give it again for more. "
        "By default cards that many have.",
    ),
    click.option(
        "--model",
        metavar="MODEL",
        callback=taken_model,
        shell_complete=complete_models,
        help="Of the deployments that name none; by default llama-3.1-8b.",
    ),
    click.option(
        "--by",
        type=click.Choice(["gpus", "energy", "cost"]),
        default="gpus",
        help="What to rank by; ties go by energy.",
    ),
    click.option(
        "--most-gpus",
        type=click.IntRange(1),
        default=256,
        metavar="N",
        help="A fleet has no more GPUs than that.",
    ),
]
MONEY_OPTIONS: list[Option] = [
    click.option(
        "--gpu-price",
        "gpu_prices",
        multiple=True,
        metavar="GPU=PRICE",
        help='What an hour of a GPU costs: h100-sxm=2.5, or "h100-sxm=2.5 USD"; give it again for '
        "each further GPU.",
    ),
    click.option(
        "--embodied",
        is_flag=True,
        help="Also tell the part of what making the cards emitted, of cards with a published "
        "figure.",
    ),
    click.option(
        "--lifetime",
        "lifetime_years",
        type=FiniteRange(0, 100, min_open=True),
        metavar="YEARS",
        help="How long a card is used, for --embodied; by default 4.",
    ),
]


@command()
@traces_argument()
@with_options(PLAN_OPTIONS)
@with_options(ARRIVAL_OPTIONS)
@with_options(FLEET_OPTIONS)
@with_options(LIMIT_OPTIONS)
@with_options(COST_OPTIONS)
@with_options(MONEY_OPTIONS)
@with_options(PAGE_OPTIONS)
@plot_option("Also draw energy against latency")
@with_options(TRACE_OPTIONS)
@with_options(FORMAT_OPTIONS)
def plan(traces: tuple[str, ...], html: Path | None, plot: Path | None, **options: Any) -> None:
    """Find what serves TRACE in time with the fewest GPUs, least energy or least cost.

    Each deployment gets the fewest replicas with which the whole trace meets --slo. Several TRACEs
    are one together. With --serving offline it is a batch job on one server, and how long that
    takes is told instead.
    """
    from joulecast.estimator.planning.plan import load_for_plan
    from joulecast.views.planning.plan import plan_report

    title = page_title(options["title"], html)
    asked = _asked(options)
    tables = [choice.table for choice in asked.choices if choice.table is not None]
    results = {"--output": options["output"], "--html": html, "--plot": plot}
    check_results(results, traces=traces, tables=tables)
    with reading(options, *traces) as keywords:
        loaded = load_for_plan(traces, asked, **keywords)
    say_timeless(loaded)
    with SimulationBar() as bar:
        result = asked.of(loaded, trace_name(traces), bar.watch)
    if html is not None:
        from joulecast.pages.plan import write_plan_page

        write_plan_page(html, result, command_line(), title)
        say(f"{html}: the page of this plan")
    if plot is not None:
        from joulecast.plots.plan import plot_plan

        plot_plan(result, plot)
        say(f"{plot}: energy against latency")
    emit_report(plan_report(result), options)


def _asked(options: dict[str, Any]) -> "Asked":
    """What is asked for; errors as for `Asked`."""
    from joulecast.estimator.planning.plan import Asked
    from joulecast.estimator.planning.specs import choices_of
    from joulecast.estimator.planning.terms import Terms, gpu_prices_of

    by: Goal = options["by"]
    terms = Terms.of(
        facility_of(options),
        gpu_prices_of(options["gpu_prices"]),
        options["embodied"],
        options["lifetime_years"],
    )
    choices = choices_of(options["specs"], options["model"])
    return Asked(choices, serving_keywords(options), terms, by, options["most_gpus"])
