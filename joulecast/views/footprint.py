"""What is shown of a facility, of carbon and of cost, and what `joulecast regions` shows."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group

from joulecast.estimator.footprint.carbon import RELEASE, SCOPES, CarbonIntensity
from joulecast.estimator.footprint.cloud_regions import CLOUDS
from joulecast.estimator.footprint.facility import Facility
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.views.numbers import grams, joules, kwh, money
from joulecast.views.parts import add_row, grid_table, notes_text
from joulecast.views.report import Report

if TYPE_CHECKING:
    from joulecast.estimator.by_model import ModelEstimates
    from joulecast.estimator.estimate import Estimate

_REGIONS_NOTE = (
    f"Averages of a year, from {RELEASE}. Life-cycle: of all generation there, with what building "
    "plants and mining fuel emit. Output rate: what the plants there emit over all that they "
    "generate. Combustion: what burning fuel emits, CO2 alone. Of zones, generation of unknown "
    "kind counts as 0, so theirs are lower bounds."
)


def carbon_text(carbon: CarbonIntensity) -> str:
    """An intensity, of where and when it is, and what it counts."""
    figure = f"{carbon.g_per_kwh:,.7g} g{carbon.gas}/kWh"
    if carbon.region is None:
        return f"{figure}, as given"
    bound = " or more" if carbon.unknown_share else ""
    return f"{figure}{bound}, {carbon.name} {carbon.year}, {carbon.scope}"


def price_text(facility: Facility) -> str:
    """A price of electricity with its currency."""
    if facility.price is None:
        return ""
    return f"{facility.price.per_kwh:,.7g} {facility.price.currency or ''}".strip() + " per kWh"


def facility_text(facility: Facility) -> str:
    """What a facility's figures rest on."""
    overhead = facility.server_overhead
    parts = [] if overhead is None else [f"{overhead.text} for the rest of the server"]
    parts += [] if facility.pue is None else [pue_text(facility)]
    parts += [] if facility.carbon is None else [carbon_text(facility.carbon)]
    parts += [] if facility.price is None else [price_text(facility)]
    return "; ".join(parts)


def pue_text(facility: Facility) -> str:
    """A PUE, and what it is taken of."""
    of_what = "GPU energy alone" if facility.server_overhead is None else "IT energy"
    return f"PUE {facility.pue:g} on the {of_what}"


class _Figure(NamedTuple):
    """A figure of a facility: what it is, its value, its 95 % interval and what it rests on."""

    name: str
    value: str
    interval: str
    rests_on: str


def _figures(estimate: "Estimate | ModelEstimates") -> list[_Figure]:
    """What the server, the data centre, the grid and the bill make of an estimate."""
    facility, footprint = estimate.facility, estimate.footprint
    if facility is None:
        return []

    def figure(
        name: str,
        keys: tuple[str, str],
        show: Callable[[Any], str],
        rests_on: str,
        show_ends: Callable[[Any], str] | None = None,
    ) -> _Figure:
        key, interval_key = keys
        ends = map(show_ends or show, footprint[interval_key] or ())
        return _Figure(name, show(footprint[key]), " to ".join(ends), rests_on)

    overhead, carbon, price = facility.server_overhead, facility.carbon, facility.price
    figures = []
    if overhead is not None:
        text = f"GPUs and {overhead.text} for the rest"
        keys = "it_energy_j", "it_interval_j"
        figures.append(figure("IT energy", keys, _energy_text, text, joules))
    if facility.pue is not None:
        text, keys = pue_text(facility), ("facility_energy_j", "facility_interval_j")
        figures.append(figure("facility energy", keys, _energy_text, text, joules))
    if carbon is not None:
        text, show = f"at {carbon_text(carbon)}", partial(grams, gas=carbon.gas)
        figures.append(figure("carbon", ("carbon_g", "carbon_interval_g"), show, text))
    if price is not None:
        text, show = f"at {price_text(facility)}", partial(money, currency=price.currency)
        figures.append(figure("cost of electricity", ("cost", "cost_interval"), show, text))
    return figures


def _energy_text(energy_j: float) -> str:
    return f"{joules(energy_j)} = {kwh(energy_j / JOULES_PER_KWH)}"


