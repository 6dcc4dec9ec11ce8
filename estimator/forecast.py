"""The estimate of a trace, and of several deployments side by side, as programs ask for it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack, cast

from joulecast.estimator.compare import Comparison, EstimationMethod, compare_tables
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.keywords import (
    EstimateKeywords,
    SingleKeywords,
    most_lengths,
    serving_wish,
    thinned,
    wants_arrivals,
    without_variant,
)
from joulecast.estimator.method import METHODS, Method, Mode, ServingKeywords
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.variants.wish import Wish, choose_served, no_table, served_of_text
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.binning.cluster import Cluster, cluster_at
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.inputs.inputs import TraceInput, trace_name
from joulecast.traces.load import LoadedTrace, load_trace
from joulecast.traces.reading.options import ReadingKeywords
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    from joulecast.estimator.online.wish import ServingWish
    from joulecast.estimator.own_card.replays import Replays, ServerOn
    from joulecast.estimator.unit_prices.model import Served


def estimate(
    trace: TraceInput,
    table: str | Path | EnergyTable | None = None,
    method: Method = "stepwise",
    *,
    model: str | Path | None = None,
    gpu: str | Path | None = None,
    engine: str | None = None,
    gpus: int | None = None,
    dtype: str | None = None,
    idle_watts: float | None = None,
    decode_watts: float | None = None,
    card: "Replays | None" = None,
    whole_batches: bool = False,
    host: str | Path | EnergyTable | None = None,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    server_overhead: str | None = None,
    spark: str | None = None,
    **how: Unpack[SingleKeywords],
) -> Estimate:
    """Estimate the energy of a trace.

    Args:
        trace: As in `load_workload`: a name, a file, a table, or several.
        table: Of a shipped name, a folder, or an `EnergyTable`; with what follows, to scale from.
        method: "stepwise", with an interval; "binned", as Fernandez et al. (2025, section 4.1).
        model: A shipped model's name, or a Hugging Face config.json; llama-3.1-8b if not given.
        gpu: A GPU's short name, or a data sheet of your own as a JSON file; h100-sxm if not given.
        engine: "vllm" if not given.
        gpus: GPUs that share the model; 1 if not given.
        dtype: "bfloat16", "float16", "fp8" or "int4"; that of the published weights if not given.
        idle_watts: What one of your cards draws with the model loaded and nothing to do [W].
        decode_watts: What it draws while a single request decodes [W].
        card: Replays metered on the very card that will serve: files, or `Replay` (stepwise).
        whole_batches: Round batches up per cell (binned).
        host: A table measured on the serving host, for the pace of its processor (stepwise).
        pue: Facility energy over IT energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh], or a region such as "FR", "US-CA" or "us-east-1".
        price: Price of a kilowatt hour, as a number or with a currency: "0.18 EUR".
        server_overhead: What servers draw beside their GPUs: "150 W/GPU", "30 %", "ecologits".
        spark: Master of a Spark that reads the trace and simulates its servers, such as "yarn".
        **how: How: the attributes of `ReadingOptions`, `ServingWish` and `VariantKeywords`.

    Returns:
        Energies [J] beside their ideals; by the step model with an interval.

    Raises:
        InputError: Something given cannot be used; one line says what, where, and what to do.
    """
    facility = Facility.of(pue, carbon, price, server_overhead)
    wish = Wish(_text(model), _text(gpu), engine, gpus, dtype).serving_as(how)
    scaled, on_host = (None if each is None else _table(each) for each in (table, host))
    served = choose_served(scaled, wish, idle_watts, decode_watts, method)
    on_card = server_on(card, idle_watts, decode_watts)
    with cluster_at(spark) as cluster:
        loaded, serving = _load(trace, method, served, without_variant(how), cluster)
        make = estimation_method(method, loaded, whole_batches, on_host, None, serving, on_card)
        return make(loaded.workload, served, trace_name(trace)).called(wish.model).at(facility)


def server_on(
    card: "Replays | None", idle_watts: float | None = None, decode_watts: float | None = None
) -> "ServerOn | None":
    """What makes a step model one of the very card that replays were metered on; None for none.

    Args:
        card: The replays.
        idle_watts: What a user read off the card, which goes without replays [W].
        decode_watts: Likewise [W].

    Raises:
        InputError: They are none, of several cards, or beside such watts.
    """
    if card is None or (isinstance(card, list | tuple) and not card):
        return None
    from joulecast.estimator.own_card.replays import card_replays, serving_on

    if idle_watts is not None or decode_watts is not None:
        raise InputError(
            "--idle-watts and --decode-watts: what a card draws, --card tells; give either"
        )
    return serving_on(card_replays(card))


def _load(
    trace: TraceInput,
    method: Method,
    served: "Served",
    how: EstimateKeywords,
    cluster: Cluster | None,
    by_default: Mode | None = None,
) -> tuple[LoadedTrace, "ServingWish | None"]:
    """A trace as a method wants it, and how its requests are to be served."""
    of_serving = ServingKeywords.__annotations__.keys()
    serving = {name: value for name, value in how.items() if name in of_serving}
    reading = {name: value for name, value in how.items() if name not in of_serving}
    wish = serving_wish(method, cast("ServingKeywords", serving), by_default)
    if unknown := [name for name in how if name not in EstimateKeywords.__annotations__]:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    grid, most = reading_of(method, served)
    most = most_lengths(most, wish)
    needs_times = wants_arrivals(method, wish)
    keywords = cast("ReadingKeywords", reading)
    loaded = load_trace(trace, grid, most, False, needs_times, cluster, **keywords)
    return thinned(loaded, how.get("share", 1.0), trace_name(trace)), wish


def compare(
    trace: TraceInput,
    tables: Sequence[str | Path | EnergyTable],
    method: Method = "stepwise",
    *,
    card: "Replays | None" = None,
    whole_batches: bool = False,
    pue: float | None = None,
    carbon: float | str | CarbonIntensity | None = None,
    price: float | str | Price | None = None,
    server_overhead: str | None = None,
    spark: str | None = None,
    **how: Unpack[EstimateKeywords],
) -> Comparison:
    """Estimate a trace from several tables: engines, GPUs or batch limits side by side.

    Args:
        trace: As in `estimate`, as is everything but `tables`.
        tables: One or more, of one model and on one grid; or deployments such as
            "model=qwen2.5-7b,gpu=l40s". The first is the baseline of savings.
        method: "stepwise" or "binned".
        card: As in `estimate`: every table is then of that very card.
        whole_batches: Round batches up per cell (binned).
        pue: As in `estimate`, as are `carbon`, `price` and `server_overhead`.
        carbon: Carbon intensity [gCO2e/kWh], or a region.
        price: Price of a kilowatt hour.
        server_overhead: What servers draw beside their GPUs.
        spark: Master of a Spark.
        **how: How to read, as the attributes of `ReadingOptions` say, and how the requests are
            served, as those of `ServingWish` do; here all at once, unless something else is said.

    Returns:
        An estimate per table, in the order given, and what each saves over the first.

    Raises:
        InputError: Something given cannot be used, or tables that cannot be compared.
    """
    facility = Facility.of(pue, carbon, price, server_overhead)
    if isinstance(tables, str) or not tables:
        raise InputError("compare takes a list of one or more tables")
    served = [_served(table, method) for table in tables]
    is_across = any(isinstance(table, str) and "=" in table for table in tables)
    on_card = server_on(card)
    with cluster_at(spark) as cluster:
        loaded, serving = _load(trace, method, served[0], how, cluster, by_default="offline")
        make = estimation_method(method, loaded, whole_batches, wish=serving, on_card=on_card)
        name = trace_name(trace)
        return compare_tables(make, loaded.workload, served, name, is_across).at(facility)


class Reading(NamedTuple):
    """How a method wants a trace read.

    Attributes:
        grid: The cells; None for the workload's own, or the finest.
        most_lengths: Up to how many requests it wants the lengths one by one.
    """

    grid: Grid | None
    most_lengths: int


def reading_of(method: Method, served: "Served") -> Reading:
    """How a method wants a trace read, to estimate it from a table, or by scaling.

    Raises:
        InputError: There is no such method, or none of this table.
    """
    if method not in METHODS:
        raise InputError(f'method "{method}" is none of: {", ".join(METHODS)}')
    if method == "binned":
        if not isinstance(served, EnergyTable):
            raise no_table(served.name)
        return Reading(served.grid, 0)
    # The schedulers that come with these take a tenth of a second, which binning needs not.
    from joulecast.estimator.steps.metered_batches import require_step_model
    from joulecast.estimator.steps.serving import MOST_SIMULATED

    if isinstance(served, EnergyTable):
        require_step_model(served)
    return Reading(None, MOST_SIMULATED)


def estimation_method(
    method: Method,
    loaded: LoadedTrace,
    whole_batches: bool = False,
    host: EnergyTable | None = None,
    progress: Progress | None = None,
    wish: "ServingWish | None" = None,
    on_card: "ServerOn | None" = None,
) -> EstimationMethod:
    """What makes an estimate of a loaded trace from a table.

    Args:
        method: Which.
        loaded: The trace.
        eager: Whether nothing is compiled (vllm).
        decoding: How tokens are chosen: "greedy", "sampling", "temperature:0.8" or "top-p:0.9".
        speculate: A draft, tokens that it proposes and the share accepted: "llama-3.2-1b,4,0.7".
        whole_batches: Round batches up per cell (binned).
        host: A table measured on the serving host (stepwise).
        progress: Told what share of a long simulation is done, 0 to 1.
        wish: How the requests are to be served; None for all at once (stepwise).
        on_card: What makes a step model one of the very card; None for any of its kind (stepwise).

    Raises:
        InputError: An argument that the method does not take.
    """
    if method == "binned":
        from joulecast.estimator.binned import estimate_binned

        if host is not None:
            raise InputError("the pace of a host is for the method stepwise")
        if on_card is not None:
            raise InputError(
                "--card: the binned method knows no card; take --method stepwise, or leave it out"
            )
        return _saying(loaded, partial(estimate_binned, whole_batches=whole_batches))
    if whole_batches:
        raise InputError("whole batches are for the method binned")
    made = partial(
        _estimate_stepwise,
        loaded=loaded,
        host=host,
        progress=progress,
        wish=wish,
        on_card=on_card,
    )
    return _saying(loaded, made)


def _saying(loaded: LoadedTrace, method: EstimationMethod) -> EstimationMethod:
    """The same method, whose estimates say what was read, and what groups of requests take."""
    return lambda workload, served, trace: (
        replace(method(workload, served, trace), reading=loaded.reading)
        .thinned(loaded.thinning)
        .among(loaded.groups or {}, loaded.workload)
        .with_requests(loaded)
    )


def _estimate_stepwise(
    workload: Workload,
    served: "Served",
    trace: str,
    loaded: LoadedTrace,
    host: EnergyTable | None,
    progress: Progress | None,
    wish: "ServingWish | None",
    on_card: "ServerOn | None",
) -> Estimate:
    """Estimate with the step model, from a table or by scaling, as the requests are served."""
    from joulecast.estimator.stepwise import StepModel

    if isinstance(served, EnergyTable):
        model = StepModel.of(served, host)
    elif host is None:
        model = served.step_model(workload)
    else:
        raise InputError(
            f"{served.name}: the pace of a host is told for a table of the very deployment; leave "
            "--host out"
        )
    if on_card is not None:
        model = on_card(model, served, 1 if wish is None else wish.replicas)
    if wish is None:
        return model.estimate(workload, trace, loaded.lengths, progress, loaded.cached)
    from joulecast.estimator.online.online import estimate_online
    from joulecast.estimator.online.wish import server_of, with_limits
    from joulecast.estimator.steps.serving import MOST_SIMULATED

    model = with_limits(model, wish, served)
    arrivals, lengths, cached = wish.arrivals(loaded, trace, model), loaded.lengths, loaded.cached
    if lengths is not None and len(lengths) > MOST_SIMULATED:
        lengths, cached = None, None
    if arrivals is None:
        made = model.estimate(workload, trace, lengths, progress, cached)
        return replace(made, limits=wish.limits)
    requests, how = arrivals
    plan = wish.plan(how, loaded)
    if plan.untimed:
        is_small = len(requests) <= MOST_SIMULATED
        lengths, cached, _ = requests.untimed() if is_small else (None, None, None)
        workload = workload.with_lengths(requests.lengths, requests.cached)
    server = server_of(served, model)
    made = estimate_online(server, workload, requests, trace, plan, lengths, progress, cached)
    return replace(made, limits=wish.limits)


def _text(name: str | Path | None) -> str | None:
    return None if name is None else str(name)


def _table(table: str | Path | EnergyTable) -> EnergyTable:
    return table if isinstance(table, EnergyTable) else load_table(table)


def _served(table: str | Path | EnergyTable, method: Method) -> "Served":
    """A table, or a deployment as `Wish.of_text` takes it."""
    if isinstance(table, str):
        return served_of_text(table, method)
    return choose_served(_table(table), Wish(), method=method)
