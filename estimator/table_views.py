"""What `joulecast table` shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from estimator.report import QUANTITIES, Report
from estimator.view_parts import (
    add_row,
    facts_table,
    grid_matrix,
    grid_table,
    notes_text,
    table_text,
)
from measurements.checks import Check
from measurements.interpolation import Coverage
from measurements.table import EnergyTable

MARKS: Mapping[Coverage, str] = {"measured": "", "interpolated": "~", "extrapolated": "?"}


def table_list_report(tables: Sequence[EnergyTable]) -> Report:
    """`joulecast table list`."""
    view = grid_table()
    view.add_column("table", no_wrap=True)
    for heading in ("GPU", "engine", "cells", "measured"):
        view.add_column(heading, overflow="fold")
    rows = []
    for table in tables:
        metadata = table.metadata
        inputs, outputs = table.grid.shape
        cells = f"{len(table.measured)} of {inputs * outputs}"
        made = f"{metadata['measured_on']}, by {metadata['measured_by']}"
        engine = f"{metadata['engine']} {metadata['engine_version']}"
        add_row(view, table.name, metadata["gpu_product"], engine, cells, made)
        rows.append(
            {
                "table": table.name,
                "gpu": metadata["gpu"],
                "model": metadata["model"],
                "engine": metadata["engine"],
                "engine_version": metadata["engine_version"],
                "measured_cells": len(table.measured),
                "cells": inputs * outputs,
                "measured_on": metadata["measured_on"],
                "measured_by": metadata["measured_by"],
            }
        )
    return Report({"tables": rows}, rows, view)


def table_show_report(table: EnergyTable, quantity: str) -> Report:
    """`joulecast table show`."""
    rows: list[dict[str, Any]] = []
    texts = {}
    for (i, o), cell in sorted(table.cells.items()):
        value = {
            "request-energy": cell.request_energy_j,
            "batch-energy": cell.batch_energy_j,
            "batch-size": cell.batch_size,
        }[quantity]
        shown = f"{value:,.0f}" if quantity == "batch-size" else f"{value:#.4g}".rstrip(".")
        texts[i, o] = shown + MARKS[cell.coverage]
        rows.append(
            {
                "input_tokens": i,
                "output_tokens": o,
                "batch_size": cell.batch_size,
                "batch_energy_j": cell.batch_energy_j,
                "batch_energy_sd_j": table.batch_energy_sd_j((i, o)),
                "request_energy_j": cell.request_energy_j,
                "coverage": cell.coverage,
            }
        )
    metadata = dict(table.metadata)
    maker = metadata.get("made_by", metadata["measured_by"])
    facts = [
        ("table", table_text(table)),
        ("model", f"{metadata['model']}, {metadata['dtype']}, weights: {metadata['weights']}"),
        ("settings", ", ".join(f"{k}={v}" for k, v in metadata["engine_settings"].items())),
        ("measured", f"{metadata['measured_on']}, by {maker}"),
    ]
    document = {"table": table.name, "metadata": metadata, "cells": rows}
    notes = ["~ interpolated, ? extrapolated; unmarked cells are measured"]
    view = grid_matrix(QUANTITIES[quantity], table.grid, texts)
    return Report(document, rows, Group(facts_table(facts), view, notes_text(notes)))


def table_check_report(table: EnergyTable, checks: Sequence[Check]) -> Report:
    """`joulecast table check`."""
    view = grid_table()
    view.add_column("")
    for heading in ("expected", "found", "why"):
        view.add_column(heading, overflow="fold")
    for check in checks:
        add_row(view, "ok" if check.passed else "NOTE", check.name, check.found, check.reason)
    rows = [dict(vars(check)) for check in checks]
    facts = [("table", table_text(table)), ("format", "every line read and believable")]
    return Report({"table": table.name, "checks": rows}, rows, Group(facts_table(facts), view))
