"""The paper's own datasets, each from the best source at hand."""

import math
from collections.abc import Mapping
from typing import Any

from traces.catalog import CatalogEntry, catalog, load_embedded
from traces.files import exists
from traces.reconstruct import published
from traces.summary import LengthStatistics, summarise_workload
from traces.workload import Workload


def best_source(dataset: str) -> tuple[str, Workload]:
    """A dataset of the paper: fetched if it was, else reconstructed from its published figures.

    Where several fetched files may be it, as with BurstGPT, the one whose lengths come closest to
    the published ones is taken.

    Args:
        dataset: Its name in `traces.reconstruct.published`.

    Returns:
        Name of what was found, and its workload.
    """
    stand_in = f"{dataset}-reconstructed"
    figures = next(row for row in published()["traces"] if row["name"] == dataset)
    fetched = [entry for entry in candidates(dataset) if exists(entry.workload_file)]
    if not fetched:
        return stand_in, load_embedded(stand_in)
    found = [(entry.name, Workload.load(entry.workload_file)) for entry in fetched]
    return min(found, key=lambda one: distance(one[1], figures))


def candidates(dataset: str) -> list[CatalogEntry]:
    """The public files that may be a dataset of the paper."""
    return [e for e in catalog().values() if e.stand_in == f"{dataset}-reconstructed"]


def distance(workload: Workload, figures: Mapping[str, Any]) -> float:
    """How far means and standard deviations lie from published ones: the largest, in logarithms."""
    summary = summarise_workload(workload)
    return max(
        _distance(found, figures[side])
        for found, side in ((summary.input, "input"), (summary.output, "output"))
    )


def _distance(found: LengthStatistics | None, wanted: Mapping[str, float]) -> float:
    if found is None:
        return math.inf
    return max(
        abs(math.log(max(value, 1e-9) / wanted[name]))
        for value, name in ((found.mean, "mean"), (found.sd, "sd"))
    )
