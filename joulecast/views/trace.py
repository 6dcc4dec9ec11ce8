"""What `joulecast trace` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rich.console import Group

from joulecast.traces.files import exists
from joulecast.traces.public.catalog import CatalogEntry, is_embedded
from joulecast.traces.reconstruct import REQUESTS, published
from joulecast.views.numbers import invalid_text, percent
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report

if TYPE_CHECKING:
    from joulecast.traces.summary import TraceSummary


def trace_list_report(entries: Sequence[CatalogEntry]) -> Report:
    """`joulecast trace list`."""
    view = grid_table()
    view.add_column("trace", no_wrap=True)
    view.add_column("what", overflow="fold")
    view.add_column("rows", justify="right")
    view.add_column("licence")
    view.add_column("here")
    rows = [_row(entry) for entry in entries] + [
        _reconstructed(dataset) for dataset in published()["traces"]
    ]
    for row in rows:
        count = "" if row["rows"] is None else f"{row['rows']:,}"
        add_row(view, row["name"], row["title"], count, row["licence"], row["here"])
    note = (
        "joulecast trace fetch NAME gets one; joulecast trace list --format json has addresses, "
        "checksums and what to cite."
    )
    return Report({"traces": rows}, rows, Group(view, notes_text([note])))


def _row(entry: CatalogEntry) -> dict[str, Any]:
    is_cached = exists(entry.workload_file)
    here = "ships" if is_embedded(entry.name) else "fetched" if is_cached else ""
    return {**vars(entry), "here": here}


def _reconstructed(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """A stand-in that ships, in the columns of the others."""
    row = dict.fromkeys(field.name for field in fields(CatalogEntry))
    return row | {
        "name": f"{dataset['name']}-reconstructed",
        "title": f"{dataset['title']}, reconstructed from published figures",
        "rows": REQUESTS,
        "licence": dataset["licence"],
        "citation": dataset["citation"],
        "here": "ships",
    }


def summary_report(trace: str, summary: "TraceSummary") -> Report:
    """`joulecast trace summary`."""
    from joulecast.traces.summary import statistics_texts  # numpy comes with it

    view = grid_table()
    for heading in ("tokens", "mean", "sd", "median", "99th percentile", "longest"):
        view.add_column(heading, justify="left" if heading == "tokens" else "right")
    for name, statistics in (("input", summary.input), ("output", summary.output)):
        if statistics is not None:
            add_row(view, name, *statistics_texts(statistics))
    total = summary.requests + summary.failed + sum(summary.invalid.values())
    share = summary.beyond_grid / summary.requests if summary.requests else 0.0
    beyond = (
        f"{summary.beyond_grid:,} ({percent(share)} of requests, "
        f"{percent(summary.beyond_grid_token_share)} of tokens)"
    )
    made_up = " (reconstructed)" if summary.is_reconstructed else ""
    facts = [
        ("trace", trace + made_up),
        ("rows", f"{total:,}: {summary.requests:,} requests, {summary.failed:,} failed (o = 0)"),
        ("left out", invalid_text(summary.invalid)),
        ("beyond the grid", beyond),
    ]
    if summary.span_s is not None:
        facts.append(("time span", f"{summary.span_s:,.1f} s"))
    document = {"trace": trace, **summary.to_dict()}
    return Report(document, [document], Group(facts_table(facts), view))
