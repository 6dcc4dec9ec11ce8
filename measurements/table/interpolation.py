"""Energy and largest batch of the cells that a table lacks.

The energy of a request at capacity follows a law with four terms,

    E_batch / B  ~  e_step * O / B  +  e_token * (I + O - 1)  +  e_context * K  +  e_pair * I^2 / 2

with O steps shared by the B requests of a batch, I + O - 1 tokens fed, K cached tokens read while
decoding and I^2 / 2 prompt query-key pairs. The law is fitted to the measured cells; what it misses
there, as a factor, is interpolated between them over (log I, log O) and put back. B * (I + O), the
tokens that the memory holds, changes little from cell to cell and is interpolated in the same way.
docs/interpolation.md has the comparison with other ways that led to this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.runs import MAX_BATCH_SIZE
from joulecast.traces.grid import Grid

Coverage = Literal["measured", "interpolated", "extrapolated"]
CellKey = tuple[int, int]

MIN_CELLS = 6
"""Fewest measured cells that four coefficients and a surface can be fitted to."""


@dataclass(frozen=True)
class CellEnergy:
    """E_batch(I, O) and B(I, O) of one cell.

    Attributes:
        batch_energy_j: E_batch, energy of one batch at capacity [J].
        batch_size: B, requests in that batch; fractional where interpolated.
        coverage: Where the two come from.
    """

    batch_energy_j: float
    batch_size: float
    coverage: Coverage

    @property
    def request_energy_j(self) -> float:
        """Energy of one request in a full batch [J]."""
        return self.batch_energy_j / self.batch_size


def request_terms(lengths: FloatArray, batch_sizes: FloatArray) -> FloatArray:
    """The law's four terms, per request.

    Args:
        lengths: (I, O) per row [tokens], shape (n, 2).
        batch_sizes: B per row, shape (n,).

    Returns:
        Steps, tokens fed, cached tokens read, prompt pairs; shape (n, 4).
    """
    i, o = lengths.T
    steps = o / batch_sizes
    tokens = i + o - 1
    context = (o - 1) * i + (o - 1) * o / 2
    pairs = i * i / 2
    return np.stack([steps, tokens, context, pairs], axis=1)


def fit_law(lengths: FloatArray, batch_sizes: FloatArray, energies_j: FloatArray) -> FloatArray:
    """Coefficients of the law: non-negative, least squares of the relative errors.

    Args:
        lengths: (I, O) per measured cell [tokens], shape (n, 2).
        batch_sizes: B per measured cell, shape (n,).
        energies_j: Energy per request [J], shape (n,).

    Returns:
        e_step, e_token, e_context, e_pair [J each], shape (4,).
    """
    terms = request_terms(lengths, batch_sizes)
    from scipy.optimize import nnls  # slow to import, and whole tables do not need it

    coefficients, _ = nnls(terms / energies_j[:, None], np.ones(len(energies_j)))
    return np.asarray(coefficients)


def fill(
    grid: Grid, measured: Mapping[CellKey, CellEnergy], cells: list[CellKey] | None = None
) -> dict[CellKey, CellEnergy]:
    """Energies for cells that were not measured.

    Args:
        grid: The grid of the table.
        measured: The cells that were, at least `MIN_CELLS` of them.
        cells: The cells to fill in; by default every cell of the grid that was not measured.

    Returns:
        One entry per such cell. Its coverage is "interpolated" if measured cells lie on both
        sides in its row or in its column of the grid, else "extrapolated".

    Raises:
        ValueError: Too few measured cells.
    """
    if cells is None:
        cells = [cell for cell in grid.cells() if cell not in measured]
    if not cells:
        return {}
    if len(measured) < MIN_CELLS:
        raise ValueError(
            f"{len(measured)} measured cells; interpolating needs {MIN_CELLS} at the least"
        )
    lengths = np.array(list(measured), dtype=float)
    batch_sizes = np.array([cell.batch_size for cell in measured.values()])
    energies_j = np.array([cell.request_energy_j for cell in measured.values()])
    law = fit_law(lengths, batch_sizes, energies_j)
    misses = energies_j / (request_terms(lengths, batch_sizes) @ law)

    targets = np.array(cells, dtype=float)
    target_batches = _batch_sizes(lengths, batch_sizes, targets)
    target_energies_j = (request_terms(targets, target_batches) @ law) * np.exp(
        _surface(lengths, np.log(misses), targets)
    )
    return {
        cell: CellEnergy(float(energy_j * batch), float(batch), _coverage(cell, measured))
        for cell, energy_j, batch in zip(cells, target_energies_j, target_batches, strict=True)
    }


def _batch_sizes(lengths: FloatArray, batch_sizes: FloatArray, targets: FloatArray) -> FloatArray:
    """B at the targets, from the tokens that batches below the cap hold."""
    below_cap = batch_sizes < MAX_BATCH_SIZE
    if not below_cap.any():
        return np.full(len(targets), float(MAX_BATCH_SIZE))
    log_tokens = np.log(batch_sizes[below_cap] * lengths[below_cap].sum(axis=1))
    tokens_held = np.exp(_surface(lengths[below_cap], log_tokens, targets))
    return np.asarray(np.clip(tokens_held / targets.sum(axis=1), 1, MAX_BATCH_SIZE))


def _surface(lengths: FloatArray, values: FloatArray, targets: FloatArray) -> FloatArray:
    """A surface over (log I, log O) through the values: sums of cones, level far away."""
    from scipy.interpolate import RBFInterpolator

    surface = RBFInterpolator(np.log2(lengths), values, kernel="linear", degree=0)
    return np.asarray(surface(np.log2(targets)))


def _coverage(cell: CellKey, measured: Mapping[CellKey, CellEnergy]) -> Coverage:
    input_tokens, output_tokens = cell
    in_row = [o for i, o in measured if i == input_tokens]
    in_column = [i for i, o in measured if o == output_tokens]
    for position, others in ((output_tokens, in_row), (input_tokens, in_column)):
        if others and min(others) < position < max(others):
            return "interpolated"
    return "extrapolated"
