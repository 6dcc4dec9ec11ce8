"""The part of an estimate that falls to each cell of the grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joulecast.measurements.table.interpolation import Coverage
from joulecast.traces.grid import Grid


@dataclass(frozen=True)
class CellEstimate:
    """The part of an estimate that falls to one cell of the grid.

    Attributes:
        input_tokens: The cell's input edge, I* [tokens]; None beyond the last.
        output_tokens: Its output edge, O* [tokens]; None beyond the last.
        requests: Requests in the cell.
        energy_j: Their energy [J]; None if they are left out.
        coverage: Where that energy comes from; None likewise.
        batch_size: B of the cell, the requests of a full batch; None likewise, and by the step
            model, which has no batches of one cell.
    """

    input_tokens: int | None
    output_tokens: int | None
    requests: int
    energy_j: float | None
    coverage: Coverage | None
    batch_size: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "requests": self.requests,
            "energy_j": self.energy_j,
            "coverage": self.coverage,
            "batch_size": self.batch_size,
        }

    def row(self) -> dict[str, Any]:
        """The cell as a row of a table, its edges called as those of a `Workload` are there."""
        edges = {
            "input_edge_tokens": self.input_tokens,
            "output_edge_tokens": self.output_tokens,
        }
        names = ("requests", "energy_j", "coverage", "batch_size")
        return {**edges, **{name: getattr(self, name) for name in names}}


def coverage_of(cells: Sequence[CellEstimate]) -> dict[Coverage, float]:
    """Shares of the cells' energy by where it comes from."""
    energies_j: dict[Coverage, float] = {"measured": 0.0, "interpolated": 0.0, "extrapolated": 0.0}
    for cell in cells:
        if cell.coverage is not None and cell.energy_j is not None:
            energies_j[cell.coverage] += cell.energy_j
    whole_j = sum(energies_j.values())
    return {kind: part_j / whole_j for kind, part_j in energies_j.items()}


def cell_edges(grid: Grid, cell: tuple[int, int]) -> tuple[int | None, int | None]:
    """Edges of a cell (row, column) of a workload [tokens]; None beyond the last."""
    row, column = cell
    return (
        grid.input_edges[row] if row < len(grid.input_edges) else None,
        grid.output_edges[column] if column < len(grid.output_edges) else None,
    )


def effective_cells(cells: Sequence[CellEstimate], energy_j: float) -> float:
    """As many cells of equal energy would spread it as much: 1 over the sum of squared shares.

    Args:
        cells: Parts of an estimate.
        energy_j: All of it [J].
    """
    shares = [(cell.energy_j or 0.0) / energy_j for cell in cells]
    return 1 / sum(share * share for share in shares)
