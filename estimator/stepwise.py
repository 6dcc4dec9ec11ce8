"""The step model's estimate: true lengths, served as the engine would serve them.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

T, K, P, O and R are sums over the requests. S, and what padding or recomputing adds to the others,
come from the engine's scheduler: the requests themselves where they are known and not too many,
else requests drawn with the workload's lengths, scaled. What the GPU spends waiting for its host to
launch steps is kept apart: it is taken off the table's runs before they are priced, and added for
the host that serves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.estimate import (
    CellEstimate,
    Estimate,
    cell_edges,
    coverage_of,
    request_counts,
    source_of,
)
from joulecast.estimator.flops import load_flops
from joulecast.estimator.ideal import Roofline
from joulecast.estimator.steps.host_pace import (
    HOST_SPREAD,
    KNOWN_HOST_SPREAD,
    HostPace,
    fit_host_pace,
)
from joulecast.estimator.steps.prices import (
    Point,
    Scheduler,
    StepModel,
    fit_step_model,
    interval_j,
    kind_of,
    scheduler_of,
    table_points,
    timed_batches,
)
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.hardware import Peak
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.sampling import Tail, sample_lengths
from joulecast.traces.workload import Workload

MOST_SIMULATED = 50_000
"""Larger workloads are simulated in part and scaled."""

RECONSTRUCTION_SD = {"continuous": 0.02, "static": 0.12}
"""Relative sd where lengths were reconstructed, as found where the truth is known
(docs/reconstruction.md). Static batches last as long as their longest request, which four figures
tell badly."""

_SEED = 20_251_123
_DRAWS = 4
_PEAKS: tuple[Peak, ...] = ("dense", "sparse")


@dataclass(frozen=True)
class _Service:
    """What serving a workload takes.

    Attributes:
        counts: Work of the engine.
        roofline_j: Least energy of its steps [J].
        waiting_seconds: How long the GPU waits, as `_Hosts.waiting` has it [s].
    """

    counts: StepCounts
    roofline_j: float
    waiting_seconds: FloatArray


@dataclass(frozen=True)
class _Hosts:
    """The hosts that matter to an estimate, by what they need to launch a step.

    Attributes:
        pace: Of the table's own host; None if its engine leaves nothing to launch.
        serving: Of the host that will serve [s].
        slow: Of one that is slower than that by two standard deviations [s].
    """

    pace: HostPace | None
    serving: float = 0.0
    slow: float = 0.0

    def without_waiting(self, points: Sequence[Point]) -> Sequence[Point]:
        """A table's points, each with what its GPU spent waiting for the table's host."""
        if self.pace is None:
            return points
        own = self.pace.launch_seconds
        return [
            replace(
                point,
                waiting_j=self.pace.waiting_power_w * self.pace.waiting_seconds(point.steps, own),
            )
            for point in points
        ]

    def waiting(self, steps: Steps) -> FloatArray:
        """How long the GPU waits for the serving host and for the slow one [s]."""
        if self.pace is None:
            return np.zeros(0)
        launches = self.serving, self.slow
        return np.array([self.pace.waiting_seconds(steps, launch) for launch in launches])


def estimate_stepwise(
    workload: Workload,
    table: EnergyTable,
    trace: str,
    lengths: LengthArray | None = None,
    host: EnergyTable | None = None,
) -> Estimate:
    """Estimate a workload with the step model, with an interval.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R
    (docs/stepwise.md)

    Args:
        workload: The requests, on any grid.
        table: Runs to fit the model to, and settings of the scheduler.
        trace: What to call the workload.
        lengths: (i, o) per request in the order in which they are asked [tokens], shape (n, 2);
            drawn from the workload if they are not known.
        host: A table measured on the host that will serve, `--plan quick` will do: it tells how
            long that host takes to launch a step. None if it is not known.

    Returns:
        Energies [J] with a 95 % interval, time on the GPU [s], and the parts of the energy [J].

    Raises:
        InputError: No request to estimate, a table that no step model can be fitted to, or a
            request that the engine's memory does not hold.
    """
    total = workload.total
    if total.requests == 0:
        raise InputError(
            f"{trace}: has no request to estimate: {workload.failed.requests} failed, "
            f"{sum(workload.invalid.values())} were invalid"
        )
    points, scheduler = table_points(table), scheduler_of(table)
    hosts = _hosts(table, points, host)
    model = fit_step_model(hosts.without_waiting(points))
    flops = load_flops(table.config)
    roofline = Roofline(flops, load_shape(table.config), table.gpu, table.dtype)
    services, tail = _serve(workload, lengths, scheduler, roofline, hosts)
    energies_j = [model.predict_j(service.counts) for service in services]
    tail_j = None if tail is None else model.predict_j(tail.counts)
    mean = _mean([service.counts for service in services])
    energy_j, seconds = model.predict_j(mean), model.predict_seconds(mean)
    parts_j, least_parts_j = model.parts_j(mean), roofline.parts_energy(mean)
    sds = {**model.relative_sds(mean), "sampling": _sampling_sd(energies_j, tail_j)}
    if hosts.pace is not None:
        waiting = np.mean([service.waiting_seconds for service in services], axis=0)
        serving_j, slow_j = (hosts.pace.waiting_power_w * waiting).tolist()
        seconds = float(hosts.pace.gpu_seconds @ mean.array()) + float(waiting[0])
        parts_j = {**parts_j, "waiting": serving_j}
        least_parts_j = {**least_parts_j, "waiting": 0.0}
        energy_j += serving_j
        sds["host"] = (slow_j - serving_j) / 2 / energy_j
    cells = _cells(workload, table, model, energy_j)
    # No card draws more than its limit for long; a table of few runs tells times less well.
    seconds = max(seconds, energy_j / table.metadata["power_limit_w"])
    if workload.is_reconstructed:
        is_static = isinstance(scheduler, StaticBatching)
        sds["reconstruction"] = RECONSTRUCTION_SD["static" if is_static else "continuous"]
    return Estimate(
        trace=trace,
        source=source_of(workload),
        table=table.name,
        method="stepwise",
        requests=request_counts(workload, total.requests),
        invalid=dict(workload.invalid),
        estimated_tokens={"input": total.input_tokens, "output": total.output_tokens},
        beyond_grid_token_share=0.0,
        energy_j=energy_j,
        interval_j=interval_j(energy_j, sds, model.freedom),
        ideal_j={
            **{
                peak: table.gpu.tdp_w / table.gpu.peak(table.dtype, peak) * flops.of_sums(total)
                for peak in _PEAKS
            },
            "roofline": float(np.mean([service.roofline_j for service in services])),
        },
        coverage=coverage_of(cells),
        dense_peak_flops_per_s=table.gpu.peak(table.dtype),
        cells=tuple(cells),
        seconds=seconds,
        parts_j=parts_j,
        least_parts_j=least_parts_j,
        relative_sds=sds,
    )


def _hosts(table: EnergyTable, points: Sequence[Point], host: EnergyTable | None) -> _Hosts:
    """The table's host and the serving one."""
    pace = fit_host_pace(timed_batches(points), table.gpu.tdp_w)
    if host is not None:
        _require_same_engine(table, host)
    if pace is None:
        if host is not None:
            raise InputError(
                f"{table.name}: tells nothing of its own host's pace, so that of another cannot be "
                "taken into account; leave --host out"
            )
        return _Hosts(None)
    serving = None
    if host is not None:
        serving = pace.launch_seconds_on(timed_batches(table_points(host)))
        if serving is None:
            raise InputError(
                f"{host.name}: has no run that tells how long its host takes to launch a step; "
                "measure --plan quick there"
            )
    spread = HOST_SPREAD if serving is None else KNOWN_HOST_SPREAD
    launch = pace.launch_seconds if serving is None else serving
    return _Hosts(pace, launch, launch * math.exp(2 * spread))


