"""What is shown of a facility, of carbon and of cost, and what `joulecast regions` shows."""

from collections.abc import Sequence

from rich.console import Group

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.estimator.footprint.facility import Facility
from joulecast.views.numbers import grams, joules, kwh, money
from joulecast.views.parts import add_row, grid_table, notes_text
from joulecast.views.report import Report

_REGIONS_NOTE = (
    "Averages of a year. Countries and Nordic bidding zones: generation there, life-cycle; US "
    "states: the EPA's total output emission rate; Chinese provinces: CO2 alone. Zones count "
    "generation of unknown kind as 0 (15 % in SE4), so theirs are lower bounds."
)


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


def facility_figures(estimate: Estimate) -> dict[str, str]:
    """The same in short, without what they rest on."""
    return {name: text.partition(" (")[0] for name, text in facility_facts(estimate)}


def facility_notes(facility: Facility | None) -> list[str]:
    """Where a regional carbon intensity is from."""
    if facility is None or facility.carbon is None or facility.carbon.region is None:
        return []
    carbon = facility.carbon
    when = f"average of {carbon.year}, from {carbon.source}"
    return [f"Carbon intensity of {carbon.name} ({carbon.region}): {when}."]


def region_list_report(intensities: Sequence[CarbonIntensity]) -> Report:
    """`joulecast regions`."""
    view = grid_table()
    view.add_column("region", no_wrap=True)
    view.add_column("name")
    view.add_column("gCO2e/kWh", justify="right")
    view.add_column("year", justify="right")
    view.add_column("from")
    for carbon in intensities:
        add_row(
            view,
            str(carbon.region),
            str(carbon.name),
            f"{carbon.g_per_kwh:.1f}",
            str(carbon.year),
            carbon.source,
        )
    rows = [carbon.to_dict() for carbon in intensities]
    return Report({"regions": rows}, rows, Group(view, notes_text([_REGIONS_NOTE])))
