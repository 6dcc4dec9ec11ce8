"""What `joulecast estimate` and `joulecast compare` show."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.compare import Comparison
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility
from joulecast.measurements.table.interpolation import Coverage
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text, table_text
from joulecast.views.report import Report, grams, invalid_text, joules, kwh, money, percent
from joulecast.views.steps import RECONSTRUCTED_NOTE, interval_facts, interval_note, parts_view

IDEAL_LABELS = {
    "dense": "dense peak",
    "sparse": "sparse peak (the paper's)",
    "roofline": "roofline (compute or memory)",
}
_BAR_CELLS = 40


def coverage_text(coverage: Mapping[Coverage, float]) -> str:
    """Shares of the energy by where the cells come from."""
    return ", ".join(f"{percent(share)} {kind}" for kind, share in coverage.items())


def trace_text(estimate: Estimate) -> str:
    """What the user called the trace, and whether it is one."""
    name = "standard input" if estimate.trace == STANDARD_INPUT else estimate.trace
    return name if estimate.source == "trace" else f"{name} ({estimate.source})"


def requests_text(estimate: Estimate) -> str:
    """How many requests the estimate covers and what it leaves out."""
    requests = estimate.requests
    beyond = f"{requests['beyond_grid']:,} beyond the grid"
    if requests["beyond_grid"]:
        share = requests["beyond_grid"] / requests["total"]
        tokens = percent(estimate.beyond_grid_token_share)
        beyond += f" ({percent(share)} of requests, {tokens} of tokens)"
    return (
        f"{requests['estimated']:,} of {requests['total']:,} estimated; left out: {beyond}, "
        f"{requests['failed']:,} failed, {invalid_text(estimate.invalid)}"
    )


def rate_note(estimate: Estimate, whose: str = "") -> str:
    """The rate that a figure implies, with a warning where no chip could reach it."""
    return implied_note(estimate.implied_flops_per_s, estimate.dense_peak_flops_per_s, whose)


def implied_note(implied: float, peak: float, whose: str = "") -> str:
    """The same for a rate and a peak [FLOP/s]."""
    text = (
        f"{whose}At rated power this figure implies {implied / 1e12:.1f} TFLOP/s of "
        f"{peak / 1e12:.1f} dense peak"
    )
    return text + (", which is MORE THAN THE CHIP CAN DO." if implied > peak else ".")


def carbon_text(carbon: CarbonIntensity) -> str:
    """An intensity, and of where and when it is."""
    if carbon.region is None:
        return f"{carbon.g_per_kwh:,.7g} gCO2e/kWh"
    return f"{carbon.g_per_kwh:,.7g} gCO2e/kWh, {carbon.name} {carbon.year}"


def price_text(facility: Facility) -> str:
    """A price of electricity with its currency."""
    if facility.price is None:
        return ""
    return f"{facility.price.per_kwh:,.7g} {facility.price.currency or ''}".strip() + " per kWh"


def facility_text(facility: Facility) -> str:
    """What a facility's figures rest on."""
    parts = [] if facility.pue is None else [f"PUE {facility.pue:g}"]
    parts += [] if facility.carbon is None else [carbon_text(facility.carbon)]
    parts += [] if facility.price is None else [price_text(facility)]
    return "; ".join(parts)


def facility_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """What the data centre, the electricity grid and the bill make of an estimate."""
    facility, energy_j = estimate.facility, estimate.energy_j
    if facility is None:
        return []
    facts = []
    if facility.pue is not None:
        facility_kwh = kwh(facility.energy_kwh(energy_j))
        text = f"{joules(facility.energy_j(energy_j))} = {facility_kwh} (PUE {facility.pue:g})"
        facts.append(("facility energy", text))
    carbon_g, cost = facility.carbon_g(energy_j), facility.cost(energy_j)
    if facility.carbon is not None and carbon_g is not None:
        facts.append(("carbon", f"{grams(carbon_g)} (at {carbon_text(facility.carbon)})"))
    if facility.price is not None and cost is not None:
        shown = money(cost, facility.price.currency)
        facts.append(("cost of electricity", f"{shown} (at {price_text(facility)})"))
    return facts


def estimate_notes(estimate: Estimate) -> list[str]:
    """Remarks on an estimate."""
    notes = [rate_note(estimate), interval_note(estimate)]
    notes += below_ideal_notes(estimate)
    if estimate.source == "reconstructed":
        notes.append(RECONSTRUCTED_NOTE)
    return [*notes, *facility_notes(estimate.facility)]


def below_ideal_notes(estimate: Estimate) -> list[str]:
    """How an estimate can lie below an ideal."""
    below = [name for name, excess in estimate.excess_percent.items() if excess < 0]
    if not below:
        return []
    drawn = "" if estimate.mean_power_w is None else f", here {estimate.mean_power_w:.0f} W"
    names = " and the ".join(below)
    why = "ideals take rated power all the time, and a card that is lightly loaded draws less"
    return [f"Below the {names} ideal: {why}{drawn}."]


def facility_notes(facility: Facility | None) -> list[str]:
    """Where a regional carbon intensity is from."""
    if facility is None or facility.carbon is None or facility.carbon.region is None:
        return []
    carbon = facility.carbon
    when = f"average of {carbon.year}, from {carbon.source}"
    return [f"Carbon intensity of {carbon.name} ({carbon.region}): {when}."]


