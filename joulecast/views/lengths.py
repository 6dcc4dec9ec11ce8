"""What the commands on lengths and FLOPs show."""

from typing import Any

from rich.console import Group

from joulecast.estimator.flops import CONVENTION, FlopsModel
from joulecast.traces.grid import Grid
from joulecast.traces.summary import TraceSummary, statistics_texts
from joulecast.views.parts import add_row, facts_table, grid_matrix, grid_table, notes_text
from joulecast.views.report import Report, invalid_text, percent


def summary_report(trace: str, summary: TraceSummary) -> Report:
    """`joulecast trace summary`."""
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


def flops_report(
    flops: FlopsModel, lengths: tuple[int, int] | None, grid: Grid, made: str
) -> Report:
    """`joulecast flops`."""
    if lengths is not None:
        count = flops.request(*lengths)
        document: dict[str, Any] = {
            "model": flops.model,
            "input_tokens": lengths[0],
            "output_tokens": lengths[1],
            "flops": count,
            "convention": CONVENTION,
        }
        facts = [
            ("model", flops.model),
            ("request", f"{lengths[0]:,} input tokens, {lengths[1]:,} output tokens"),
            ("FLOPs", f"{count:,} = {count:.4e}"),
        ]
        notes = [CONVENTION, made]
        return Report(document, [document], Group(facts_table(facts), notes_text(notes)))
    cells = flops.grid(grid)
    document = {
        "model": flops.model,
        "coefficients": flops.to_dict(),
        "cells": [
            {"input_tokens": i, "output_tokens": o, "flops": count}
            for (i, o), count in cells.items()
        ],
        "convention": CONVENTION,
    }
    texts = {cell: f"{count / 1e12:#.4g}" for cell, count in cells.items()}
    law = (
        f"FLOPs(I, O) = {flops.per_token} (I + O - 1) + {flops.per_pair} [I^2 + (O - 1)(I + 1) + "
        f"(O - 1)(O - 2) / 2] + {flops.per_pass} O"
    )
    view = grid_matrix("FLOPs of one request [10^12]", grid, texts)
    return Report(
        document,
        document["cells"],
        Group(
            facts_table([("model", flops.model), ("law", law)]),
            view,
            notes_text([CONVENTION, made]),
        ),
    )
