"""`joulecast estimate`: what a trace will cost."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulecast.cli.completion import complete_tables, traces_argument
from joulecast.cli.deployment import (
    CARD_OPTION,
    DEPLOYMENT_OPTIONS,
    SERVING_OPTIONS,
    SPARK_OPTION,
    VARIANT_OPTIONS,
    cluster_of,
    serving_keywords,
)
from joulecast.cli.options import (
    COST_OPTIONS,
    Option,
    check_results,
    command,
    emit_report,
    facility_of,
    plot_option,
    say,
    with_options,
)
from joulecast.cli.pages import PAGE_OPTIONS, page_title
from joulecast.cli.requests.equal import take_equal, trace_of, with_equal
from joulecast.cli.requests.per_request import (
    PER_REQUEST_OPTION,
    require_told_apart,
    write_per_request,
)
from joulecast.cli.trace_options import GROUP_OPTION, TRACE_OPTIONS, reading
from joulecast.estimator.method import DEFAULT_METHOD, METHODS, Method
from joulecast.traces.files import shown_address
from joulecast.traces.inputs.inputs import TraceInput, parts_of, some_of, trace_name
from joulecast.views.progress import SimulationBar

if TYPE_CHECKING:
    from joulecast.estimator.compare import EstimationMethod
    from joulecast.estimator.estimate import Estimate
    from joulecast.estimator.online.wish import ServingWish
    from joulecast.estimator.own_card.replays import ServerOn
    from joulecast.estimator.steps.progress import Progress
    from joulecast.estimator.unit_prices.model import Served
    from joulecast.exports.write import ExportFiles
    from joulecast.measurements.table.table import EnergyTable
    from joulecast.traces.binning.cluster import Cluster
    from joulecast.traces.load import LoadedTrace

METHOD_OPTIONS: list[Option] = [
    click.option(
        "--method",
        type=click.Choice(METHODS),
        default=DEFAULT_METHOD,
        help="The step model, which has a 95 % interval, or the paper's formula.",
    ),
    click.option(
        "--whole-batches",
        is_flag=True,
        help="Round the batches of a cell up to whole ones (binned).",
    ),
]


def _exports(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes all three
    values: "ExportFiles",
) -> "ExportFiles":
    """Refuse an export to where no file of its own can be meant."""
    for _, path in values:
        if str(path) == "-":
            raise click.UsageError("--export: an export is a file of its own; name one", ctx)
    return values


EXPORT_OPTION = click.option(
    "--export",
    "exports",
    type=(
        click.Choice(["boamps", "codecarbon", "cyclonedx", "sci"]),
        click.Path(dir_okay=False, path_type=Path),
    ),
    multiple=True,
    callback=_exports,
    metavar="FORMAT FILE",
    help="Also write a report: boamps, codecarbon (emissions.csv), cyclonedx (an ML-BOM) or sci "
    "(a manifest); give it again for another.",
)


def _single_table(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    names: tuple[str, ...],
) -> str | None:
    """The table of an estimate."""
    if len(names) > 1:
        raise click.UsageError("give one --table; compare takes several", ctx)
    return names[0] if names else None


@command()
@traces_argument(required=False)
@click.option(
    "--table",
    "table_name",
    multiple=True,
    callback=_single_table,
    metavar="TABLE",
    shell_complete=complete_tables,
    help="A shipped table (see: joulecast table list) or a folder; with --model, --gpu and the "
    "like, what to scale from.",
)
@with_options(DEPLOYMENT_OPTIONS)
@CARD_OPTION
@with_options(VARIANT_OPTIONS)
@with_options(SERVING_OPTIONS)
@with_options(METHOD_OPTIONS)
@click.option(
    "--models",
    "models_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --group-by model: what names in the log stand for, a JSON object of --model.",
)
@click.option("--explain", is_flag=True, help="Also show where the joules go (stepwise).")
@click.option(
    "--host",
    "host_name",
    metavar="TABLE",
    shell_complete=complete_tables,
    help="A table measured on the serving host, for the pace of its processor (stepwise).",
)
@with_options(COST_OPTIONS)
@with_options(PAGE_OPTIONS)
@EXPORT_OPTION
@plot_option("Also draw power, requests and latencies over time")
@SPARK_OPTION
@PER_REQUEST_OPTION
@with_options(TRACE_OPTIONS)
@GROUP_OPTION
@with_equal
def estimate(
    traces: tuple[str, ...],
    table_name: str | None,
    model: str | None,
    gpu: str | None,
    engine: str | None,
    gpus: int | None,
    dtype: str | None,
    idle_watts: float | None,
    decode_watts: float | None,
    method: Method,
    whole_batches: bool,
    models_file: Path | None,
    explain: bool,
    host_name: str | None,
    html: Path | None,
    plot: Path | None,
    **options: Any,
) -> None:
    """Estimate the energy of TRACE.

    TRACE is a file or a glob of files, an address, - (standard input), a saved workload, or the
    name of a public trace (see: joulecast trace list). Several are one trace; equal --requests may
    stand in its place.
    """
    from joulecast.estimator.forecast import server_on
    from joulecast.estimator.keywords import serving_wish
    from joulecast.estimator.variants.wish import Wish, choose_served
    from joulecast.exports.write import check_exports
    from joulecast.measurements.table.table import load_table
    from joulecast.views.estimate import estimate_report

    per_request: Path | None = options["per_request"]
    title = page_title(options["title"], html)
    cards: tuple[Path, ...] = options["cards"]
    require_stepwise(method, explain=explain, host=host_name, per_request=per_request, card=cards)
    trace, facility = trace_of(traces, take_equal(options)), facility_of(options)
    if models_file is not None or (options["group_by"], model, table_name) == ("model", None, None):
        _emit_models({**click.get_current_context().params, **options, "traces": trace})
        return
    names = [name for name in (table_name, host_name) if name is not None]
    table, host = (None if name is None else load_table(name) for name in (table_name, host_name))
    wish = Wish(model, gpu, engine, gpus, dtype).serving_as(options)
    served = choose_served(table, wish, idle_watts, decode_watts, method)
    serving = serving_wish(method, serving_keywords(options))
    check_exports(options["exports"], facility, method)
    results = {"--html": html, "--plot": plot, "--per-request": per_request}
    _check_results(results, options, traces, names)
    on_card = server_on(cards, idle_watts, decode_watts)
    with cluster_of(options) as cluster, SimulationBar() as bar:
        loaded, make = load_for(
            *(method, whole_batches, trace, served, html, options, host, bar.watch, serving),
            *(cluster, per_request is not None, on_card),
        )
        result = make(loaded.workload, served, trace_name(trace)).called(model).at(facility)
    if html is not None:
        _write_page(html, result, served, loaded, host, title)
    _write_others(result, served, plot, per_request, options["exports"])
    emit_report(estimate_report(result, served, explain), options)


def _check_results(
    results: dict[str, Path | None],
    options: dict[str, Any],
    traces: tuple[str, ...],
    tables: list[str],
) -> None:
    """Refuse files to write that cannot be; those of `options` are added to them."""
    exports = {f"--export {name}": path for name, path in options["exports"]}
    check_results(
        {"--output": options["output"], **results, **exports},
        traces=traces,
        tables=tables,
        replays=map(str, options["cards"]),
    )


def require_stepwise(method: Method, **options: object) -> None:
    """Refuse what the method binned cannot tell.

    Raises:
        UsageError: It is asked for.
    """
    for name, value in options.items():
        if value and method != "stepwise":
            raise click.UsageError(f"--{name.replace('_', '-')} is for --method stepwise")


def _write_page(
    html: Path,
    result: "Estimate",
    served: "Served",
    loaded: "LoadedTrace",
    host: "EnergyTable | None",
    title: str,
) -> None:
    """Write the page of an estimate."""
    from joulecast.pages.estimate import write_estimate_page

    write_estimate_page(html, result, served, loaded, host, command_line(), title)
    say(f"{html}: the page of this estimate")


def _write_others(
    result: "Estimate",
    served: "Served",
    plot: Path | None,
    per_request: Path | None,
    exports: "ExportFiles",
) -> None:
    """Write parts of requests and reports in formats of others, and draw serving over time."""
    from joulecast.exports.write import write_exports

    if per_request is not None:
        write_per_request(per_request, result)

    if exports:
        write_exports(exports, result, served)
    for name, path in exports:
        say(f"{path}: this estimate for {name}")
    if plot is not None:
        from joulecast.plots.timeline import plot_timeline

        plot_timeline(result, plot)
        say(f"{plot}: how serving goes over time")


def _emit_models(params: dict[str, Any]) -> None:
    """Estimate each model of a log by itself, and show that.

    Args:
        params: Of the command.

    Raises:
        UsageError: One is for a single model.
    """
    from joulecast.estimator.by_model import OWN_KEYWORDS, estimate_models
    from joulecast.measurements.models import read_models
    from joulecast.views.models import models_report

    if params["group_by"] != "model":
        raise click.UsageError("--models is for --group-by model")
    if not isinstance(params["traces"], tuple):
        raise click.UsageError("--requests are of no model of their own; leave out --group-by")
    for option in ("model", "table_name"):
        if params[option]:
            name = f"--{option.removesuffix('_name')}"
            raise click.UsageError(f"{name} is for one model; leave it out, or --models")
    traces = params["traces"]
    html, title = params["html"], params["title"]
    check_results({"--output": params["output"], "--html": html}, traces=traces)
    models = None if params["models_file"] is None else read_models(params["models_file"])
    for option in ("host_name", "exports", "plot", "explain", "per_request", "cards"):
        if params[option]:
            name = option.removesuffix("_name").removesuffix("s").replace("_", "-")
            raise click.UsageError(f"--{name} is for one model; {_one_model_text(params, models)}")
    own = {name: params[name] for name in OWN_KEYWORDS if params[name] is not None}
    with reading(params, *traces) as keywords:
        how: dict[str, Any] = {**own, **keywords, **serving_keywords(params)}
        made = estimate_models(traces, models, params["method"], **how)
    if html is not None:
        from joulecast.pages.models import write_models_page

        write_models_page(html, made, command_line(), (title or "").strip())
        say(f"{html}: the page of these estimates")
    emit_report(models_report(made), params)


def _one_model_text(params: dict[str, Any], models: dict[str, str] | None) -> str:
    """What to do where an option is for one model: leave it out, or take such a model."""
    from joulecast.estimator.by_model import conditions_by_model, gpus_for

    with reading(params, *params["traces"]) as keywords:
        conditions = conditions_by_model(params["traces"], models, **keywords)
    if not conditions:
        return "leave it out"
    model, condition = next(iter(conditions.items()))
    beside = {"--models": models, "--where": params["where"]}
    instead = ["--group-by model", *(name for name, value in beside.items() if value is not None)]
    gpus = gpus_for(model, params)
    shared = ["--gpus", str(gpus)] if params["gpus"] is None and gpus > 1 else []
    chosen = shlex.join(["--model", model, *shared, "--where", condition])
    of_what = " and ".join(instead)
    return f"leave it out, or pick one model: in place of {of_what}, give such as {chosen}"


def load_for(
    method: Method,
    whole_batches: bool,
    trace: TraceInput,
    served: "Served",
    html: Path | None,
    options: dict[str, Any],
    host: "EnergyTable | None" = None,
    progress: "Progress | None" = None,
    serving: "ServingWish | None" = None,
    cluster: "Cluster | None" = None,
    with_rows: bool = False,
    on_card: "ServerOn | None" = None,
) -> "tuple[LoadedTrace, EstimationMethod]":
    """TRACE as a method and a page want it, and the method; without `serving`, all at once.

    On a cluster, if one is given, which has to run until the method is done. With all requests one
    by one, if asked for.
    """
    from joulecast.estimator.forecast import estimation_method, reading_of
    from joulecast.estimator.keywords import most_lengths, thinned, wants_arrivals
    from joulecast.traces.load import load_trace

    if whole_batches and method != "binned":
        raise click.UsageError("--whole-batches is for --method binned")
    if options["share"] != 1 and not isinstance(trace, tuple):
        raise click.UsageError("--share is of the requests of a TRACE; give fewer --requests")
    grid, most = reading_of(method, served)
    most = most_lengths(most, serving)
    needs_times = serving is not None and wants_arrivals(method, serving)
    if with_rows and cluster is not None:
        raise click.UsageError("--per-request is for reading here; leave --spark out")
    names = [part for part in parts_of(trace) if isinstance(part, str)]
    with reading(options, *names, is_elsewhere=cluster is not None) as keywords:
        loaded = load_trace(
            *(trace, grid, most, html is not None, needs_times, cluster, with_rows), **keywords
        )
    loaded = thinned(loaded, options["share"], trace_name(trace))
    if with_rows:
        require_told_apart(loaded, trace_name(trace))
    if needs_times:
        say_timeless(loaded)
    made = estimation_method(method, loaded, whole_batches, host, progress, serving, on_card)
    return loaded, made


def say_timeless(loaded: "LoadedTrace") -> None:
    """Say what of a trace keeps all of it from being served as it came."""
    if loaded.timeless:
        say(
            f"{some_of(loaded.timeless)}: does not tell when its requests came, as the rest does; "
            "no times are taken of any"
        )


def command_line() -> str:
    """What the user typed, to be typed again."""
    words = click.get_current_context().find_root().meta.get("joulecast.words", ())
    return shlex.join(["joulecast", *map(shown_address, words)])
