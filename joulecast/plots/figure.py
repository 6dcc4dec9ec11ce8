"""Pictures: tables as heat maps over the grid."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.interpolation import CellKey
from joulecast.traces.errors import InputError
from joulecast.traces.files import write_bytes
from joulecast.traces.grid import Grid
from joulecast.traces.printable import printable
from joulecast.views.numbers import three_digits

FORMATS = ("png", "svg", "pdf")
_PANEL_INCHES = 5.2, 4.6
_DOTS_PER_INCH = 130
_CHARACTERS_PER_INCH = 15.5
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_EVEN_CONTRAST = 0.179
"""Relative luminance on which black and white text have the same contrast (WCAG 2)."""


@dataclass(frozen=True)
class HeatMap:
    """One panel.

    Attributes:
        title: Above it.
        quantity: What the colours mean, with its unit.
        values: Cell -> positive number.
        marks: Cell -> what follows its number, such as "~".
        kind: "amount" for one table's values; "ratio" for one table over another.
    """

    title: str
    quantity: str
    values: Mapping[CellKey, float]
    marks: Mapping[CellKey, str]
    kind: Literal["amount", "ratio"] = "amount"


def check_plot_path(path: Path) -> None:
    """Refuse a file whose ending names no format that can be drawn.

    Raises:
        InputError: Likewise.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"{path}: a picture's name ends in one of {endings}")


def plot_heat_maps(maps: Sequence[HeatMap], grid: Grid, notes: str, path: Path) -> None:
    """Draw heat maps side by side into one file, whole or not at all.

    Amounts share one logarithmic scale of colours, so that they can be compared.

    Args:
        maps: One or more.
        grid: Of all of them.
        notes: A line below.
        path: Ends in .png, .svg or .pdf.

    Raises:
        InputError: The ending is another, or the file cannot be written.
    """
    figure, axes = panels(len(maps))
    amounts = [value for panel in maps if panel.kind == "amount" for value in panel.values.values()]
    for axis, panel in zip(axes, maps, strict=True):
        is_amount = panel.kind == "amount"
        values = np.array(
            [
                [panel.values.get((i, o), np.nan) for o in grid.output_edges]
                for i in grid.input_edges
            ]
        )
        lowest, highest = np.nanmin(values), np.nanmax(values)
        image = axis.imshow(
            values,
            cmap="viridis" if is_amount else "cividis",
            norm=_log_scale(amounts) if is_amount else Normalize(lowest, highest),
            aspect="auto",
        )
        axis.set_title(printable(panel.title), fontsize=10, parse_math=False)
        axis.set_xticks(range(len(grid.output_edges)), list(map(str, grid.output_edges)))
        axis.set_yticks(range(len(grid.input_edges)), list(map(str, grid.input_edges)))
        axis.set_xlabel("output, O [tokens]")
        axis.set_ylabel("input, I [tokens]")
        is_light = _luminance(np.asarray(image.cmap(image.norm(values)))) > _EVEN_CONTRAST
        for row, i in enumerate(grid.input_edges):
            for column, o in enumerate(grid.output_edges):
                if (i, o) not in panel.values:
                    continue
                text = three_digits(panel.values[i, o]) + panel.marks.get((i, o), "")
                colour = "black" if is_light[row, column] else "white"
                axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        bar = figure.colorbar(image, ax=axis, label=panel.quantity)
        bar.formatter = FuncFormatter(lambda value, _: f"{value:,g}")
        bar.minorticks_off()
    save_figure(figure, notes, path)


def panels(count: int, rows: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of so many panels side by side, in rows; row by row."""
    width, height = _PANEL_INCHES
    size = width * count, height * rows
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, count, squeeze=False).ravel().tolist()


HOLLOW = "Hollow: the windows hold plans of PyTorch for new shapes. "


def hollow(axis: Axes, xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
    """Hollow markers over others of that colour: `HOLLOW` says what of."""
    axis.plot(xs, ys, "o", color=colour, markerfacecolor="white", markersize=4, zorder=3)


def save_figure(figure: Figure, notes: str, path: Path) -> None:
    """Write a figure with a line of notes below, whole or not at all.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    check_plot_path(path)
    width = int(_CHARACTERS_PER_INCH * figure.get_figwidth())
    lines = textwrap.fill(printable(notes), width)
    figure.supxlabel(lines, fontsize=8, x=0.01, ha="left", parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().lstrip("."))
    write_bytes(path, content.getvalue())


def _log_scale(values: Sequence[float]) -> LogNorm:
    low, high = min(values), max(values)
    return LogNorm(low, high if high > low else 1.01 * low)


def _luminance(colours: FloatArray) -> FloatArray:
    """Relative luminance of sRGB colours, shape (..., 4) -> (...), 0 black to 1 white (WCAG 2)."""
    shares = colours[..., :3]
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ _LUMINANCE)
