"""How numbers are written: digits, units and prefixes."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from joulecast.traces.reading.arrivals import ArrivalReading
    from joulecast.traces.reading.rows.reading import TraceReading
    from joulecast.traces.workload import Workload

QUANTITIES = {
    "request-energy": "energy per request in a full batch [J]",
    "batch-energy": "energy per batch, E_batch [J]",
    "batch-size": "largest batch, B [requests]",
}
"""Quantity of a table's cells -> what it is, with its unit."""

_LEFT_OUT = {
    "beyond_grid": "beyond the grid",
    "beyond_positions": "longer than the model has positions for",
    "beyond_memory": "longer than the GPU's memory holds",
    "untimed": "without a time",
    "left_out_by_share": "by the share that was asked for",
    "failed": "failed",
    "invalid": "invalid",
}
"""Why a request is not estimated, by its key in `Estimate.requests`."""


def joules(energy_j: float, digits: int = 4) -> str:
    """An energy with four digits, or as many as are given, and the fitting prefix."""
    if energy_j == 0:
        return "0 J"
    if energy_j < 0:  # a part of one, extrapolated from two draws of a workload
        return f"-{joules(-energy_j, digits)}"
    size_j, unit = energy_prefix(energy_j, digits)
    return f"{plain_digits(significant(energy_j, digits) / size_j, digits)} {unit}"


def energy_prefix(energy_j: float, digits: int = 4) -> tuple[float, str]:
    """The unit that suits an energy once it is rounded: its size [J] and its name."""
    rounded_j = significant(energy_j, digits)
    for size_j, unit in ((1e12, "TJ"), (1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J")):
        if rounded_j >= size_j:
            return size_j, unit
    return 1e-3, "mJ"


def energy_ends(low_j: float, high_j: float, digits: int = 4) -> tuple[str, str]:
    """The ends of an interval in the unit of the upper one, which stands behind that alone."""
    size_j, unit = energy_prefix(high_j, digits)
    return plain_digits(low_j / size_j, digits), f"{plain_digits(high_j / size_j, digits)} {unit}"


def four_digits(number: float) -> str:
    """A number with four digits, trailing zeros included."""
    return f"{number:#.4g}".rstrip(".")


def three_digits(number: float) -> str:
    """Three digits, which fit into a cell; whole numbers whole."""
    return (
        f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:#.3g}".rstrip(".")
    )


def compact(number: float) -> str:
    """A number in few letters, for a narrow cell: two or three digits."""
    rounded = float(f"{number:.2e}")
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")):
        if rounded >= size:
            shown = rounded / size
            is_whole = shown >= 9.95 or (suffix == "" and number == int(number))
            return f"{shown:.0f}{suffix}" if is_whole else f"{shown:.1f}{suffix}"
    return f"{number:.1g}"


def kwh(energy_kwh: float, digits: int = 4) -> str:
    """Kilowatt hours with four digits, or as many as are given."""
    return f"{plain_digits(energy_kwh, digits)} kWh"


def grams(mass_g: float, gas: str = "CO2e") -> str:
    """A mass of CO2, or of its equivalents, with four digits and the fitting unit."""
    for factor, unit in ((1e6, "t "), (1e3, "kg ")):
        if significant(mass_g) >= factor:
            return f"{plain_digits(mass_g / factor)} {unit}{gas}"
    return f"{plain_digits(mass_g)} g{gas}"


def money(amount: float, currency: str | None) -> str:
    """An amount with four digits, or to the cent if it is large."""
    text = plain_digits(amount) if amount < 100 else f"{amount:,.2f}"
    return f"{text} {currency}" if currency else text


def plain_digits(number: float, digits: int = 4) -> str:
    """A number of 0 or more with so many digits, never with an exponent."""
    if number == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(significant(number, digits)))
    return f"{number:,.{max(0, decimals)}f}"


def significant(number: float, digits: int = 4) -> float:
    """A number rounded to so many digits."""
    return float(f"{number:.{digits - 1}e}")


def percent(share: float) -> str:
    """A share as a percentage; a trace of something is never shown as nothing."""
    if 0 < abs(share) < 0.0005:
        return "< 0.1 %" if share > 0 else "> -0.1 %"
    return f"{100 * share:.1f} %"


def invalid_text(invalid: Mapping[str, int]) -> str:
    """How many rows were invalid, and why."""
    total = f"{sum(invalid.values()):,} invalid"
    if not invalid:
        return total
    return f"{total} ({', '.join(f'{count:,} {reason}' for reason, count in invalid.items())})"


def left_out_texts(requests: Mapping[str, int]) -> list[str]:
    """Each reason why requests are left out, with how many it is."""
    return [f"{requests[key]:,} {why}" for key, why in _LEFT_OUT.items() if requests.get(key)]


def reading_facts(reading: "TraceReading | None") -> list[tuple[str, str]]:
    """What was read of a log, in lines; none of a workload."""
    if reading is None:
        return []
    return [("read", reading.text), *(("", note) for note in reading.notes)]


def arrivals_text(workload: "Workload", reading: "ArrivalReading | None" = None) -> str:
    """What is known of when a workload's requests come.

    Args:
        workload: The requests.
        reading: What was read as their times, where that is known.
    """
    slices = workload.arrivals
    if slices is None:
        return "no arrival times" if reading is None else f"no arrival times ({reading.text})"
    text = f"arrival times in {len(slices.counts):,} slices of {slices.width_s:,g} s"
    if reading is not None:
        return f"{text} ({reading.text})"
    return f"{text}, {workload.untimed:,} requests without" if workload.untimed else text
