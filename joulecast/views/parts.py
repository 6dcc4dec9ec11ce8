"""Pieces that every view is made of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from joulecast.traces.grid import Grid

if TYPE_CHECKING:
    from joulecast.measurements.table.table import EnergyTable


def grid_table(title: str | None = None) -> Table:
    """A table with a rule below its head, and nothing else drawn."""
    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)


def facts_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one pair a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", overflow="fold", max_width=34)
    table.add_column(overflow="fold")
    for name, value in rows:
        add_row(table, name, value)
    return table


def notes_text(notes: Sequence[str]) -> RenderableType:
    """Remarks below a table."""
    return Group(*(Padding(Text(note, style="dim"), (0, 0, 0, 2)) for note in notes))


def add_row(table: Table, *cells: str) -> None:
    """Add a row of plain texts: names that people give are not markup."""
    table.add_row(*(Text(cell) for cell in cells))


def table_text(table: "EnergyTable") -> str:
    """A table in a few words, with what is wrong with it."""
    rows, columns = table.grid.shape
    made = ", made by hand" if table.metadata["measured_by"] == "hand" else ""
    return (
        f"{table.name} ({table.metadata['gpu_product']}, {table.metadata['engine']} "
        f"{table.metadata['engine_version']}; {len(table.measured)} of {rows * columns} cells "
        f"measured{made})"
    )


def grid_matrix(title: str, grid: Grid, texts: Mapping[tuple[int, int], str]) -> Table:
    """A text per cell: inputs go down, outputs across."""
    view = grid_table(title)
    view.add_column("input\ntokens", justify="right")
    for output_edge in grid.output_edges:
        view.add_column(f"output\n{output_edge}", justify="right", no_wrap=True)
    for input_edge in grid.input_edges:
        cells = [texts[input_edge, output_edge] for output_edge in grid.output_edges]
        add_row(view, str(input_edge), *cells)
    return view
