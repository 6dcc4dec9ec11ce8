"""What `joulecast flops` shows."""

from typing import Any

from rich.console import Group

from joulecast.estimator.flops import FlopsModel
from joulecast.traces.grid import Grid
from joulecast.views.parts import facts_table, grid_matrix, notes_text
from joulecast.views.report import Report


def flops_report(
    flops: FlopsModel, lengths: tuple[int, int] | None, grid: Grid, counted: tuple[str, str]
) -> Report:
    """`joulecast flops`.

    Args:
        flops: The model's law.
        lengths: (I, O) of one request; None for those of a grid.
        grid: That grid.
        counted: What counts, and what it was counted with.
    """
    convention, made = counted
    if lengths is not None:
        count = flops.request(*lengths)
        document: dict[str, Any] = {
            "model": flops.model,
            "input_tokens": lengths[0],
            "output_tokens": lengths[1],
            "flops": count,
            "convention": convention,
        }
        facts = [
            ("model", flops.model),
            ("request", f"{lengths[0]:,} input tokens, {lengths[1]:,} output tokens"),
            ("FLOPs", f"{count:,} = {count:.4e}"),
        ]
        notes = [convention, made]
        return Report(document, [document], Group(facts_table(facts), notes_text(notes)))
    cells = flops.grid(grid)
    document = {
        "model": flops.model,
        "coefficients": flops.to_dict(),
        "cells": [
            {"input_tokens": i, "output_tokens": o, "flops": count}
            for (i, o), count in cells.items()
        ],
        "convention": convention,
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
            notes_text([convention, made]),
        ),
    )
