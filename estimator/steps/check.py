"""What `joulecast table check` says of a table's worth to the step model."""

import math
import statistics
from dataclasses import replace

import numpy as np

from joulecast.estimator.steps.metered_batches import metered_batches
from joulecast.estimator.steps.prices import Prices, fit_prices, held_out_errors
from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.estimator.steps.work import StepCounts
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.check import Check
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError

MEDIAN_BOUND = 0.02
STRETCH_BOUND = 0.05
PRICE_SD_BOUND = 0.1
SHARED_BY = 32
"""Requests that share the steps of one, where how well it is known is looked at."""


def step_checks(table: EnergyTable) -> list[Check]:
    """What a fit of the step model to a table is worth."""
    checks = [_left_out_check(table)]
    try:
        prices = _prices(table)
    except InputError:
        return checks  # the check before says why
    return [*checks, _price_sd_check(table, prices)]


def _prices(table: EnergyTable) -> Prices:
    if table.is_of_traffic:
        return fit_traffic(table).prices
    return fit_prices(metered_batches(table))


def _price_sd_check(table: EnergyTable, prices: Prices) -> Check:
    """How well the prices tell what a request takes, of each length of the grid in turn."""
    longest = load_shape(table.config).positions or math.inf
    sds = {}
    for i, o in table.grid.cells():
        if i + o <= longest:
            alone = StepCounts.of_lengths(np.array([[i, o]]))
            sds[i, o] = prices.relative_sd(replace(alone, steps=o / SHARED_BY))
    (i, o), worst = max(sds.items(), key=lambda item: item[1])
    return Check(
        f"what requests of the grid's lengths take is known within {PRICE_SD_BOUND:.0%} (sd)",
        worst <= PRICE_SD_BOUND,
        f"within {100 * worst:.1f} % at the worst, ({i}, {o}); within "
        f"{100 * statistics.median(sds.values()):.1f} % in the median",
        "where no run is like them their price is a guess; estimates carry it in their interval",
    )


def _left_out_check(table: EnergyTable) -> Check:
    """Each batch, or stretch of traffic, forecast by a fit to all others, against what it took."""
    if table.is_of_traffic:
        return _traffic_check(table)
    expected = (
        f"batches left out of the step model's fit are met within {MEDIAN_BOUND:.0%} (median)"
    )
    why = "how far --method stepwise can be trusted; estimates carry it in their interval"
    try:
        errors = held_out_errors(metered_batches(table))
    except InputError as error:
        return Check(expected, False, str(error).removeprefix(f"{table.name}: "), why)
    median = statistics.median(map(abs, errors.values()))
    batch, worst = max(errors.items(), key=lambda item: abs(item[1]))
    i, o, size = batch
    return Check(
        expected,
        median <= MEDIAN_BOUND,
        f"median {100 * median:.1f} %, worst {100 * worst:+.1f} % at ({i}, {o}) with "
        f"batches of {size}",
        why,
    )


def _traffic_check(table: EnergyTable) -> Check:
    expected = (
        f"stretches left out of the fit to traffic are met within {STRETCH_BOUND:.0%} (median)"
    )
    why = "how far its prices can be trusted on work in other proportions"
    try:
        errors = fit_traffic(table).stretch_errors
    except InputError as error:
        return Check(expected, False, str(error).removeprefix(f"{table.name}: "), why)
    median = statistics.median(map(abs, errors.values()))
    stretch, worst = max(errors.items(), key=lambda item: abs(item[1]))
    return Check(
        expected,
        median <= STRETCH_BOUND,
        f"median {100 * median:.1f} %, worst {100 * worst:+.1f} % in {stretch}",
        why,
    )
