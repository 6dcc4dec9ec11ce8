"""The paper's Tables 1 to 3: how long the requests of its tasks and traces are, ours beside its."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.estimator.paper.published import embedded_rows
from joulecast.traces.files import exists
from joulecast.traces.load import summarise
from joulecast.traces.public.catalog import catalog
from joulecast.traces.public.paper_datasets import best_source
from joulecast.traces.reconstruct import published
from joulecast.traces.summary import (
    TraceSummary,
    summarise_workload,
)
from joulecast.traces.workload import Workload


@dataclass(frozen=True)
class TraceLengths:
    """One trace of Tables 1 and 2.

    Attributes:
        title: What it is.
        name: Which requests ours are.
        summary: Ours.
        figures: The paper's, of "input" and "output"; None for a trace that it does not have.
    """

    title: str
    name: str
    summary: TraceSummary
    figures: Mapping[str, Mapping[str, float]] | None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "dataset": self.title,
            "trace": self.name,
            **self.summary.to_dict(),
            "published": self.figures
            and {side: dict(self.figures[side]) for side in ("input", "output")},
        }


def trace_lengths() -> list[TraceLengths]:
    """The paper's traces from the best source at hand, and those that ship."""
    entries = catalog()
    rows = []
    for dataset in published()["traces"]:
        name, workload = best_source(dataset["name"])
        entry = entries.get(name)
        is_file = entry is not None and exists(entry.file)
        summary = summarise(entry.file) if is_file and entry else summarise_workload(workload)
        rows.append(TraceLengths(dataset["title"], name, summary, dataset))
    return rows + [
        TraceLengths(title, name, summarise(name), None) for name, title in embedded_rows().items()
    ]


def task_lengths(task: Mapping[str, Any], workload: Workload | None) -> dict[str, Any]:
    """One task of the paper: our input lengths beside the published ones, as JSON values.

    Args:
        task: Of `traces.reconstruct.published`.
        workload: What `joulecast trace task` made of it; None if there is none.
    """
    ours = None
    if workload is not None:
        source = next((s for s in workload.sources if s.get("kind") == "datasets"), {})
        ours = {
            key: source.get(f"{key}_input_tokens", "not kept") for key in ("mean", "sd", "longest")
        }
    return {
        "task": task["title"],
        "ours": ours,
        "published": {
            "examples": task["examples"],
            "mean": task["input"]["mean"],
            "sd": task["input"]["sd"],
            "longest": task["input"]["maximum"],
            "output_tokens": task["output_tokens"],
        },
    }
