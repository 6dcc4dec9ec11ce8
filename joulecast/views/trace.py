"""What `joulecast trace` shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from joulecast.views.numbers import invalid_text, percent, reading_facts, three_digits
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report

if TYPE_CHECKING:
    from joulecast.traces.summary import TraceSummary


def trace_list_report(rows: Sequence[Mapping[str, Any]]) -> Report:
    """`joulecast trace list`; `rows` as `traces.public.listing` gives them."""
    view = grid_table()
    view.add_column("trace", no_wrap=True)
    view.add_column("what")
    view.add_column("rows", justify="right")
    view.add_column("licence")
    view.add_column("here")
    for row in rows:
        count = "" if row["rows"] is None else f"{row['rows']:,}"
        add_row(view, row["name"], row["title"], count, row["licence"], row["here"])
    note = (
        "joulecast trace fetch NAME gets one; joulecast trace list --format json has addresses, "
        "checksums and what to cite."
    )
    return Report({"traces": rows}, rows, Group(view, notes_text([note])))


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
        *reading_facts(summary.reading),
        ("rows", f"{total:,}: {summary.requests:,} requests, {summary.failed:,} failed (o = 0)"),
        ("left out", invalid_text(summary.invalid)),
        ("beyond the grid", beyond),
    ]
    if summary.cached is not None:
        tokens, share = summary.cached
        facts.append(("cached", f"{tokens:,} input tokens ({percent(share)}) were in a cache"))
    facts += _time_facts(summary)
    document = {"trace": trace, **summary.to_dict()}
    if not summary.groups:
        return Report(document, [document], Group(facts_table(facts), view))
    rows = summary.group_rows
    return Report(document, rows, Group(facts_table(facts), view, _groups_view(rows)))


def _groups_view(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What each group has."""
    view = grid_table()
    view.add_column("group")
    for heading in ("requests", "failed", "input tokens", "output tokens"):
        view.add_column(heading, justify="right")
    for row in rows:
        counts = ("requests", "failed", "input_tokens", "output_tokens")
        add_row(view, row["name"], *(f"{row[count]:,}" for count in counts))
    return view


def _time_facts(summary: "TraceSummary") -> list[tuple[str, str]]:
    """When the requests come, and what was read as their times."""
    facts = []
    if summary.span_s is not None:
        text = f"{summary.span_s:,.1f} s"
        if summary.rates is not None:
            mean, busiest = summary.rates.mean, summary.rates.busiest
            text += (
                f": {three_digits(mean)} requests a second, {three_digits(busiest)} in the busiest "
                f"{summary.rates.stretch_s:,g} s"
            )
        facts.append(("time span", text))
    if summary.arrivals is not None:
        facts.append(("arrival times", summary.arrivals.text))
    elif summary.slice_s is not None:
        short = f"; {summary.untimed:,} requests have none" if summary.untimed else ""
        facts.append(("arrival times", f"counted in slices of {summary.slice_s:,g} s{short}"))
    else:
        facts.append(("arrival times", "none"))
    return facts
