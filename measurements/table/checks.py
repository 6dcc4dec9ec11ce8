"""What a table should satisfy beyond being readable: named expectations, each with its reason."""

import math

import numpy as np

from joulecast.measurements.gpu.gates import (
    MAX_POWER_OVER_LIMIT,
    MAX_RELATIVE_SD,
    MIN_WINDOW_S,
    SPREAD_GATE,
)
from joulecast.measurements.table.check import Check
from joulecast.measurements.table.interpolation import MIN_CELLS, CellKey, fill
from joulecast.measurements.table.table import EnergyTable
from joulecast.measurements.table.traffic_checks import check_traffic

RUNS_PER_CELL = 3


def check_table(table: EnergyTable) -> list[Check]:
    """Hold every expectation against a table that loaded."""
    if table.is_of_traffic:
        return check_traffic(table)
    return [
        _complete(table),
        _machine_measured(table),
        _windows(table),
        _repeats(table),
        _spread(table),
        _power(table),
        _invalid_runs(table),
        _left_out_cells(table),
    ]


def leave_one_out_errors(table: EnergyTable) -> dict[CellKey, float]:
    """Relative error of the energy per request when each measured cell is left out and filled in.

    Returns:
        Measured cell -> filled in / measured - 1; empty if too few cells are left to fit.
    """
    if len(table.measured) <= MIN_CELLS:
        return {}
    errors = {}
    for cell, truth in table.measured.items():
        others = {key: value for key, value in table.measured.items() if key != cell}
        filled = fill(table.grid, others, [cell])[cell]
        errors[cell] = filled.request_energy_j / truth.request_energy_j - 1
    return errors


def _complete(table: EnergyTable) -> Check:
    rows, columns = table.grid.shape
    reasons = "".join(
        f"; ({i}, {o}): {reason}" for i, o, reason in table.metadata.get("left_out") or []
    )
    return Check(
        "every cell of the grid is measured",
        table.is_complete,
        f"{len(table.measured)} of {rows * columns}{reasons}",
        "the others are interpolated, and estimates say for what share of their energy",
    )


def _machine_measured(table: EnergyTable) -> Check:
    maker = table.metadata["measured_by"]
    return Check(
        "measured by joulecast",
        maker != "hand",
        f"measured by {maker}",
        "a hand sweep lacks the validity gates and the record of its conditions",
    )


def _windows(table: EnergyTable) -> Check:
    short = [run.seconds for run in table.runs if run.valid and run.seconds < MIN_WINDOW_S]
    shortest = f", the shortest {min(short):.2f} s" if short else ""
    return Check(
        f"windows of {MIN_WINDOW_S:g} s or more",
        not short,
        f"{len(short)} shorter{shortest}",
        "the energy counter ticks every 0.1 s, which is 2 % of a shorter window at each open end",
    )


def _repeats(table: EnergyTable) -> Check:
    few = sum(len(runs) < RUNS_PER_CELL for runs in table.capacity_runs.values())
    return Check(
        f"{RUNS_PER_CELL} valid runs per cell",
        few == 0,
        f"{few} of {len(table.capacity_runs)} cells have fewer",
        "the spread between runs is part of the interval",
    )


def _spread(table: EnergyTable) -> Check:
    _, bound, why = SPREAD_GATE
    spreads = {
        cell: sd / table.measured[cell].batch_energy_j
        for cell in table.measured
        if (sd := table.batch_energy_sd_j(cell)) is not None
    }
    if not spreads:
        return Check(bound, False, "no cell has two runs", why)
    worst = max(spreads, key=lambda cell: spreads[cell])
    return Check(
        bound,
        spreads[worst] <= MAX_RELATIVE_SD,
        f"{len(spreads)} cells with two runs or more, worst {100 * spreads[worst]:.2f} % {worst}",
        why,
    )


def _power(table: EnergyTable) -> Check:
    powers = [run.power_w for run in table.runs if run.valid] or [math.nan]
    idle, limit = table.metadata["idle_power_w"], table.metadata["power_limit_w"]
    return Check(
        f"mean power between idle and {MAX_POWER_OVER_LIMIT:g} x the limit",
        idle is not None and idle < min(powers) and max(powers) <= MAX_POWER_OVER_LIMIT * limit,
        f"{min(powers):.0f} to {max(powers):.0f} W; idle "
        + ("not recorded" if idle is None else f"{idle:g} W")
        + f", limit {limit:g} W",
        "outside, the counter or the clock was wrong",
    )


def _invalid_runs(table: EnergyTable) -> Check:
    reasons = sorted({run.reason or "" for run in table.runs if not run.valid})
    count = sum(not run.valid for run in table.runs)
    lost = {run.batch for run in table.runs} - {run.batch for run in table.runs if run.valid}
    text = f"{count}" + (f": {', '.join(reasons)}" if reasons else "")
    for i, o, size in sorted(lost):
        text += f"; no valid one of batches of {size} at ({i}, {o})"
    return Check(
        "no invalid runs",
        count == 0,
        text,
        "invalid runs are kept but count for nothing; what they alone would tell is a guess",
    )


def _left_out_cells(table: EnergyTable) -> Check:
    errors = leave_one_out_errors(table)
    if not errors:
        return Check(
            "cells left out are filled in within 5 % (median)", False, "too few cells", "unknown"
        )
    worst = max(errors, key=lambda cell: abs(errors[cell]))
    median = float(np.median(np.abs(list(errors.values()))))
    return Check(
        "cells left out are filled in within 5 % (median)",
        median <= 0.05,
        f"median {100 * median:.1f} %, worst {100 * errors[worst]:+.1f} % at {worst}",
        "how far to trust interpolated cells; corner cells are extrapolated when left out",
    )
