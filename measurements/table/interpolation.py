"""Energy and largest batch of the cells that a table lacks.

The energy of a request at capacity follows a law with four terms,

    E_batch / B  ~  e_step * O / B  +  e_token * (I + O - 1)  +  e_context * K  +  e_pair * I^2 / 2

with O steps shared by the B requests of a batch, I + O - 1 tokens fed, K cached tokens read while
decoding and I^2 / 2 prompt query-key pairs. The law is fitted to the measured cells; what it misses
there, as a factor, is interpolated between them over (log I, log O) and put back. B * (I + O), the
tokens that the memory holds, changes little from cell to cell and is interpolated in the same way,
where no search found B. A table of too few cells at capacity has the law fitted to its smaller
batches, too. docs/interpolation.md has the comparison with other ways that led to this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.traces.grid import Grid

Coverage = Literal["measured", "interpolated", "extrapolated"]
CellKey = tuple[int, int]
BatchKey = tuple[int, int, int]
"""Input and output length of every request [tokens], and how many there are."""

FEW_CELLS = 12
"""As many as the plan "spread" has: fewer at capacity are helped by smaller batches."""

MIN_CELLS = 6
"""Fewest measured cells, or batches, that four coefficients and a surface can be fitted to."""


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
    grid: Grid,
    measured: Mapping[CellKey, CellEnergy],
    cells: list[CellKey] | None = None,
    smaller_j: Mapping[BatchKey, float] | None = None,
    largest: Mapping[CellKey, float] | None = None,
) -> dict[CellKey, CellEnergy]:
    """Energies for cells that were not measured.

    Args:
        grid: The grid of the table.
        measured: The cells that were, at least `MIN_CELLS` of them; one will do where there are so
            many batches, and `largest` tells of so many cells.
        cells: The cells to fill in; by default every cell of the grid that was not measured.
        smaller_j: Batches below capacity -> energy of a batch [J]; the law is fitted to them too
            where `largest` is given and fewer than `FEW_CELLS` cells are measured.
        largest: Cells -> B(I, O) where a search found it.

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
    sizes = {cell: energy.batch_size for cell, energy in measured.items()}
    sizes_told = {**(largest or {}), **sizes}
    energies_j = {(*cell, sizes[cell]): energy.batch_energy_j for cell, energy in measured.items()}
    fitted_j = energies_j
    if largest and len(measured) < FEW_CELLS:
        smaller = {(i, o, float(size)): j for (i, o, size), j in (smaller_j or {}).items()}
        fitted_j = smaller | energies_j
    if not measured or min(len(fitted_j), len(sizes_told)) < MIN_CELLS:
        raise ValueError(
            f"{len(measured)} measured cells; interpolating needs {MIN_CELLS} at the least"
        )
    law = fit_law(*_per_request(fitted_j))
    lengths, batch_sizes, request_j = _per_request(energies_j)
    misses = request_j / (request_terms(lengths, batch_sizes) @ law)

    targets = np.array(cells, dtype=float)
    target_batches = np.array(list(fill_batch_sizes(sizes_told, cells).values()), dtype=float)
    target_energies_j = (request_terms(targets, target_batches) @ law) * np.exp(
        _surface(lengths, np.log(misses), targets)
    )
    return {
        cell: CellEnergy(float(energy_j * batch), float(batch), _coverage(cell, measured))
        for cell, energy_j, batch in zip(cells, target_energies_j, target_batches, strict=True)
    }


def _per_request(
    energies_j: Mapping[tuple[int, int, float], float],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What `fit_law` takes: lengths, batch sizes, and energies per request [J]."""
    batches = np.array(list(energies_j), dtype=float)
    return batches[:, :2], batches[:, 2], np.array(list(energies_j.values())) / batches[:, 2]


def fill_batch_sizes(sizes: Mapping[CellKey, float], cells: list[CellKey]) -> dict[CellKey, float]:
    """B of cells: where it is told that, else from the tokens that batches below the cap hold.

    Args:
        sizes: Cells -> B(I, O), one at the least.
        cells: Whose B to tell.
    """
    lengths, targets = np.array(list(sizes), dtype=float), np.array(cells, dtype=float)
    batch_sizes = np.array(list(sizes.values()), dtype=float)
    below_cap = batch_sizes < MAX_BATCH_SIZE
    filled = np.full(len(targets), float(MAX_BATCH_SIZE))
    if below_cap.any() and any(cell not in sizes for cell in cells):
        log_tokens = np.log(batch_sizes[below_cap] * lengths[below_cap].sum(axis=1))
        tokens_held = np.exp(_surface(lengths[below_cap], log_tokens, targets))
        filled = np.clip(tokens_held / targets.sum(axis=1), 1, MAX_BATCH_SIZE)
    return {cell: sizes.get(cell, float(size)) for cell, size in zip(cells, filled, strict=True)}


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
