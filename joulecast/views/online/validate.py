"""What `joulecast validate` shows of requests that came over time."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Group

from joulecast.estimator.online.validate import HELD, OnlineValidation
from joulecast.views.numbers import joules
from joulecast.views.parts import add_row, facts_table, grid_table

_HEADINGS = {
    ("ttft", "p50"): "ttft\np50",
    ("ttft", "p99"): "ttft\np99",
    ("tpot", "p50"): "tpot\np50",
    ("e2e", "mean"): "e2e\nmean",
}


def online_view(validations: Sequence[OnlineValidation]) -> Group:
    """A line per replay, and the errors of all."""
    view = grid_table("served as they came: how far estimates lie above meter and clock [%]")
    view.add_column("replay", overflow="fold")
    headings = ["metered", "energy", "interval\nholds", "steps", *_HEADINGS.values()]
    for heading in headings:
        view.add_column(heading, justify="right")
    for validation in validations:
        add_row(
            view,
            validation.name,
            joules(validation.metered_j),
            _signed(validation.error_percent),
            "yes" if validation.is_within else "NO",
            _signed(validation.steps_percent),
            *(_signed(validation.latency_percent(name, quantile)) for name, quantile in HELD),
        )
    return Group(view, facts_table(_summary(validations)))


def _summary(validations: Sequence[OnlineValidation]) -> list[tuple[str, str]]:
    """Absolute errors: median and worst."""
    columns: dict[str, list[float | None]] = {
        "energy": [validation.error_percent for validation in validations],
        "steps": [validation.steps_percent for validation in validations],
    }
    for name, quantile in HELD:
        columns[f"{name} {quantile}"] = [
            validation.latency_percent(name, quantile) for validation in validations
        ]
    facts = []
    for label, values in columns.items():
        errors = [abs(value) for value in values if value is not None]
        if errors:
            text = f"median {statistics.median(errors):.1f} %, worst {max(errors):.1f} %"
            facts.append((f"{label}, absolute error", text))
    within = sum(validation.is_within for validation in validations)
    facts.append(("energy, interval holds", f"{within} of {len(validations)}"))
    latencies = [is_within for each in validations for is_within in each.latencies_within.values()]
    told = [is_within for is_within in latencies if is_within is not None]
    return [*facts, ("latencies, interval holds", f"{sum(told)} of {len(told)}")]


def _signed(value: Any) -> str:
    return "-" if value is None else f"{value:+.1f}"
