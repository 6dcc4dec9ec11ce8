"""Traces that are given together: workloads add up, and are served in time if all know theirs."""

from collections.abc import Sequence

from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.workload import Workload


def together(parts: Sequence[Workload], grid: Grid | None) -> Workload:
    """All requests of several workloads.

    Args:
        parts: The workloads, on any grids of which one merges the cells of all others.
        grid: The cells; None for the coarsest of theirs.

    Returns:
        Their sum, without times unless all know times.

    Raises:
        InputError: Their grids do not merge, or their clocks differ.
    """
    if grid is None:
        cells = [part.grid.shape[0] * part.grid.shape[1] for part in parts]
        grid = parts[cells.index(min(cells))].grid
    whole, *others = (part.on_grid(grid) for part in parts)
    if timeless(parts):
        whole = whole.without_arrivals()
        others = [part.without_arrivals() for part in others]
    for part in others:
        try:
            whole += part
        except InputError as error:
            raise InputError(
                "the arrival times of these traces lie decades apart: one counts from 1970 and the "
                "other from its start; leave one out, or read them without times "
                '(--arrival-column none, arrival_column="none")'
            ) from error
    return whole


def timeless(parts: Sequence[Workload]) -> list[int]:
    """Positions of the workloads that do not tell when their requests came, where others do."""
    without = [
        k for k, part in enumerate(parts) if part.arrivals is None and part.total.requests > 0
    ]
    return without if any(part.arrivals is not None for part in parts) else []
