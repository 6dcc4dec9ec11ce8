"""What `joulecast table` shows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from joulecast.estimator.steps.traffic import TrafficPrices
from joulecast.estimator.steps.work import TERMS
from joulecast.measurements.table.check import Check
from joulecast.measurements.table.interpolation import CellKey, Coverage
from joulecast.measurements.table.table import EnergyTable
from joulecast.views.numbers import QUANTITIES, four_digits
from joulecast.views.parts import (
    add_row,
    facts_table,
    grid_matrix,
    grid_table,
    notes_text,
    table_text,
)
from joulecast.views.report import Report

MARKS: Mapping[Coverage, str] = {"measured": "", "interpolated": "~", "extrapolated": "?"}
PRICE_UNITS: Mapping[str, tuple[float, str]] = {
    "steps": (1.0, "J a step"),
    "tokens": (1e3, "mJ a token fed"),
    "context": (1e6, "uJ a cached token read"),
    "pairs": (1e6, "uJ a prompt query-key pair"),
    "outputs": (1e3, "mJ a token sampled"),
    "requests": (1e3, "mJ a request"),
}
"""Term -> what its price in joules is multiplied with to be shown, and the unit that this gives."""

COVERAGE_NOTE = "~ interpolated, ? extrapolated; unmarked cells are measured"


def table_list_report(tables: Sequence[EnergyTable]) -> Report:
    """`joulecast table list`."""
    view = grid_table()
    view.add_column("table", no_wrap=True)
    for heading in ("GPU", "engine", "cells", "measured"):
        view.add_column(heading)
    rows = []
    for table in tables:
        metadata = table.metadata
        cells = table.amount_text.removesuffix(" cells measured")
        made = f"{table.measured_days}, by {metadata['measured_by']}"
        engine = f"{metadata['engine']} {metadata['engine_version']}"
        add_row(view, table.name, table.gpus_in_words, engine, cells, made)
        rows.append(
            {
                "table": table.name,
                "gpu": metadata["gpu"],
                "gpu_count": table.gpu_count,
                "model": metadata["model"],
                "engine": metadata["engine"],
                "engine_version": metadata["engine_version"],
                "measured_cells": len(table.measured),
                "cells": math.prod(table.grid.shape),
                "measured_on": metadata["measured_on"],
                "measured_by": metadata["measured_by"],
            }
        )
    return Report({"tables": rows}, rows, view)


def table_show_report(table: EnergyTable, quantity: str, over: EnergyTable | None) -> Report:
    """`joulecast table show`, of one table or of one over another."""
    shown = shown_values(table, quantity)
    others = shown if over is None else shown_values(over, quantity)
    rows: list[dict[str, Any]] = []
    texts = {}
    cells = table.available_cells
    for i, o in sorted(shown.keys() & others.keys()):
        cell = cells[i, o]
        row = {
            "input_tokens": i,
            "output_tokens": o,
            "batch_size": cell.batch_size,
            "batch_energy_j": cell.batch_energy_j,
            "batch_energy_sd_j": table.batch_energy_sd_j((i, o)),
            "request_energy_j": cell.request_energy_j,
            "coverage": cell.coverage,
        }
        if over is None:
            number = f"{shown[i, o]:,.0f}" if quantity == "batch-size" else four_digits(shown[i, o])
        else:
            row |= {"over": others[i, o], "ratio": shown[i, o] / others[i, o]}
            row["over_coverage"] = over.available_cells[i, o].coverage
            number = f"{row['ratio']:.3f}"
        texts[i, o] = number + mark((i, o), table, over)
        rows.append(row)
    metadata = dict(table.metadata)
    document = {"table": table.name, "metadata": metadata, "cells": rows}
    facts, heading = _facts(table), QUANTITIES[quantity]
    if over is not None:
        document |= {"over": over.name, "quantity": quantity}
        facts += [("over", table_text(over)), *_facts(over)[1:]]
        heading = f"{heading}: {table.name} over {over.name}"
    view = grid_matrix(heading, table.grid, texts)
    note = coverage_note(table, over)
    return Report(document, rows, Group(facts_table(facts), view, notes_text([note])))


def traffic_show_report(table: EnergyTable, prices: TrafficPrices) -> Report:
    """`joulecast table show`, of a table of traffic."""
    view = grid_table()
    for heading in ("work", "price", "unit"):
        view.add_column(heading)
    rows = []
    for term, energy_j in zip(TERMS, prices.prices.energy_j.tolist(), strict=True):
        factor, unit = PRICE_UNITS[term]
        add_row(view, term, four_digits(energy_j * factor), unit)
        rows.append({"term": term, "energy_j": energy_j})
    add_row(view, "idle time", four_digits(prices.idle_power_w), "W")
    rows.append({"term": "idle_seconds", "energy_j": prices.idle_power_w})
    errors = grid_table()
    errors.add_column("stretch of traffic")
    errors.add_column("by the prices of the others")
    for name, error in prices.stretch_errors.items():
        add_row(errors, name, f"{100 * error:+.1f} %")
    document = {
        "table": table.name,
        "metadata": dict(table.metadata),
        "prices": rows,
        "idle_power_w": prices.idle_power_w,
        "stretch_errors": prices.stretch_errors,
    }
    return Report(document, rows, Group(facts_table(_facts(table)), view, errors))


def shown_values(table: EnergyTable, quantity: str) -> dict[CellKey, float]:
    """A quantity of every cell, in the unit that `QUANTITIES` gives."""
    names = {"request-energy": "request_energy_j", "batch-energy": "batch_energy_j"}
    name = names.get(quantity, "batch_size")
    return {cell: float(getattr(energy, name)) for cell, energy in table.available_cells.items()}


def coverage_note(*tables: EnergyTable | None) -> str:
    """What marks and empty cells mean."""
    few = sorted(
        {
            table.name
            for table in tables
            if table is not None and len(table.available_cells) < math.prod(table.grid.shape)
        }
    )
    if not few:
        return COVERAGE_NOTE
    return f"{COVERAGE_NOTE}; too few of {' and '.join(few)} to fill in the others"


def mark(cell: CellKey, *tables: EnergyTable | None) -> str:
    """The mark of the least certain of some tables' cells."""
    marks = {MARKS[table.available_cells[cell].coverage] for table in tables if table is not None}
    return max(marks, key=list(MARKS.values()).index)


def _facts(table: EnergyTable) -> list[tuple[str, str]]:
    metadata = table.metadata
    maker = metadata.get("made_by", metadata["measured_by"])
    return [
        ("table", table_text(table)),
        ("model", f"{metadata['model']}, {metadata['dtype']}, weights: {metadata['weights']}"),
        ("settings", ", ".join(f"{k}={v}" for k, v in metadata["engine_settings"].items())),
        ("measured", f"{table.measured_days}, by {maker}"),
    ]


def table_check_report(table: EnergyTable, checks: Sequence[Check]) -> Report:
    """`joulecast table check`."""
    view = grid_table()
    view.add_column("")
    for heading in ("expected", "found", "why"):
        view.add_column(heading)
    for check in checks:
        add_row(view, "ok" if check.passed else "NOTE", check.name, check.found, check.reason)
    rows = [dict(vars(check)) for check in checks]
    facts = [("table", table_text(table)), ("format", "every line read and believable")]
    return Report({"table": table.name, "checks": rows}, rows, Group(facts_table(facts), view))
