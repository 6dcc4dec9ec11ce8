"""What `joulecast tables` shows."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from joulecast.estimator.paper.length_tables import TraceLengths, task_lengths, trace_lengths
from joulecast.traces.public.paper_datasets import Subset, burstgpt_subsets
from joulecast.traces.reconstruct import published
from joulecast.traces.summary import LengthStatistics, statistics_texts
from joulecast.traces.workload import Workload
from joulecast.views.parts import add_row, grid_table, notes_text
from joulecast.views.report import Report


def tables_report(tasks: Mapping[str, Workload]) -> Report:
    """`joulecast tables`.

    Args:
        tasks: Task -> workload that `joulecast trace task` made.
    """
    traces, subsets = trace_lengths(), burstgpt_subsets()
    rows = [task_lengths(task, tasks.get(task["name"])) for task in published()["tasks"]]
    document = {
        "source": published()["source"],
        "tasks": rows,
        "traces": [trace.to_dict() for trace in traces],
        "burstgpt_subsets": [vars(subset) for subset in subsets],
    }
    flat = _flat_traces(1, "input", traces) + _flat_traces(2, "output", traces) + _flat_tasks(rows)
    views = [_trace_table(1, "input", traces), _trace_table(2, "output", traces), _task_table(rows)]
    return Report(document, flat, Group(*views, notes_text(_notes(traces, subsets))))


def _flat_tasks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Table 3 in the columns that all three share."""
    return [
        {
            "table": 3,
            "dataset": row["task"],
            "source": "trace" if row["ours"] else "published only",
            **_side("ours", row["ours"] or {}),
            **_side("published", row["published"]),
        }
        for row in rows
    ]


def _flat_traces(number: int, side: str, traces: list[TraceLengths]) -> list[dict[str, Any]]:
    """Table 1 or 2 in these columns; a quantile that is known to a bin has its upper end."""
    rows = []
    for trace in traces:
        own = trace.to_dict()
        ours = dict(own[f"{side}_tokens"] or {})
        for name in ("median", "percentile_99"):
            ours[name] = (ours.get(name) or [None, None])[1]
        rows.append(
            {
                "table": number,
                "dataset": trace.title,
                "source": own["source"],
                **_side("ours", ours | {"longest": ours.get("maximum")}),
                **_side("published", (own["published"] or {}).get(side) or {}),
            }
        )
    return rows


def _side(whose: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    names = ("mean", "sd", "median", "percentile_99", "longest")
    return {f"{whose}_{name}": figures.get(name) for name in names}


def _trace_table(number: int, side: str, traces: list[TraceLengths]) -> Any:
    view = grid_table(f"Table {number}: {side} lengths of the traces, in tokens")
    view.add_column("dataset", overflow="fold", min_width=12)
    view.add_column("source", overflow="fold")
    for heading in ("mean", "sd", "median", "99th percentile"):
        view.add_column(heading, justify="right")
    for trace in traces:
        own: LengthStatistics | None = getattr(trace.summary, side)
        source = "reconstructed" if trace.summary.is_reconstructed else "trace"
        cells = ["-"] * 4 if own is None else statistics_texts(own)[:4]
        add_row(view, trace.title, source, *cells)
        if trace.figures is not None:
            figures = trace.figures[side]
            exact = (f"{figures[key]:,.2f}" for key in ("mean", "sd"))
            whole = (f"{figures[key]:,}" for key in ("median", "percentile_99"))
            add_row(view, "", "published", *exact, *whole)
    return view


def _task_table(rows: list[dict[str, Any]]) -> Any:
    view = grid_table("Table 3: input lengths of the NLP tasks, in tokens")
    for heading in ("task", "examples", "ours\nmean", "\nsd", "\nlongest"):
        view.add_column(heading, justify="left" if heading == "task" else "right")
    for heading in ("paper\nmean", "\nsd", "\nlongest", "\noutput"):
        view.add_column(heading, justify="right")
    for row in rows:
        ours, paper = row["ours"] or {}, row["published"]
        add_row(
            view,
            row["task"],
            str(paper["examples"]),
            *(str(ours.get(key, "-")) for key in ("mean", "sd", "longest")),
            *(f"{paper[key]:,.2f}" for key in ("mean", "sd")),
            *(f"{paper[key]:,}" for key in ("longest", "output_tokens")),
        )
    return view


def _notes(traces: list[TraceLengths], subsets: list[Subset]) -> list[str]:
    notes = []
    if any(trace.summary.is_reconstructed for trace in traces):
        notes.append(
            "Reconstructed rows have the published figures by construction; of a workload, "
            "quantiles are known to a bin. joulecast trace fetch gets the datasets themselves."
        )
    if subsets:
        best = subsets[0]
        notes.append(
            f"Closest to the published BurstGPT: {best.file}, {best.label}: {best.requests:,} "
            f"requests, means and sds within {100 * best.off:.1f} %."
        )
    else:
        notes.append("Which BurstGPT file the paper's figures are of can be told once one is here.")
    notes.append("Tasks: joulecast trace task NAME -o FILE, then --task NAME=FILE.")
    return notes
