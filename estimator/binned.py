"""The paper's estimate: requests rounded up to measured lengths, in the largest batches.

    E_total = sum over cells of N(I*, O*) / B(I*, O*) * E_batch(I*, O*)

Source: Fernandez et al. 2025, section 4.1.
"""

import math
from collections.abc import Iterable
from typing import cast

from joulecast.estimator.attribution.cells import CellEstimate, cell_edges, coverage_of
from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate, source_of
from joulecast.estimator.flops import load_flops
from joulecast.estimator.ideal import Roofline, ideal_energy
from joulecast.estimator.positions import left_out_text, request_counts, within_positions
from joulecast.estimator.steps.cached import CachedPrompts
from joulecast.measurements.table.interpolation import CellKey
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.workload import Workload


def binned_energy(
    workload: Workload, table: EnergyTable, whole_batches: bool = False
) -> list[CellEstimate]:
    """N / B * E_batch of every cell that has requests.

    Args:
        workload: Requests on the table's grid; those beyond it are left out.
        table: E_batch and B per cell.
        whole_batches: Round N / B up in every cell, as if no batch were shared between cells; the B
            of an interpolated cell, which is fractional, is rounded down first.

    Returns:
        Cells, by their edges; their energies add up to E_total.
    """
    cells = []
    for place, sums in sorted(workload.cells.items()):
        edges = cell_edges(workload.grid, place)
        if workload.is_beyond(place):
            cells.append(CellEstimate(*edges, sums.requests, None, None))
            continue
        cell = table.cells[cast("CellKey", edges)]
        batches = _batches(sums.requests, cell.batch_size, whole_batches)
        energy_j = batches * cell.batch_energy_j
        cells.append(CellEstimate(*edges, sums.requests, energy_j, cell.coverage, cell.batch_size))
    return cells


def count_batches(cells: Iterable[CellEstimate], whole_batches: bool = False) -> float:
    """Batches that the requests of an estimate's cells count as; those left out count as none.

    Args:
        cells: Of a binned estimate.
        whole_batches: As it was made; False tells how many full batches they fill.
    """
    return sum(
        _batches(cell.requests, cell.batch_size, whole_batches)
        for cell in cells
        if cell.batch_size is not None
    )


def _batches(requests: int, batch_size: float, whole_batches: bool) -> float:
    """N / B."""
    if whole_batches:
        return math.ceil(requests / max(1, math.floor(batch_size)))
    return requests / batch_size


def estimate_binned(
    workload: Workload, table: EnergyTable, trace: str, whole_batches: bool = False
) -> Estimate:
    """The paper's estimate of a workload, beside its ideals.

    E_total = sum over cells of N(I*, O*) / B(I*, O*) * E_batch(I*, O*)
    (Fernandez et al. 2025, section 4.1)

    Args:
        workload: Requests on the table's grid, or on one that refines it.
        table: Measured energies.
        trace: What to call the workload.
        whole_batches: Round batches up per cell.

    Returns:
        Energies [J] without an interval; requests beyond the grid are left out and counted.

    Raises:
        InputError: No request to estimate, grids that do not fit, or a model without FLOPs.
    """
    everything = workload.on_grid(table.grid)
    workload = within_positions(everything, None, table.config).workload
    inside = workload.inside
    counts = request_counts(everything, workload, inside.requests)
    if inside.requests == 0:
        raise InputError(
            f"{trace}: has no request to estimate: {left_out_text(counts, table.config)}"
        )
    cells = binned_energy(workload, table, whole_batches)
    energy_j = sum(cell.energy_j for cell in cells if cell.energy_j is not None)
    flops, gpu, dtype = load_flops(table.config), table.gpu, table.compute_dtype
    total = workload.total
    beyond_tokens = workload.beyond.input_tokens + workload.beyond.output_tokens
    return Estimate(
        trace=trace,
        source=source_of(workload),
        table=table.name,
        method="binned",
        whole_batches=whole_batches,
        requests=counts,
        invalid=dict(workload.invalid),
        estimated_tokens={"input": inside.input_tokens, "output": inside.output_tokens},
        beyond_grid_token_share=beyond_tokens / (total.input_tokens + total.output_tokens),
        energy_j=energy_j,
        # One run per cell says nothing of the spread, and rounding lengths up is a bias, not a
        # spread: an interval around this estimate would promise what it cannot hold.
        interval_j=None,
        ideal_j={
            **{peak: ideal_energy(workload, flops, gpu, dtype, peak) for peak in gpu.peaks(dtype)},
            "roofline": Roofline.of(table).energy(workload, table),
        },
        coverage=coverage_of(cells),
        dense_peak_flops_per_s=gpu.peak(dtype),
        cells=tuple(cells),
        cached=_cached(workload, energy_j),
        basis=Basis.of(table),
    )


def _cached(workload: Workload, energy_j: float) -> CachedPrompts | None:
    """Cached prompt tokens of the estimated requests, which the paper's method computes."""
    if workload.cached is None:
        return None
    inside = workload.of_cells([cell for cell in workload.cells if not workload.is_beyond(cell)])
    tokens = inside.cached_tokens or 0
    return CachedPrompts(tokens, inside.total.input_tokens, energy_j, is_read=False)