def _require_same_engine(table: EnergyTable, host: EnergyTable) -> None:
    ours, theirs = kind_of(table.metadata), kind_of(host.metadata)
    for key, value in ours.items():
        if theirs[key] != value:
            raise InputError(
                f"{host.name}: is of {key} {theirs[key]}, and {table.name} of {value}; a host is "
                "told by a table of the same GPUs, model, engine and settings"
            )


def _serve(
    workload: Workload,
    lengths: LengthArray | None,
    scheduler: Scheduler,
    roofline: Roofline,
    hosts: _Hosts,
) -> tuple[list[_Service], _Service | None]:
    """Serve the requests if they are known, else several draws of such requests.

    Returns:
        Each; and where lengths beyond the grid had to be drawn, one more whose longest are shorter,
        since sums do not tell the longest, and static batches last as long as theirs.
    """
    if lengths is not None:
        steps = scheduler.schedule(np.maximum(lengths, 1))
        return [_Service(steps.counts, roofline.steps_energy(steps), hosts.waiting(steps))], None

    def serve(draw: int, tail: Tail) -> _Service:
        generator = np.random.default_rng([_SEED, draw])
        return _serve_drawn(workload, generator, tail, scheduler, roofline, hosts)

    services = [serve(draw, "gamma") for draw in range(_DRAWS)]
    is_beyond = any(workload.is_beyond(cell) for cell in workload.cells)
    return services, serve(_DRAWS, "uniform") if is_beyond else None


