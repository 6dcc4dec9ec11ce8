"""What a table of traffic should satisfy beyond being readable."""

from joulecast.measurements.gpu.gates import MAX_POWER_OVER_LIMIT
from joulecast.measurements.table.check import Check
from joulecast.measurements.table.table import EnergyTable

LEAST_SECONDS = 45.0
LEAST_READ = 0.9
LEAST_AT_THE_LIMIT = 0.95
"""A second draws that share of the power limit where the card is held back by it."""


def check_traffic(table: EnergyTable) -> list[Check]:
    """Hold every expectation against a table of traffic that loaded."""
    return [
        _is_valid(table),
        _long_enough(table),
        _power(table),
        _reaches_the_limit(table),
        _states(table),
        _invalid_windows(table),
    ]


def _is_valid(table: EnergyTable) -> Check:
    return Check(
        "a valid window of traffic",
        bool(table.valid_windows),
        f"{len(table.valid_windows)} of {len(table.windows)}",
        "one that fails a gate is kept but counts for nothing",
    )


def _long_enough(table: EnergyTable) -> Check:
    seconds = sum(window.seconds for window in table.valid_windows)
    return Check(
        f"{LEAST_SECONDS:g} s or more of it",
        seconds >= LEAST_SECONDS,
        f"{seconds:.0f} s",
        "seven prices are told apart by pieces of half a second",
    )


def _power(table: EnergyTable) -> Check:
    idle, limit = table.metadata["idle_power_w"], table.metadata["power_limit_w"]
    powers = [window.energy_j / window.seconds for window in table.valid_windows]
    return Check(
        f"mean power between idle and {MAX_POWER_OVER_LIMIT:g} x the limit",
        bool(powers)
        and idle is not None
        and all(idle < power <= MAX_POWER_OVER_LIMIT * limit for power in powers),
        f"{', '.join(f'{power:.0f} W' for power in powers) or 'no valid window'}; idle "
        + ("not recorded" if idle is None else f"{idle:g} W")
        + f", limit {limit:g} W",
        "outside, the counter or the clock was wrong",
    )


def _reaches_the_limit(table: EnergyTable) -> Check:
    limit = table.metadata["power_limit_w"]
    highest = max((window.highest_power_w for window in table.valid_windows), default=0.0)
    return Check(
        "the card reaches its power limit",
        LEAST_AT_THE_LIMIT * limit <= highest <= MAX_POWER_OVER_LIMIT * limit,
        f"{highest:.0f} W in the highest second, of {limit:g} W",
        "held back by its limit, a card works at a lower clock and for fewer joules; prices that "
        "were only seen below it come out too high for busy servers. Far above it, the counter or "
        "the clock was wrong",
    )


def _states(table: EnergyTable) -> Check:
    readings = [len(window.states["at"]) for window in table.valid_windows]
    seconds = sum(window.seconds for window in table.valid_windows) * table.gpu_count
    temperatures = [t for w in table.valid_windows for t in w.states["temperature_c"].tolist()]
    span = f", {min(temperatures):g} to {max(temperatures):g} deg C" if temperatures else ""
    return Check(
        "temperature and clocks are read once a second",
        sum(readings) >= LEAST_READ * seconds > 0,
        f"{sum(readings):,} readings in {seconds:.0f} s"
        + (" of GPUs" if table.gpu_count > 1 else "")
        + span,
        "what another card draws for the same work goes by them, too",
    )


def _invalid_windows(table: EnergyTable) -> Check:
    reasons = [str(window.facts["reason"]) for window in table.windows if not window.is_valid]
    return Check(
        "no invalid windows",
        not reasons,
        f"{len(reasons)}" + (f": {', '.join(sorted(set(reasons)))}" if reasons else ""),
        "what made them fail may be of the machine",
    )