def estimate_report(estimate: Estimate, table: EnergyTable, explain: bool = False) -> Report:
    """`joulecast estimate`."""
    facts = [
        ("trace", trace_text(estimate)),
        ("table", table_text(table)),
        ("method", estimate.method),
        ("requests", requests_text(estimate)),
        ("coverage", coverage_text(estimate.coverage) + " (shares of the energy)"),
        ("", ""),
        ("GPU energy", f"{joules(estimate.energy_j)} = {kwh(estimate.energy_kwh)}"),
        *interval_facts(estimate),
        ("per request", joules(estimate.joules_per_request)),
        ("per output token", joules(estimate.joules_per_output_token)),
        ("per 1,000 tokens", f"{joules(estimate.joules_per_1000_tokens)} (input and output)"),
        *facility_facts(estimate),
    ]
    ideals = grid_table()
    ideals.add_column("ideal")
    ideals.add_column("energy", justify="right")
    ideals.add_column("estimate above it", justify="right")
    for name, ideal_j in estimate.ideal_j.items():
        excess = estimate.excess_percent[name]
        add_row(ideals, IDEAL_LABELS[name], joules(ideal_j), f"{excess:,.1f} %")
    parts = [parts_view(estimate, table)] if explain else []
    notes = notes_text(estimate_notes(estimate))
    document = estimate.to_dict()
    return Report(document, [_row(document)], Group(facts_table(facts), ideals, *parts, notes))


def compare_report(comparison: Comparison, tables: Sequence[EnergyTable]) -> Report:
    """`joulecast compare`; `tables` in the comparison's order."""
    first = comparison.tables[0].estimate
    facts = [
        ("trace", trace_text(first)),
        ("method", first.method),
        ("requests", requests_text(first)),
    ]
    if first.facility is not None:
        facts.append(("facility", facility_text(first.facility)))
    facts += [
        ("coverage", f"{coverage_text(one.estimate.coverage)}: {table_text(table)}")
        for one, table in zip(comparison.tables, tables, strict=True)
    ]
    notes = [rate_note(one.estimate, f"{one.estimate.table}: ") for one in comparison.tables]
    notes += [interval_note(first)] if first.interval_j is None else [SAVING_NOTE]
    notes += facility_notes(first.facility)
    rows = [_row(one.to_dict()) for one in comparison.tables]
    view = Group(
        facts_table(facts),
        _figures_view(comparison),
        *_footprints_view(comparison),
        *_bars(comparison),
        notes_text(notes),
    )
    return Report(comparison.to_dict(), rows, view)


SAVING_NOTE = (
    "Bars: energy, with its 95 % interval. The interval of a saving takes the errors of the two "
    "estimates as independent."
)


def saving_text(comparison: Comparison, place: int) -> str:
    """What a table saves over the first, with its interval."""
    one = comparison.tables[place]
    if place == 0:
        return ""
    text = f"{one.saving_percent:,.1f} %"
    if one.saving_interval_percent is None:
        return text
    low, high = one.saving_interval_percent
    return f"{text}\n{low:,.1f} to\n{high:,.1f} %"


def _figures_view(comparison: Comparison) -> Table:
    """The figures of every table, in the order in which they were given."""
    first = comparison.tables[0].estimate
    view = grid_table()
    view.collapse_padding = True
    view.add_column("table", overflow="fold")
    for heading in ("energy", "J per\nrequest", "J per\noutput\ntoken"):
        view.add_column(heading, justify="right")
    for name in first.ideal_j:
        view.add_column(f"above\n{name}\nideal", justify="right")
    view.add_column("saving\nover the\nfirst", justify="right")
    for place, one in enumerate(comparison.tables):
        estimate = one.estimate
        add_row(
            view,
            estimate.table,
            joules(estimate.energy_j),
            f"{estimate.joules_per_request:#,.4g}",
            f"{estimate.joules_per_output_token:#,.4g}",
            *(f"{value:,.1f} %" for value in estimate.excess_percent.values()),
            saving_text(comparison, place),
        )
    return view


def _footprints_view(comparison: Comparison) -> list[Table]:
    """Facility energy, carbon and cost of every table, where they were asked for."""
    labels = [label for label, _ in facility_facts(comparison.tables[0].estimate)]
    if not labels:
        return []
    view = grid_table()
    view.add_column("table", overflow="fold")
    for label in labels:
        view.add_column(label, justify="right", no_wrap=True)
    for one in comparison.tables:
        texts = [value.partition(" (")[0] for _, value in facility_facts(one.estimate)]
        add_row(view, one.estimate.table, *texts)
    return [view]


def _bars(comparison: Comparison) -> list[Table]:
    """Energies as bars from zero, the least first; nothing to see for one table alone."""
    if len(comparison.tables) < 2:
        return []
    ends = [(one.estimate.interval_j or (0.0, one.estimate.energy_j)) for one in comparison.tables]
    longest_j = max(high for _, high in ends)
    view = grid_table()
    view.add_column("ranked", overflow="fold")
    view.add_column("energy", no_wrap=True)
    view.add_column("", justify="right", no_wrap=True)
    for one in comparison.ranked:
        energy = joules(one.estimate.energy_j)
        add_row(view, one.estimate.table, _bar(one.estimate, longest_j), energy)
    return [view]


def _bar(estimate: Estimate, longest_j: float) -> str:
    """A bar of blocks; lighter from the low end of the interval to its high end."""

    def cells(energy_j: float) -> int:
        return round(_BAR_CELLS * energy_j / longest_j)

    filled = cells(estimate.energy_j)
    if estimate.interval_j is None:
        return "█" * max(1, filled)
    low, high = (cells(end) for end in estimate.interval_j)
    return "█" * low + "▓" * (filled - low) + "░" * (high - filled)


def _row(document: Mapping[str, Any]) -> dict[str, Any]:
    """A CSV row of an estimate: everything but its cells."""
    return {key: value for key, value in document.items() if key != "cells"}