def _serve_drawn(
    workload: Workload,
    generator: np.random.Generator,
    tail: Tail,
    scheduler: Scheduler,
    roofline: Roofline,
    hosts: _Hosts,
) -> _Service:
    count = workload.total.requests
    exact = StepCounts.of_sums(workload.total).array()
    some = sample_lengths(workload, min(count, MOST_SIMULATED), generator, tail)
    drawn = scheduler.clip(some)
    surplus = _surplus(drawn, scheduler, roofline, hosts)
    if count > len(drawn):
        # What each further request adds, once all are running: the start and the end are long
        # in a part and short in the whole.
        half = len(drawn) // 2
        each = surplus - _surplus(drawn[:half], scheduler, roofline, hosts)
        each /= len(drawn) - half
        surplus += (count - len(drawn)) * each
    terms = len(exact)
    work, roofline_j, waiting = surplus[:terms], surplus[terms], surplus[terms + 1 :]
    return _Service(StepCounts(*(exact + work).tolist()), float(roofline_j), waiting)


def _surplus(
    lengths: LengthArray, scheduler: Scheduler, roofline: Roofline, hosts: _Hosts
) -> FloatArray:
    """What serving takes beyond the sums over the requests, the roofline and the waiting."""
    steps = scheduler.schedule(lengths)
    more = steps.counts.array() - StepCounts.of_lengths(lengths).array()
    return np.concatenate([more, [roofline.steps_energy(steps)], hosts.waiting(steps)])


def _mean(counts: Sequence[StepCounts]) -> StepCounts:
    return StepCounts(*np.mean([one.array() for one in counts], axis=0).tolist())


def _sampling_sd(energies_j: Sequence[float], tail_j: float | None) -> float:
    """Relative sd of what the requests come to, around the mean of some draws of them.

    Args:
        energies_j: Of the draws [J].
        tail_j: Of a draw whose longest requests are shorter [J], if that matters: the truth is
            taken to lie anywhere between the two.
    """
    draws, mean_j = len(energies_j), float(np.mean(energies_j))
    spread = float(np.std(energies_j, ddof=1)) * math.sqrt(1 + 1 / draws) if draws > 1 else 0.0
    between = 0.0 if tail_j is None else (tail_j - mean_j) / math.sqrt(3)
    return math.hypot(spread, between) / mean_j


def _cells(
    workload: Workload, table: EnergyTable, model: StepModel, energy_j: float
) -> list[CellEstimate]:
    """The cells' parts of the energy, and whether they lie among the lengths that were measured.

    A fit meets no run exactly, so nothing counts as measured. Steps are shared in proportion.
    """
    ranges = [(min(lengths), max(lengths)) for lengths in zip(*table.measured, strict=True)]
    alone_j = {
        place: model.predict_j(StepCounts.of_sums(sums)) for place, sums in workload.cells.items()
    }
    whole_j = sum(alone_j.values())
    cells = []
    for place, sums in sorted(workload.cells.items()):
        edges = cell_edges(workload.grid, place)
        is_within = all(
            edge is not None and low <= edge <= high
            for edge, (low, high) in zip(edges, ranges, strict=True)
        )
        cells.append(
            CellEstimate(
                *edges,
                sums.requests,
                energy_j * alone_j[place] / whole_j,
                "interpolated" if is_within else "extrapolated",
            )
        )
    return cells
