"""What `joulecast validate` shows."""

import statistics
from collections.abc import Sequence

from rich.console import Group

from joulecast.estimator.validate import METHODS, Validation
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report, joules


def validation_report(found: Sequence[Validation]) -> Report:
    """`joulecast validate`."""
    view = grid_table()
    view.add_column("replay", overflow="fold")
    for heading in (
        "requests", "metered", "binned", "stepwise", "interval\nholds", "engine\nsteps",
        "simulated",
    ):  # fmt: skip
        view.add_column(heading, justify="right")
    for one in found:
        stepwise, steps = one.held["stepwise"], one.replay.engine_steps
        add_row(
            view,
            one.name,
            f"{len(one.replay.lengths):,}",
            joules(one.metered_j),
            f"{one.held['binned'].error_percent:+.1f} %" if "binned" in one.held else "-",
            f"{stepwise.error_percent:+.1f} %",
            "yes" if stepwise.is_within else "NO",
            "-" if steps is None else f"{steps.steps:,}",
            f"{one.simulated.counts.steps:,.0f}",
        )
    facts = []
    for method in METHODS:
        errors = [abs(one.held[method].error_percent) for one in found if method in one.held]
        if not errors:
            continue
        text = f"median {statistics.median(errors):.1f} %, worst {max(errors):.1f} %"
        facts.append((f"{method}, absolute error", text))
    within = [one.held["stepwise"].is_within for one in found]
    facts.append(("stepwise, interval holds", f"{sum(map(bool, within))} of {len(within)}"))
    rows = [one.to_dict() for one in found]
    tables = sorted({one.table for one in found})
    notes = [f"Estimated from {', '.join(tables)}."]
    if hosts := sorted({one.host for one in found if one.host is not None}):
        told = sum(one.host is not None for one in found)
        notes.append(f"The pace of the host of {told} replays is from {', '.join(hosts)}.")
    if others := [one.name for one in found if one.has_other_batches]:
        notes.append(
            f"Run in other static batches than the table makes of them: {', '.join(others)}."
        )
    return Report(
        {"replays": rows, "tables": tables},
        rows,
        Group(view, facts_table(facts), notes_text(notes)),
    )
