import numpy as np
import pytest

from joulecast.measurements.table.checks import leave_one_out_errors
from joulecast.measurements.table.interpolation import CellEnergy, fill, fit_law, request_terms
from joulecast.measurements.table.table import load_table, table_names
from joulecast.traces.grid import PAPER_GRID

TRUE_LAW = np.array([5.0, 0.016, 2e-5, 5e-7])


def energy_of(cell: tuple[int, int], batch_size: float) -> CellEnergy:
    terms = request_terms(np.array([cell], float), np.array([batch_size]))
    return CellEnergy(float((terms @ TRUE_LAW)[0]) * batch_size, batch_size, "measured")


def batch_size_of(cell: tuple[int, int]) -> float:
    return min(1024, 450_000 / sum(cell))


WHOLE = [name for name in table_names() if not name.endswith(("-quick", "-traffic", "-second"))]
"""Tables of enough cells to fill in the others."""

EVERY = {cell: energy_of(cell, batch_size_of(cell)) for cell in PAPER_GRID.cells()}


def test_the_law_is_found_again() -> None:
    lengths = np.array(list(EVERY), float)
    sizes = np.array([cell.batch_size for cell in EVERY.values()])
    energies = np.array([cell.request_energy_j for cell in EVERY.values()])
    np.testing.assert_allclose(fit_law(lengths, sizes, energies), TRUE_LAW, rtol=1e-6)


def test_cells_that_follow_the_law_are_filled_in_exactly() -> None:
    measured = {cell: energy for cell, energy in EVERY.items() if cell[1] in (8, 32, 128, 512)}
    for cell, filled in fill(PAPER_GRID, measured).items():
        assert filled.request_energy_j == pytest.approx(EVERY[cell].request_energy_j, rel=1e-6)
        assert filled.batch_size == pytest.approx(EVERY[cell].batch_size, rel=1e-6)
        assert filled.coverage == "interpolated"


def test_a_cell_without_neighbours_on_both_sides_is_extrapolated() -> None:
    measured = {cell: energy for cell, energy in EVERY.items() if cell[1] <= 128}
    coverage = {cell: filled.coverage for cell, filled in fill(PAPER_GRID, measured).items()}
    assert set(coverage.values()) == {"extrapolated"}
    measured[32, 512], measured[8192, 512] = EVERY[32, 512], EVERY[8192, 512]
    coverage = {cell: filled.coverage for cell, filled in fill(PAPER_GRID, measured).items()}
    assert coverage[1024, 512] == "interpolated"


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 6"):
        fill(PAPER_GRID, {cell: EVERY[cell] for cell in list(EVERY)[:5]})


def test_measured_cells_are_never_touched() -> None:
    for name in WHOLE:
        table = load_table(name)
        for cell, measured in table.measured.items():
            assert table.cells[cell] is measured


@pytest.mark.parametrize(
    ("name", "median"),
    [("pytorch-by-hand", 0.015), ("pytorch", 0.025), ("vllm-by-hand", 0.01), ("vllm", 0.01)],
)
def test_cells_left_out_of_the_shipped_tables_come_back(name: str, median: float) -> None:
    """The figures that docs/interpolation.md states."""
    errors = leave_one_out_errors(load_table(f"h100-sxm/llama-3.1-8b/{name}"))
    assert np.median(np.abs(list(errors.values()))) < median


def test_energy_and_capacity_of_the_shipped_tables_are_plausible_everywhere() -> None:
    for name in WHOLE:
        cells = load_table(name).cells
        for (i, o), cell in cells.items():
            assert 1 <= cell.batch_size <= 1024
            longer = cells.get((i, 2 * o))
            if longer is not None:
                # By less than 1 % the other way round where two H200s measured the two.
                least = 0.99 if name.startswith("h200-sxm/llama-3.1-8b") else 1
                assert longer.request_energy_j > least * cell.request_energy_j


def test_cells_filled_in_from_the_hand_sweep_were_measured_later() -> None:
    """The figures that docs/interpolation.md states."""
    by_hand = load_table("h100-sxm/llama-3.1-8b/vllm-by-hand")
    measured = load_table("h100-sxm/llama-3.1-8b/vllm").measured
    errors = {
        cell: by_hand.cells[cell].request_energy_j / truth.request_energy_j - 1
        for cell, truth in measured.items()
        if cell not in by_hand.measured
    }
    assert len(errors) == 24
    assert np.median(np.abs(list(errors.values()))) == pytest.approx(0.0087, abs=0.0005)
    assert min(errors, key=lambda cell: errors[cell]) == (32, 256)
    assert min(errors.values()) == pytest.approx(-0.122, abs=0.001)
