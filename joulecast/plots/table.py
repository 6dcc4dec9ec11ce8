"""`joulecast table show --plot`: tables as heat maps."""

from pathlib import Path

from joulecast.measurements.table.table import EnergyTable
from joulecast.plots.figure import HeatMap, plot_heat_maps
from joulecast.views.numbers import QUANTITIES
from joulecast.views.table import coverage_note, mark, shown_values


def plot_table(table: EnergyTable, quantity: str, over: EnergyTable | None, path: Path) -> None:
    """Draw a table; with another also that one, and the first over it.

    Raises:
        InputError: The file's name ends in no known format, or it cannot be written.
    """
    panels = table_panels(table, quantity, over)
    plot_heat_maps(panels, table.grid, plot_note(table, over), path)


def table_panels(table: EnergyTable, quantity: str, over: EnergyTable | None) -> list[HeatMap]:
    """The panels of `plot_table`, from left to right."""
    panels = [_panel(shown, quantity) for shown in (table, over) if shown is not None]
    if over is not None:
        first, second = (panel.values for panel in panels)
        both = first.keys() & second.keys()
        panels.append(
            HeatMap(
                f"{_last(table)} over {_last(over)}",
                f"ratio of {QUANTITIES[quantity].rpartition(' [')[0]}",
                {cell: first[cell] / second[cell] for cell in both},
                {cell: mark(cell, table, over) for cell in both},
                "ratio",
            )
        )
    return panels


def plot_note(table: EnergyTable, over: EnergyTable | None) -> str:
    """What a picture stands on, in a line."""
    tables = [table] if over is None else [table, over]
    sources = {
        f"{shown.metadata['model']} on {shown.gpus_in_words}, "
        f"{shown.metadata['dtype']}, {shown.measured_days}": None
        for shown in tables
    }
    names = " over ".join(shown.name for shown in tables)
    return f"{names}: {'; '.join(sources)}. {coverage_note(table, over)}."


def _panel(table: EnergyTable, quantity: str) -> HeatMap:
    values = shown_values(table, quantity)
    marks = {cell: mark(cell, table, None) for cell in values}
    return HeatMap(_title(table), QUANTITIES[quantity], values, marks)


def _title(table: EnergyTable) -> str:
    engine, version = table.metadata["engine"], table.metadata["engine_version"]
    if _last(table) == engine:
        return f"{engine} {version}"
    return f"{_last(table)} ({engine} {version})"


def _last(table: EnergyTable) -> str:
    return Path(table.name).resolve().name
