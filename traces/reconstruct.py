"""Workloads of datasets of which only four figures per length are published.

Input and output lengths each get the distribution of maximum entropy over 1 ... 4 x the 99th
percentile that has the published mean, standard deviation, median and 99th percentile: of all that
do, the one that assumes nothing more. Input and output are taken to be independent, and requests to
come in random order. docs/reconstruction.md says what that is worth where the truth is known.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulecast.traces.errors import InputError
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FIGURES = ("mean", "sd", "median", "percentile_99")
REQUESTS = 100_000
_REACH = 4
_SEED = 20_250_427
_PRECISION = 1e-7


def published() -> dict[str, Any]:
    """The paper's Tables 1 to 3: `source`, `traces` and `tasks`, with their length statistics."""
    return dict(_document())


def maximum_entropy(figures: Mapping[str, float]) -> "npt.NDArray[np.float64]":
    """Probabilities of the lengths 1, 2, ... that have the given figures.

    p(x) is proportional to exp(a x + b x^2 + c [x <= median] + d [x <= percentile_99]); the four
    numbers are found by minimising the convex dual.

    Args:
        figures: `FIGURES` -> value [tokens].

    Returns:
        Shape (longest,).

    Raises:
        InputError: No distribution over these lengths has such figures.
    """
    import numpy as np
    from scipy.optimize import minimize

    mean, sd, median, last = (float(figures[name]) for name in FIGURES)
    if not 1 <= median <= last or not mean > 0 or not sd > 0:
        raise InputError(f"no lengths have the figures {dict(figures)}")
    longest = int(_REACH * last)
    x = np.arange(1, longest + 1, dtype=float) / longest
    features = np.stack([x, x * x, x * longest <= median, x * longest <= last]).astype(float)
    moments = np.array([mean / longest, (sd * sd + mean * mean) / longest**2, 0.5, 0.99])

    def probabilities(multipliers: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
        exponents = multipliers @ features
        weights = np.exp(exponents - exponents.max())
        return np.asarray(weights / weights.sum())

    def dual(multipliers: "npt.NDArray[np.float64]") -> tuple[float, Any]:
        exponents = multipliers @ features
        peak = exponents.max()
        log_sum = peak + np.log(np.exp(exponents - peak).sum())
        gradient = features @ probabilities(multipliers) - moments
        return float(log_sum - multipliers @ moments), gradient

    def curvature(multipliers: "npt.NDArray[np.float64]") -> Any:
        p = probabilities(multipliers)
        mean_features = features @ p
        return (features * p) @ features.T - np.outer(mean_features, mean_features)

    minimum = minimize(
        dual, np.zeros(4), jac=True, hess=curvature, method="trust-exact",
        options={"gtol": _PRECISION / 10, "maxiter": 5000},
    )  # fmt: skip
    p = probabilities(minimum.x)
    if not np.allclose(features @ p, moments, atol=_PRECISION, rtol=1e-5):
        raise InputError(f"no lengths up to {longest} have the figures {dict(figures)}")
    return p


def most_even(mean: float, sd: float, longest: int) -> "npt.NDArray[np.float64]":
    """Probabilities of the lengths 1, 2, ... of maximum entropy with a mean and an sd.

    p(x) is proportional to exp(a x + b x^2).

    Args:
        mean: Of the lengths [tokens].
        sd: Likewise.
        longest: Up to which length [tokens].

    Returns:
        Shape (longest,).

    Raises:
        InputError: No distribution over these lengths has such figures.
    """
    import numpy as np
    from scipy.optimize import root

    x = np.arange(1, longest + 1, dtype=float) / longest
    features = np.stack([x, x * x])
    moments = np.array([mean / longest, (sd * sd + mean * mean) / longest**2])

    def probabilities(multipliers: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
        exponents = multipliers @ features
        weights = np.exp(exponents - exponents.max())
        return np.asarray(weights / weights.sum())

    def off(multipliers: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
        return np.asarray(features @ probabilities(multipliers) / moments - 1)

    p = probabilities(root(off, np.array([-longest / mean, 0.0])).x)
    if not np.allclose(features @ p, moments, rtol=1e-5):
        raise InputError(f"no lengths up to {longest} have the mean {mean:g} and the sd {sd:g}")
    return p


def reconstruct(
    inputs: Mapping[str, float], outputs: Mapping[str, float], requests: int = REQUESTS
) -> "npt.NDArray[np.int64]":
    """Requests whose input and output lengths have the given figures.

    Args:
        inputs: `FIGURES` of the input lengths [tokens].
        outputs: Of the output lengths.
        requests: How many.

    Returns:
        (i, o) per request [tokens], shape (requests, 2).

    Raises:
        InputError: No lengths have such figures.
    """
    import numpy as np

    generator = np.random.default_rng(_SEED)
    shares = (np.arange(requests) + 0.5) / requests
    columns = []
    for figures in (inputs, outputs):
        reached = np.cumsum(maximum_entropy(figures))
        lengths = 1 + np.searchsorted(reached, shares * reached[-1])
        columns.append(generator.permutation(lengths))
    return np.stack(columns, axis=1).astype(np.int64)


def reconstruct_dataset(dataset: Mapping[str, Any]) -> Workload:
    """One of the published traces, as a workload that says how it was made."""
    lengths = reconstruct(dataset["input"], dataset["output"])
    source = {
        "name": f"{dataset['name']}-reconstructed",
        "reconstructed_from": "mean, sd, median and 99th percentile of input and output lengths "
        f"in {published()['source']}",
        "how": "maximum entropy for each, independent; "
        f"{len(lengths):,} requests stand for the dataset's",
        "licence": dataset["licence"],
        "citation": dataset["citation"],
    }
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
    return Workload(workload.grid, workload.cells, sources=(source,))


@cache
def _document() -> dict[str, Any]:
    text = (files("joulecast.traces") / "published.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def main() -> None:
    """Make the workloads that ship anew: `python -m joulecast.traces.reconstruct`."""
    folder = Path(str(files("joulecast.traces") / "workloads"))
    for dataset in published()["traces"]:
        path = folder / f"{dataset['name']}-reconstructed.json"
        reconstruct_dataset(dataset).save(path)
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
