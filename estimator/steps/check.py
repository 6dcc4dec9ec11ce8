"""What `joulecast table check` says of a table's worth to the step model."""

import statistics

from joulecast.estimator.steps.metered_batches import metered_batches
from joulecast.estimator.steps.prices import held_out_errors
from joulecast.estimator.steps.traffic import fit_traffic
from joulecast.measurements.table.check import Check
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError

MEDIAN_BOUND = 0.02
STRETCH_BOUND = 0.05


def step_check(table: EnergyTable) -> Check:
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
