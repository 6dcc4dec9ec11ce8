"""What `joulecast regions` shows."""

from collections.abc import Sequence

from rich.console import Group

from joulecast.estimator.footprint.carbon import CarbonIntensity
from joulecast.views.parts import add_row, grid_table, notes_text
from joulecast.views.report import Report

_NOTE = (
    "Averages of a year. Countries and Nordic bidding zones: generation there, life-cycle; US "
    "states: the EPA's total output emission rate; Chinese provinces: CO2 alone. Zones count "
    "generation of unknown kind as 0 (15 % in SE4), so theirs are lower bounds."
)


def region_list_report(found: Sequence[CarbonIntensity]) -> Report:
    """`joulecast regions`."""
    view = grid_table()
    view.add_column("region", no_wrap=True)
    view.add_column("name", overflow="fold")
    view.add_column("gCO2e/kWh", justify="right")
    view.add_column("year", justify="right")
    view.add_column("from", overflow="fold")
    for one in found:
        add_row(
            view, str(one.region), str(one.name), f"{one.g_per_kwh:.1f}", str(one.year), one.source
        )
    rows = [one.to_dict() for one in found]
    return Report({"regions": rows}, rows, Group(view, notes_text([_NOTE])))
