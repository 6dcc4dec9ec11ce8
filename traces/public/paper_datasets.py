"""The paper's own datasets, each from the best source at hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.traces.binning.trace import first_line
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists
from joulecast.traces.public.catalog import CatalogEntry, catalog, load_embedded
from joulecast.traces.reconstruct import published
from joulecast.traces.summary import LengthStatistics, summarise_workload
from joulecast.traces.workload import Workload


def best_source(dataset: str) -> tuple[str, Workload]:
    """A dataset of the paper: fetched if it was, else reconstructed from its published figures.

    Where several fetched files may be it, as with BurstGPT, the one whose lengths come closest to
    the published ones is taken.

    Args:
        dataset: Its name in `traces.reconstruct.published`.

    Returns:
        Name of the source, and its workload.
    """
    fetched = [
        (entry.name, Workload.load(entry.workload_file))
        for entry in candidates(dataset)
        if exists(entry.workload_file)
    ]
    if not fetched:
        stand_in = _stand_in(dataset)
        return stand_in, load_embedded(stand_in)
    figures = _figures(dataset)
    return min(fetched, key=lambda named: distance(named[1], figures))


def candidates(dataset: str) -> list[CatalogEntry]:
    """The public files that may be a dataset of the paper."""
    return [entry for entry in catalog().values() if entry.stand_in == _stand_in(dataset)]


def _stand_in(dataset: str) -> str:
    """Name of the workload that is reconstructed from the figures of a dataset."""
    return f"{dataset}-reconstructed"


def _figures(dataset: str) -> Mapping[str, Any]:
    """What the paper publishes of a dataset's lengths [tokens]."""
    return dict(next(row for row in published()["traces"] if row["name"] == dataset))


def distance(workload: Workload, figures: Mapping[str, Any]) -> float:
    """How far means and standard deviations lie from published ones: the largest, in logarithms."""
    summary = summarise_workload(workload)
    return max(
        _distance(summary.input, figures["input"]), _distance(summary.output, figures["output"])
    )


def _distance(statistics: LengthStatistics | None, figures: Mapping[str, float]) -> float:
    if statistics is None:
        return math.inf
    return max(
        abs(math.log(max(value, 1e-9) / figures[name]))
        for value, name in ((statistics.mean, "mean"), (statistics.sd, "sd"))
    )


@dataclass(frozen=True)
class Subset:
    """Part of a BurstGPT file.

    Attributes:
        file: Name of the public trace.
        label: Which rows.
        requests: How many.
        off: How far its means and standard deviations lie from the published ones, the largest as a
            share.
    """

    file: str
    label: str
    requests: int
    off: float


def burstgpt_subsets() -> list[Subset]:
    """Parts of the fetched BurstGPT files, the closest to the paper's figures first.

    All rows and those that did not fail, of every model and kind of log and of each.
    """
    figures = _figures("burstgpt")
    targets = [figures[side][name] for side in ("input", "output") for name in ("mean", "sd")]
    subsets = [
        Subset(
            entry.name,
            label,
            requests,
            max(abs(value / target - 1) for value, target in zip(values, targets, strict=True)),
        )
        for entry in candidates("burstgpt")
        if exists(entry.file)
        for label, requests, *values in _subset_figures(entry)
    ]
    return sorted(subsets, key=lambda subset: (subset.off, subset.file, subset.label))


def _subset_figures(entry: CatalogEntry) -> list[tuple[Any, ...]]:
    """Label, requests, and mean and sd of inputs and outputs, for each part of a file."""
    import duckdb

    query = """
        SELECT concat_ws(', ', coalesce("Model", 'all models'), coalesce("Log Type", 'all logs'),
                         CASE WHEN failed THEN 'with failed calls' ELSE 'without failed calls' END),
               count(*), avg(i), stddev(i), avg(o), stddev(o)
        FROM (SELECT "Model", "Log Type", "Request tokens" AS i, "Response tokens" AS o
              FROM read_csv($file)),
             (VALUES (true), (false)) AS chosen(failed)
        WHERE failed OR o > 0
        GROUP BY GROUPING SETS ((failed), (failed, "Model"), (failed, "Log Type"),
                                (failed, "Model", "Log Type"))
        HAVING count(*) > 1
    """
    try:
        with duckdb.connect() as database:
            return list(database.execute(query, {"file": str(entry.file)}).fetchall())
    except duckdb.Error as error:
        raise InputError(f"{entry.file}: is not a BurstGPT file ({first_line(error)})") from error
