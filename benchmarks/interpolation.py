"""Ways to fill in cells that a table lacks, held against cells that were measured and left out.

Two trials: each measured cell left out alone, and each output column left out whole, which is what
the hand-made tables lack. Prints relative errors of the energy per request, in percent.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.interpolate import RBFInterpolator

from joulecast.measurements.table.interpolation import (
    CellEnergy,
    CellKey,
    FloatArray,
    fill,
    fit_law,
    request_terms,
)
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID

Measured = Mapping[CellKey, CellEnergy]
Way = Callable[[Measured, list[CellKey]], FloatArray]


def _arrays(measured: Measured) -> tuple[FloatArray, FloatArray, FloatArray]:
    lengths = np.array(list(measured), dtype=float)
    sizes = np.array([cell.batch_size for cell in measured.values()])
    energies = np.array([cell.request_energy_j for cell in measured.values()])
    return lengths, sizes, energies


def surface_of_logs(kernel: str) -> Way:
    """A surface through log(E/B) over (log I, log O), no law."""

    def way(measured: Measured, cells: list[CellKey]) -> FloatArray:
        lengths, _, energies = _arrays(measured)
        surface = RBFInterpolator(np.log2(lengths), np.log(energies), kernel=kernel, degree=1)
        return np.exp(surface(np.log2(np.array(cells, dtype=float))))

    return way


def surface_per_token(measured: Measured, cells: list[CellKey]) -> FloatArray:
    """The same through the energy per token, E / (B (I + O))."""
    lengths, _, energies = _arrays(measured)
    values = np.log(energies / lengths.sum(axis=1))
    surface = RBFInterpolator(np.log2(lengths), values, kernel="linear", degree=1)
    targets = np.array(cells, dtype=float)
    return np.exp(surface(np.log2(targets))) * targets.sum(axis=1)


def law_alone(measured: Measured, cells: list[CellKey]) -> FloatArray:
    """The four-term law without what it misses."""
    law = fit_law(*_arrays(measured))
    filled = fill(PAPER_GRID, measured, cells)
    sizes = np.array([filled[cell].batch_size for cell in cells])
    return request_terms(np.array(cells, dtype=float), sizes) @ law


def law_and_thin_plate(measured: Measured, cells: list[CellKey]) -> FloatArray:
    """The law, its misses on a thin-plate spline."""
    lengths, sizes, energies = _arrays(measured)
    law = fit_law(lengths, sizes, energies)
    misses = np.log(energies / (request_terms(lengths, sizes) @ law))
    surface = RBFInterpolator(np.log2(lengths), misses, degree=1)
    targets = np.log2(np.array(cells, dtype=float))
    return law_alone(measured, cells) * np.exp(surface(targets))


def shipped(measured: Measured, cells: list[CellKey]) -> FloatArray:
    """What joulecast does: the law, its misses on a surface of cones."""
    filled = fill(PAPER_GRID, measured, cells)
    return np.array([filled[cell].request_energy_j for cell in cells])


WAYS: dict[str, Way] = {
    "surface of log energy (cones)": surface_of_logs("linear"),
    "surface of log energy (thin plate)": surface_of_logs("thin_plate_spline"),
    "surface of energy per token": surface_per_token,
    "four-term law": law_alone,
    "law, misses on a thin plate": law_and_thin_plate,
    "law, misses on cones (shipped)": shipped,
}


def errors(way: Way, measured: Measured, left_out: list[CellKey]) -> FloatArray:
    """Relative errors of one way on the cells left out."""
    others = {cell: energy for cell, energy in measured.items() if cell not in left_out}
    truth = np.array([measured[cell].request_energy_j for cell in left_out])
    return way(others, left_out) / truth - 1


def main() -> None:
    """Print the comparison for both hand-made tables, as rows of a Markdown table."""
    for name in ("vllm-by-hand", "pytorch-by-hand"):
        measured = load_table(f"h100-sxm/llama-3.1-8b/{name}").measured
        columns = sorted({o for _, o in measured})[1:]
        print(
            f"\n| {name}: left out | one cell | " + " | ".join(f"O = {o}" for o in columns) + " |"
        )
        print("| --- |" + " --- |" * (1 + len(columns)))
        for label, way in WAYS.items():
            alone = np.concatenate([errors(way, measured, [cell]) for cell in measured])
            trials = [alone] + [
                errors(way, measured, [cell for cell in measured if cell[1] == o]) for o in columns
            ]
            cells = [
                f"{100 * np.median(np.abs(e)):.1f} (worst {100 * np.max(np.abs(e)):.1f})"
                for e in trials
            ]
            print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
