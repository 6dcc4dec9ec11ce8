"""How many terms the step model wants, and what a quick plan's runs make of it.

Prints, per shipped table, the error of each batch when it is left out of the fit, for growing sets
of terms; and for the twelve batches of `--plan quick`, the error of all others.
"""

import numpy as np
from scipy.optimize import nnls

from joulecast.estimator.steps.prices import Point, table_points
from joulecast.estimator.steps.work import TERMS
from joulecast.measurements.sweep.plans import quick_batches
from joulecast.measurements.table.table import EnergyTable, load_table

TABLES = ("vllm", "vllm-first-card", "pytorch")
SETS = (4, 5, 6)


def fit(points: list[Point], terms: int) -> np.ndarray:
    """Coefficients of the first so many terms, shape (terms,)."""
    work = np.array([point.counts.array()[:terms] / point.energy_j for point in points])
    return nnls(work, np.ones(len(points)))[0]


def errors(points: list[Point], coefficients: np.ndarray) -> np.ndarray:
    """Relative errors of points."""
    terms = len(coefficients)
    return np.array(
        [float(p.counts.array()[:terms] @ coefficients) / p.energy_j - 1 for p in points]
    )


def left_out(points: list[Point], terms: int) -> np.ndarray:
    """Each point's error when it is left out."""
    return np.concatenate(
        [
            errors([point], fit([other for other in points if other is not point], terms))
            for point in points
        ]
    )


def with_time(points: list[Point]) -> tuple[np.ndarray, float]:
    """Each point's error when it is left out but its time is known, and the price of a second [W].

    A check of the law rather than a forecast: how long a run takes is part of what is asked.
    """
    work = np.array([[*p.counts.array(), p.seconds] for p in points])
    energies_j = np.array([point.energy_j for point in points])
    relative, whole = work / energies_j[:, None], np.ones(len(points))
    found = []
    for k in range(len(points)):
        others = np.arange(len(points)) != k
        found.append(relative[k] @ nnls(relative[others], whole[others])[0] - 1)
    return np.array(found), float(nnls(relative, whole)[0][-1])


def quick(table: EnergyTable, points: list[Point]) -> tuple[list[Point], list[Point]]:
    """The points of `--plan quick`, and all others."""
    batches = quick_batches(table)
    chosen = [point for point in points if point.batch in batches]
    return chosen, [point for point in points if point.batch not in batches]


def said(found: np.ndarray) -> str:
    """Median and worst, in percent."""
    size = np.abs(found)
    return f"median {100 * np.median(size):4.1f}, worst {100 * size.max():4.1f}"


def main() -> None:
    """Print it all."""
    for name in TABLES:
        table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
        points = table_points(table)
        chosen, others = quick(table, points)
        for terms in SETS:
            held_out = said(left_out(points, terms))
            from_quick = said(errors(others, fit(chosen, terms)))
            print(
                f"{name:16s} {', '.join(TERMS[:terms]):52s} left out: {held_out}; "
                f"from {len(chosen)} quick batches: {from_quick}"
            )
        found, power_w = with_time(points)
        print(f"{name:16s} all six, and the time at {power_w:.0f} W: left out: {said(found)}")


if __name__ == "__main__":
    main()
