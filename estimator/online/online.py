"""The estimate of requests that arrive over time.

    E = energy of the steps + idle power x time without any

A law says what steps cost, as in an estimate of requests that are all there at once; how long they
last, and so which requests share them, prices per unit of physical work say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.attribution.cells import effective_cells
from joulecast.estimator.attribution.served import ServedRequests
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.method import Router
from joulecast.estimator.online.fewest import fewest, waits
from joulecast.estimator.online.fleet import Fleet, FleetRun
from joulecast.estimator.over_time.intervals import LatencySpread
from joulecast.estimator.over_time.serving import (
    KEEPING_UP_SHARE,
    Objective,
    Serving,
    token_seconds,
)
from joulecast.estimator.over_time.timeline import (
    Timeline,
    quantiles_by_slice,
    slice_bounds,
    slice_seconds,
)
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.state import StepTimes
from joulecast.estimator.steps.intervals import interval_j
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import CachedSums, LengthArray
from joulecast.estimator.stepwise import StepModel, gauged_by_law
from joulecast.estimator.variants.speculation import SpeculativeBatching
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.binning.cluster import Cluster
from joulecast.traces.errors import InputError
from joulecast.traces.requests import TimedRequests, TokenArray
from joulecast.traces.workload import Workload

_BEHIND_SHARE = 0.05
_BEHIND_S = 5.0
"""Replicas do not keep up where the last twentieth of the requests wait so long for their first
token, and that share of the time in which requests come."""

_SHORTEST_S = 1.0
"""Of a burst: so long it may take to be served by replicas that keep up."""


@dataclass(frozen=True)
class Server:
    """What serves requests over time.

    Attributes:
        model: Step model, whose law says what steps cost.
        scheduler: Of a replica.
        times: How long its steps last.
    """

    model: StepModel
    scheduler: ContinuousBatching
    times: StepTimes

    @staticmethod
    def require_continuous(model: StepModel) -> ContinuousBatching:
        """The scheduler of a model's engine.

        Raises:
            InputError: The engine forms static batches, or speculates.
        """
        scheduler = model.scheduler
        if isinstance(scheduler, SpeculativeBatching):
            raise InputError(
                f"{model.name}: speculation over time is not forecast, as no window of it was "
                "measured; take --serving offline, or leave --speculate out"
            )
        if not isinstance(scheduler, ContinuousBatching):
            raise InputError(
                f"{model.name}: how its static batches would form over time is not known; take "
                "--serving offline, or --engine vllm"
            )
        return scheduler


@dataclass(frozen=True)
class Plan:
    """How requests are to be served.

    Attributes:
        replicas: How many servers; None for the fewest that meet the objectives.
        router: How requests are shared out.
        objectives: Bounds on how long they wait.
        scale_to_zero_s: After so long with nothing to do a replica draws nothing [s]; None: never.
        how: Where the arrivals are from, in words.
        untimed: Requests of which it is not known when they came, which are not served.
        reading: What was read as arrival times, in words; None if nothing was read.
        cluster: The Spark that simulates them; None for this machine.
        most_replicas: So many at most, where the fewest are sought; None for one a request.
    """

    replicas: int | None = 1
    router: Router = "round-robin"
    objectives: Sequence[Objective] = ()
    scale_to_zero_s: float | None = None
    how: str = ""
    untimed: int = 0
    reading: str | None = None
    cluster: Cluster | None = None
    most_replicas: int | None = None


def estimate_online(
    server: Server,
    workload: Workload,
    requests: TimedRequests,
    trace: str,
    plan: Plan,
    lengths: LengthArray | None = None,
    progress: Progress | None = None,
    cached: TokenArray | None = None,
) -> Estimate:
    """Estimate requests that arrive over time, with an interval.

    Args:
        server: What serves.
        workload: The requests on any grid, with those that failed or were invalid.
        requests: The same one by one, in the order in which they come.
        trace: What to call them.
        plan: How they are served.
        lengths: (i, o) of each in the order in which they would be asked all at once [tokens],
            shape (n, 2); None to draw them from the workload.
        progress: Told what share of a long simulation is done, 0 to 1.
        cached: Tokens of each prompt in a cache of prefixes, beside `lengths`, shape (n,).

    Returns:
        Energies [J] with a 95 % interval: of all replicas from the first arrival to the last token.

    Raises:
        InputError: No request to estimate, a request that is never served, or no number of
            replicas that meets the objectives.
    """
    model = server.model
    if model.law.idle_power_w <= 0:
        raise InputError(
            f"{model.name}: does not say what its GPUs draw with nothing to do; measure it again, "
            "or take --serving offline"
        )
    kept = _served(requests, model, server.scheduler)
    offline = model.estimate(workload, trace, lengths, part_of(progress, 0.0, 0.3), cached)
    fleet = Fleet(
        scheduler=server.scheduler,
        times=server.times,
        gauge=model.gauge,
        replicas=plan.replicas or 1,
        router=plan.router,
        scale_to_zero_s=plan.scale_to_zero_s,
        slice_s=slice_seconds(kept.span_s),
        cluster=plan.cluster,
    )
    rest = part_of(progress, 0.3, 0.65 if offline.cached_tokens else 1.0)
    run = None if plan.replicas is None else fleet.serve(kept, rest)
    if run is None:
        fleet, run = fewest(fleet, kept, plan.objectives, plan.most_replicas, rest)
    estimate = _estimate(offline, model, fleet, run, kept, plan)
    if offline.cached is None:
        return estimate
    uncached_j = estimate.energy_j
    if offline.cached.tokens:
        rest = part_of(progress, 0.65, 1.0)
        uncached_j = _energy_j(model, fleet.serve(kept.without_cached(), rest))
    return replace(estimate, cached=replace(offline.cached, uncached_j=uncached_j))


def _energy_j(model: StepModel, run: FleetRun) -> float:
    """What serving took, and waiting [J]."""
    spending = model.law.spending(gauged_by_law(run.service))
    return spending.energy_j + model.law.idle_power_w * run.idle_s


def _served(
    requests: TimedRequests, model: StepModel, scheduler: ContinuousBatching
) -> TimedRequests:
    """The requests that can be served at all, of a token each way at least."""
    longest = min(model.longest_request or math.inf, scheduler.longest_request)
    fits = requests.lengths.sum(axis=1) <= longest
    if fits.all() and requests.is_in_order and requests.lengths.min(initial=1) >= 1:
        scheduler.require_fits(requests.lengths)
        return requests  # there may be many, of which a copy takes memory
    lengths = np.maximum(requests.lengths[fits], 1)
    scheduler.require_fits(lengths)
    cached, rows = (
        None if each is None else each[fits] for each in (requests.cached, requests.rows)
    )
    return TimedRequests.in_order(requests.arrival_s[fits], lengths, cached, rows)


def _estimate(
    offline: Estimate,
    model: StepModel,
    fleet: Fleet,
    run: FleetRun,
    requests: TimedRequests,
    plan: Plan,
) -> Estimate:
    """The estimate of the same requests all at once, with what serving them over time took."""
    service = gauged_by_law(run.service)
    spending = model.law.spending(service)
    idle_j = model.law.idle_power_w * run.idle_s
    energy_j = spending.energy_j + idle_j
    sds = _relative_sds(model, offline, fleet, run, spending, energy_j)
    cached = CachedSums.of_lengths(requests.lengths, requests.cached).tokens
    inputs, outputs = offline.estimated_tokens["input"], offline.estimated_tokens["output"]
    tokens = {"input": inputs - cached, "cached": cached, "output": outputs}
    share = energy_j / offline.energy_j
    cells = tuple(
        replace(cell, energy_j=None if cell.energy_j is None else cell.energy_j * share)
        for cell in offline.cells
    )
    parts_j, least_parts_j = dict(spending.parts_j), dict(spending.least_parts_j)
    if "idle" in parts_j:
        parts_j["idle"] += idle_j
    else:
        parts_j["pauses"], least_parts_j["pauses"] = idle_j, 0.0
    return replace(
        offline,
        requests={
            **offline.requests,
            "total": offline.requests["total"] + plan.untimed,
            "untimed": plan.untimed,
        },
        energy_j=energy_j,
        interval_j=interval_j(energy_j, sds, model.law.freedom),
        ideal_j={**offline.ideal_j, "roofline": float(run.service.gauged[0])},
        cells=cells,
        seconds=run.busy_s,
        parts_j=parts_j,
        least_parts_j=least_parts_j,
        relative_sds=sds,
        own_card=spending.own_card,
        serving=_serving(offline, model, fleet, run, requests, plan, spending.energy_j, idle_j),
        attribution=model.attribution(
            run.service, spending, _at_work(sds, spending.energy_j / energy_j), tokens, idle_j
        ),
        served=ServedRequests(
            *(requests.lengths, requests.cached, requests.rows),
            *(requests.arrival_s, run.first_s, run.last_s),
        ),
    )


def _at_work(sds: Mapping[str, float], share: float) -> dict[str, float]:
    """What the energy of the steps alone may be off by, of which the whole holds such a share."""
    whole = {"sampling", "reconstruction"}
    return {
        cause: sd if cause in whole else sd / share for cause, sd in sds.items() if cause != "idle"
    }


def _relative_sds(
    model: StepModel,
    offline: Estimate,
    fleet: Fleet,
    run: FleetRun,
    spending: Spending,
    energy_j: float,
) -> dict[str, float]:
    """What the interval is made of: that of the steps, by their share, and idle power."""
    cells = effective_cells(offline.cells, offline.energy_j)
    sds = model.law.relative_sds(gauged_by_law(run.service), spending, cells, fleet.replicas)
    steps = spending.energy_j / energy_j
    sds = {cause: sd * steps for cause, sd in sds.items()}
    sds["idle"] = _idle_sd_j(model, run) / energy_j
    for cause in ("sampling", "reconstruction"):
        if sd := (offline.relative_sds or {}).get(cause):
            sds[cause] = sd
    return sds


def _idle_sd_j(model: StepModel, run: FleetRun) -> float:
    """Sd of what waiting takes [J].

    The cards of replicas differ each by itself; what so few cards tell of their kind, or another
    kind of GPU, puts all of them off together.
    """
    common = 1 / (1 + model.basis.idle_cards)
    together_s, apart_s = math.sqrt(common) * run.idle_s, math.sqrt(1 - common) * run.idle_root_s
    return model.law.idle_sd_w * math.hypot(together_s, apart_s)


def _serving(
    offline: Estimate,
    model: StepModel,
    fleet: Fleet,
    run: FleetRun,
    requests: TimedRequests,
    plan: Plan,
    work_j: float,
    idle_j: float,
) -> Serving:
    end_s, span_s = run.end_s, requests.span_s
    energy_j = work_j + idle_j
    return Serving(
        span_s=end_s,
        arrivals_s=span_s,
        replicas=fleet.replicas,
        router=fleet.router,
        objectives=plan.objectives if plan.replicas is None else (),
        busy_share=min(1.0, run.busy_s / (fleet.replicas * end_s)),
        work_j=work_j,
        idle_j=idle_j,
        offline_j=offline.energy_j,
        mean_running=run.running_s / end_s,
        mean_waiting=run.waiting_s / end_s,
        steps=run.steps,
        preempted=run.preempted,
        requests_per_s=len(requests) / span_s if span_s > 0 else None,
        latencies=waits(requests, run),
        spread=LatencySpread.of(model.basis, model.config),
        scale_to_zero_s=plan.scale_to_zero_s,
        replicas_needed=_needed(fleet, run, requests),
        timeline=_timeline(model, fleet, run, requests, energy_j),
        untimed=plan.untimed,
        reading=plan.reading,
        how=plan.how,
    )


def _needed(fleet: Fleet, run: FleetRun, requests: TimedRequests) -> int | None:
    """Replicas that would keep up with the requests, where these fall behind; None if they do not.

    By the time that the work takes, which more replicas with smaller batches need more of.
    """
    span_s = requests.span_s
    last = slice(-max(1, len(requests) // 20), None)
    waited_s = float((run.first_s[last] - requests.arrival_s[last]).mean())
    if span_s == 0 or waited_s <= max(_BEHIND_S, _BEHIND_SHARE * span_s):
        return None
    needed = math.ceil(run.busy_s / (KEEPING_UP_SHARE * max(span_s, _SHORTEST_S)))
    return min(len(requests), max(fleet.replicas + 1, needed))


def _adding_up(work_j: FloatArray, waiting_j: FloatArray, energy_j: float) -> FloatArray:
    """Work by slices, which another law told, beside idle power: together all of the energy [J]."""
    left_j = energy_j - waiting_j.sum()
    if left_j < 0 or not work_j.any():
        return np.asarray((work_j + waiting_j) * (energy_j / (work_j + waiting_j).sum()))
    return np.asarray(waiting_j + work_j * (left_j / work_j.sum()))


def _timeline(
    model: StepModel,
    fleet: Fleet,
    run: FleetRun,
    requests: TimedRequests,
    energy_j: float,
) -> Timeline:
    """Energy, requests and latencies by slices of time; energies add up to all of it."""
    slice_s, end_s = fleet.slice_s, run.end_s
    slices = max(1, math.ceil(end_s / slice_s - 1e-9))
    over_time = run.over_time
    waiting_j = model.law.idle_power_w * over_time.of("awake", slices)
    seconds = np.minimum(slice_s, end_s - slice_s * np.arange(slices))
    bounds = slice_bounds(requests.arrival_s, slice_s, slices)
    first_s, outputs = run.first_s, requests.lengths[:, 1]
    ttft_s = quantiles_by_slice(
        lambda part: first_s[part] - requests.arrival_s[part], bounds, [50, 99]
    )
    (tpot_p50_s,) = quantiles_by_slice(
        lambda part: token_seconds(first_s[part], run.last_s[part], outputs[part]), bounds, [50]
    )
    return Timeline(
        slice_s=slice_s,
        end_s=end_s,
        energy_j=_adding_up(over_time.of("energy", slices), waiting_j, energy_j),
        arrived=np.diff(bounds).astype(float),
        running=over_time.of("running", slices) / seconds,
        waiting=over_time.of("waiting", slices) / seconds,
        ttft_p50_s=ttft_s[0],
        ttft_p99_s=ttft_s[1],
        tpot_p50_s=tpot_p50_s,
    )
