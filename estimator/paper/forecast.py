"""The paper's estimate where nobody measured E_batch and B: both forecast by the step model.

    E_total = sum over cells of N(I*, O*) / B(I*, O*) * E_batch(I*, O*)

B is what the memory holds, E_batch what the steps of such a batch cost by prices that are scaled.
What steps take adds up, so that the whole sum has one interval.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from joulecast.estimator.attribution.cells import CellEstimate, cell_edges, coverage_of
from joulecast.estimator.estimate import Estimate, source_of
from joulecast.estimator.ideal import Ideal, ideal_energy
from joulecast.estimator.positions import left_out_text, request_counts, within_positions
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.intervals import interval_j
from joulecast.estimator.steps.schedulers import Scheduler
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import StepCounts
from joulecast.estimator.stepwise import StepModel, gauged_by_law
from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.measurements.table.interpolation import CellKey, Coverage
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload

RECONSTRUCTION_SD = 0.03
"""Relative sd of a binned energy whose lengths were reconstructed (docs/reconstruction.md)."""


def largest_batch(scheduler: Scheduler, cell: CellKey) -> int:
    """B(I, O) as the engine's memory and limits have it; 0 if not even one request fits.

    Raises:
        InputError: How the engine forms batches is not known.
    """
    if isinstance(scheduler, StaticBatching):
        longest = scheduler.longest_request
        return 0 if longest is not None and sum(cell) > longest else int(scheduler.largest[cell])
    if isinstance(scheduler, ContinuousBatching):
        blocks = -(-(sum(cell) - 1) // scheduler.block_tokens)
        return min(MAX_BATCH_SIZE, scheduler.most_requests, scheduler.cache_blocks // blocks)
    raise InputError("how this engine forms its largest batches is not known")


def forecast_binned(workload: Workload, model: StepModel, trace: str) -> Estimate:
    """The paper's estimate of a workload on what was not measured, with an interval.

    Args:
        workload: Requests on the paper's grid, or on one that refines it.
        model: Step model of the deployment.
        trace: What to call the workload.

    Returns:
        Energies [J]. The interval is of what the paper's formula would come to, had its batches
        been metered on such a card; that lengths are rounded up is no part of it.

    Raises:
        InputError: No request to estimate.
    """
    everything = workload.on_grid(PAPER_GRID)
    served = within_positions(everything, None, model.config).workload
    batch_sizes = {cell: largest_batch(model.scheduler, cell) for cell in PAPER_GRID.cells()}
    held = {
        place: sums
        for place, sums in served.cells.items()
        if served.is_beyond(place) or batch_sizes[_cell(place)]
    }
    workload = replace(served, cells=held)
    inside = workload.inside
    counts = request_counts(everything, served, inside.requests, workload)
    if inside.requests == 0:
        raise InputError(
            f"{trace}: has no request to estimate: {left_out_text(counts, model.config)}"
        )
    services = _services(workload, model, batch_sizes)
    total = _sum(list(services.values()))
    spending, sds = _spending(workload, model, total, len(services))
    cells = _cells(workload, model, services, batch_sizes)
    return Estimate(
        trace=trace,
        source=source_of(workload),
        table=model.name,
        method="binned",
        requests=counts,
        invalid=dict(workload.invalid),
        estimated_tokens={"input": inside.input_tokens, "output": inside.output_tokens},
        beyond_grid_token_share=_beyond_token_share(workload),
        energy_j=spending.energy_j,
        interval_j=interval_j(spending.energy_j, sds, model.law.freedom),
        ideal_j=_ideals_j(workload, model, total),
        coverage=coverage_of(cells),
        dense_peak_flops_per_s=model.gpu.peak(model.compute_dtype),
        cells=tuple(cells),
        seconds=spending.seconds,
        parts_j=spending.parts_j,
        least_parts_j=spending.least_parts_j,
        relative_sds=sds,
        basis=model.basis,
    )


def _services(
    workload: Workload, model: StepModel, batch_sizes: Mapping[CellKey, int]
) -> dict[tuple[int, int], Service]:
    """What the batches of each cell take, by its place on the grid."""
    return {
        place: _service(model, _cell(place), batch_sizes[_cell(place)], sums.requests)
        for place, sums in sorted(workload.cells.items())
        if not workload.is_beyond(place)
    }


def _spending(
    workload: Workload, model: StepModel, total: Service, cells: int
) -> tuple[Spending, dict[str, float]]:
    """What all batches cost, and what makes a metered run of them differ."""
    spending = model.law.spending(gauged_by_law(total))
    sds = model.law.relative_sds(gauged_by_law(total), spending, float(cells))
    if workload.is_reconstructed:
        sds["reconstruction"] = RECONSTRUCTION_SD
    return spending, sds


def _ideals_j(workload: Workload, model: StepModel, total: Service) -> dict[Ideal, float]:
    """The ideals of lengths rounded up [J]."""
    flops, gpu, dtype = model.roofline.flops, model.gpu, model.compute_dtype
    ideals_j: dict[Ideal, float] = {
        peak: ideal_energy(workload, flops, gpu, dtype, peak) for peak in gpu.peaks(dtype)
    }
    return {**ideals_j, "roofline": float(total.gauged[0])}


def _beyond_token_share(workload: Workload) -> float:
    """Tokens of requests beyond the grid over all tokens."""
    total, beyond = workload.total, workload.beyond
    tokens = beyond.input_tokens + beyond.output_tokens
    return tokens / (total.input_tokens + total.output_tokens)


def _cell(place: tuple[int, int]) -> CellKey:
    row, column = place
    return PAPER_GRID.input_edges[row], PAPER_GRID.output_edges[column]


def _service(model: StepModel, cell: CellKey, batch_size: int, requests: int) -> Service:
    """What N / B batches of a cell take: the roofline [J] first, then what the law asks for."""
    steps = model.scheduler.schedule_batch(*cell, batch_size)
    batches = requests / batch_size
    return Service(
        StepCounts(*(batches * steps.counts.array()).tolist()), batches * model.gauge(steps)
    )


def _sum(services: list[Service]) -> Service:
    counts = np.sum([service.counts.array() for service in services], axis=0)
    gauged = np.sum([service.gauged for service in services], axis=0)
    return Service(StepCounts(*counts.tolist()), gauged)


def _cells(
    workload: Workload,
    model: StepModel,
    services: Mapping[tuple[int, int], Service],
    batch_sizes: Mapping[CellKey, int],
) -> list[CellEstimate]:
    """The cells that have requests; nothing of them was measured on such a card."""
    cells = []
    for place, sums in sorted(workload.cells.items()):
        edges = cell_edges(workload.grid, place)
        if place not in services:
            cells.append(CellEstimate(*edges, sums.requests, None, None))
            continue
        cell = _cell(place)
        is_within = all(
            low <= edge <= high for edge, (low, high) in zip(cell, model.length_ranges, strict=True)
        )
        coverage: Coverage = "interpolated" if is_within else "extrapolated"
        energy_j = model.law.spending(gauged_by_law(services[place])).energy_j
        cells.append(
            CellEstimate(*edges, sums.requests, energy_j, coverage, float(batch_sizes[cell]))
        )
    return cells
