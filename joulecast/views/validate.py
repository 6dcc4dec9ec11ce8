"""What `joulecast validate` shows."""

import statistics
from collections.abc import Sequence

from rich.console import Group, RenderableType

from joulecast.estimator.method import METHODS
from joulecast.estimator.online.validate import OnlineValidation
from joulecast.estimator.validate import Validation
from joulecast.views.numbers import joules
from joulecast.views.online.validate import online_view
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text
from joulecast.views.report import Report

_MARK = "*"
"""Beside the name of a replay whose conditions are not its table's."""


def validation_report(
    validations: Sequence[Validation], online: Sequence[OnlineValidation]
) -> Report:
    """`joulecast validate`: requests all at once, and those that came over time."""
    rows = [validation.to_dict() for validation in validations]
    online_rows = [validation.to_dict() for validation in online]
    tables = sorted({validation.table for validation in validations})
    views: list[RenderableType] = [_offline_view(validations, tables)] if validations else []
    views += [online_view(online)] if online else []
    document = {"replays": rows, "tables": tables, "online": online_rows}
    return Report(document, rows or online_rows, Group(*views))


def _offline_view(validations: Sequence[Validation], tables: Sequence[str]) -> RenderableType:
    """A line per replay, the errors of all, and remarks."""
    view = grid_table()
    view.add_column("replay", overflow="fold")
    for heading in (
        "requests", "metered", "binned", "stepwise", "interval\nholds", "engine\nsteps",
        "simulated",
    ):  # fmt: skip
        view.add_column(heading, justify="right")
    for validation in validations:
        stepwise, steps = validation.checked["stepwise"], validation.replay.engine_steps
        add_row(
            view,
            validation.name + (f" {_MARK}" if validation.differences else ""),
            f"{len(validation.replay.lengths):,}",
            joules(validation.metered_j),
            f"{validation.checked['binned'].error_percent:+.1f} %"
            if "binned" in validation.checked
            else "-",
            f"{stepwise.error_percent:+.1f} %",
            "yes" if stepwise.is_within else "NO",
            "-" if steps is None else f"{steps.steps:,}",
            f"{len(validation.simulated.decoding):,}",
        )
    facts = []
    for method in METHODS:
        errors = [
            abs(validation.checked[method].error_percent)
            for validation in validations
            if method in validation.checked
        ]
        if not errors:
            continue
        text = f"median {statistics.median(errors):.1f} %, worst {max(errors):.1f} %"
        facts.append((f"{method}, absolute error", text))
    within = [validation.checked["stepwise"].is_within for validation in validations]
    facts.append(("stepwise, interval holds", f"{sum(map(bool, within))} of {len(within)}"))
    notes = [
        f"{_MARK} {validation.name} was run under other conditions than {validation.table}: "
        f"{', '.join(validation.difference_texts)}."
        for validation in validations
        if validation.differences
    ]
    notes.append(f"Estimated from {', '.join(tables)}.")
    if hosts := sorted(
        {validation.host for validation in validations if validation.host is not None}
    ):
        told = sum(validation.host is not None for validation in validations)
        notes.append(f"The pace of the host of {told} replays is from {', '.join(hosts)}.")
    if others := [validation.name for validation in validations if validation.has_other_batches]:
        notes.append(
            f"Run in other static batches than the table makes of them: {', '.join(others)}."
        )
    return Group(view, facts_table(facts), notes_text(notes))