def facility_facts(estimate: "Estimate | ModelEstimates") -> list[tuple[str, str]]:
    """The same in lines, with intervals and what they rest on."""
    facts = []
    for name, value, interval, rests_on in _figures(estimate):
        facts.append((name, f"{value}{f', {interval}' if interval else ''} ({rests_on})"))
    return facts


def facility_figures(estimate: "Estimate | ModelEstimates") -> dict[str, list[str]]:
    """The same in lines for a cell of a table, each interval below its value."""
    return {figure.name: _stacked(figure) for figure in _figures(estimate)}


def _stacked(figure: _Figure) -> list[str]:
    """A value and the ends of its interval, one below the other."""
    first, *others = figure.value.split(" = ")
    if not figure.interval:
        return [first, *others]
    low, high = figure.interval.split(" to ")
    return [first, *(f"{other};" for other in others), f"{low} to", high]


def facility_notes(facility: Facility | None) -> list[str]:
    """Of what energy the figures are, and where those that were not given are from."""
    if facility is None:
        return []
    return [boundary_note(facility), *_overhead_notes(facility), *carbon_notes(facility.carbon)]


def boundary_note(facility: Facility) -> str:
    """What the widest energy leaves out, which carbon and cost are of."""
    has_server, has_building = facility.server_overhead is not None, facility.pue is not None
    if has_server and has_building:
        return "GPU, IT and facility energy are told apart; carbon and cost are of the last."
    if has_server:
        return "The building is left out (--pue adds it); carbon and cost are of the IT energy."
    if has_building:
        return (
            "No server overhead is taken: processors, memory and fans are left out of the IT that "
            "the PUE is applied to (--server-overhead adds them)."
        )
    return (
        "Carbon and cost are of the GPU energy alone: the rest of the server (--server-overhead) "
        "and the building (--pue) are left out."
    )


def _overhead_notes(facility: Facility) -> list[str]:
    overhead = facility.server_overhead
    if overhead is None:
        return []
    return [f"Rest of the server: {overhead.text}, {_source_text(overhead.source)}."]


def _source_text(source: str) -> str:
    return "as given" if source == "given" else f"from {source}"


def carbon_notes(carbon: CarbonIntensity | None) -> list[str]:
    """Where a regional carbon intensity is from, what it counts, and whose it was taken for."""
    if carbon is None:
        return []
    if carbon.region is None or carbon.scope is None:
        return ["Carbon intensity as given; what it counts and of which year it is was not told."]
    where = f"{carbon.name} ({carbon.region})"
    when = f"average of {carbon.year}, from {carbon.source}"
    what = f"{carbon.scope}, {carbon.gas}: {SCOPES[carbon.scope]}"
    notes = [f"Carbon intensity of {where}: {when}; {what}."]
    if carbon.unknown_share:
        share = f"{100 * carbon.unknown_share:.4g} %"
        notes.append(
            f"{share} of the generation there is of unknown kind and counts as 0, so the carbon is "
            "a lower bound."
        )
    if carbon.cloud is not None:
        cloud = carbon.cloud
        notes.append(f"{cloud.text}: {cloud.source}; taken as {where}, not as a grid of its own.")
    return notes


def _region_name(carbon: CarbonIntensity) -> str:
    cloud = carbon.cloud
    if cloud is None:
        return str(carbon.name)
    return f"{CLOUDS[cloud.provider]}, {cloud.place}: as {carbon.name}"


def _counts_text(carbon: CarbonIntensity) -> str:
    """What an intensity counts."""
    text = f"{carbon.scope}, {carbon.gas}"
    if carbon.unknown_share:
        text += f"; {100 * carbon.unknown_share:.2g} % unknown"
    return text


def region_list_report(intensities: Sequence[CarbonIntensity]) -> Report:
    """`joulecast regions`."""
    view = grid_table()
    view.add_column("region", no_wrap=True)
    view.add_column("name")
    view.add_column("g/kWh", justify="right")
    view.add_column("counts")
    view.add_column("year", justify="right")
    view.add_column("from")
    for carbon in intensities:
        add_row(
            view,
            str(carbon.region) if carbon.cloud is None else carbon.cloud.region,
            _region_name(carbon),
            f"{carbon.g_per_kwh:.1f}",
            _counts_text(carbon),
            str(carbon.year),
            carbon.source.partition(", ")[2],
        )
    rows = [carbon.to_dict() for carbon in intensities]
    return Report({"regions": rows}, rows, Group(view, notes_text([_REGIONS_NOTE])))
