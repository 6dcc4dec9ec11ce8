"""How many terms the step model wants, and what a quick plan's runs make of it.

Prints, per shipped table, the error of each batch when it is left out of the fit, for growing sets
of terms; and for the twelve batches of `--plan quick`, the error of all others.
"""

import numpy as np
from scipy.optimize import nnls

from joulecast.estimator.steps.metered_batches import MeteredBatch, metered_batches
from joulecast.estimator.steps.work import TERMS
from joulecast.measurements.sweep.plans import quick_batches
from joulecast.measurements.table.table import EnergyTable, load_table

TABLES = ("vllm", "vllm-first-card", "pytorch")
SETS = (4, 5, 6)


def fit(batches: list[MeteredBatch], terms: int) -> np.ndarray:
    """Coefficients of the first so many terms, shape (terms,)."""
    work = np.array([batch.work[:terms] / batch.energy_j for batch in batches])
    return nnls(work, np.ones(len(batches)))[0]


def errors(batches: list[MeteredBatch], coefficients: np.ndarray) -> np.ndarray:
    """Relative errors of batches."""
    terms = len(coefficients)
    return np.array(
        [float(batch.work[:terms] @ coefficients) / batch.energy_j - 1 for batch in batches]
    )


def left_out(batches: list[MeteredBatch], terms: int) -> np.ndarray:
    """Each batch's error when it is left out."""
    return np.concatenate(
        [
            errors([batch], fit([other for other in batches if other is not batch], terms))
            for batch in batches
        ]
    )


def with_time(batches: list[MeteredBatch]) -> tuple[np.ndarray, float]:
    """Each batch's error when it is left out but its time is known, and the price of a second [W].

    A check of the law rather than a forecast: how long a run takes is part of what is asked.
    """
    work = np.array([[*batch.work, batch.seconds] for batch in batches])
    energies_j = np.array([batch.energy_j for batch in batches])
    relative, whole = work / energies_j[:, None], np.ones(len(batches))
    left_out_errors = []
    for k in range(len(batches)):
        others = np.arange(len(batches)) != k
        left_out_errors.append(relative[k] @ nnls(relative[others], whole[others])[0] - 1)
    return np.array(left_out_errors), float(nnls(relative, whole)[0][-1])


def quick(
    table: EnergyTable, batches: list[MeteredBatch]
) -> tuple[list[MeteredBatch], list[MeteredBatch]]:
    """The batches of `--plan quick`, and all others."""
    planned = quick_batches(table)
    chosen = [batch for batch in batches if batch.batch in planned]
    return chosen, [batch for batch in batches if batch.batch not in planned]


def summary(relative_errors: np.ndarray) -> str:
    """Median and worst, in percent."""
    size = np.abs(relative_errors)
    return f"median {100 * np.median(size):4.1f}, worst {100 * size.max():4.1f}"


def main() -> None:
    """Print it all."""
    for name in TABLES:
        table = load_table(f"h100-sxm/llama-3.1-8b/{name}")
        batches = metered_batches(table)
        chosen, others = quick(table, batches)
        for terms in SETS:
            held_out = summary(left_out(batches, terms))
            from_quick = summary(errors(others, fit(chosen, terms)))
            print(
                f"{name:16s} {', '.join(TERMS[:terms]):52s} left out: {held_out}; "
                f"from {len(chosen)} quick batches: {from_quick}"
            )
        timed, power_w = with_time(batches)
        print(f"{name:16s} all six, and the time at {power_w:.0f} W: left out: {summary(timed)}")


if __name__ == "__main__":
    main()
