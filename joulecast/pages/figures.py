"""Pictures of a page: drawn with Matplotlib, coloured by the page's style sheet."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from joulecast.estimator.over_time.durations import time_unit
from joulecast.estimator.over_time.timeline import Timeline
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.distribution import Distribution
from joulecast.traces.printable import printable
from joulecast.views.numbers import joules

COLOURS = {
    "ink": "#0a0a0a",
    "soft": "#5a5a5a",
    "line": "#cacaca",
    "first": "#0072b2",
    "second": "#d55e00",
    "third": "#8a8a8a",
}
"""Name of a colour in the style sheet -> the colour that stands for it while drawing."""

_CURVES = ("first", "second", "third")
_WIDTH_INCHES = 5.0
_ROW_INCHES = 0.46
_MARGIN_INCHES = 0.65
MOST_BARS = 10
"""So many fit on a sheet of paper beside the answer; tables have all."""
_MOST_POINTS = 400
_MOST_LETTERS = 56
_VALUE_ROOM = 1.24
"""The axis of bars is so many times as long as the longest, with room for its value behind it."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["soft"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["soft"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.color": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["ink"],
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
}
_ENERGY_UNITS = ((1e12, "TJ"), (1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"))


@dataclass(frozen=True)
class Bar:
    """One bar of a chart of energies.

    Attributes:
        label: What it is of.
        energy_j: How long it is [J].
        colour: "first", "second" or "third".
        interval_j: Ends of an interval to mark [J].
        mark_j: An energy to mark by a line across [J].
    """

    label: str
    energy_j: float
    colour: str = "first"
    interval_j: tuple[float, float] | None = None
    mark_j: float | None = None


def energy_unit(most_j: float) -> tuple[float, str]:
    """The unit that suits energies of up to so much: its size [J] and its name."""
    for size_j, unit in _ENERGY_UNITS:
        if most_j >= size_j:
            return size_j, unit
    return _ENERGY_UNITS[-1]


def energy_bars(bars: Sequence[Bar], name: str, description: str) -> Markup:
    """Horizontal bars over an axis of energy, from the top down.

    Args:
        bars: One or more.
        name: Of the picture, for its identifiers; letters only.
        description: What someone who cannot see it is told.
    """
    ends = [end for bar in bars for end in (bar.energy_j, *(bar.interval_j or ()), bar.mark_j or 0)]
    size_j, unit = energy_unit(max(ends))
    with matplotlib.rc_context(STYLE):
        height = _MARGIN_INCHES + _ROW_INCHES * len(bars)
        figure, axis = figure_of(height)
        for place, bar in enumerate(bars):
            _draw_bar(axis, place, bar, size_j, max(ends))
        axis.set_ylim(len(bars) - 0.6, -0.85)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_xlim(0, _VALUE_ROOM * max(ends) / size_j)
        axis.set_xlabel(f"energy [{unit}]")
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        return svg_of(figure, name, description)


def _draw_bar(axis: Axes, place: int, bar: Bar, size_j: float, longest_j: float) -> None:
    """A bar below its name, with its interval and marks, and its value behind all of these."""
    axis.barh(place, bar.energy_j / size_j, 0.42, color=COLOURS[bar.colour])
    axis.text(0, place - 0.28, _end_of(printable(bar.label)), va="bottom", parse_math=False)
    if bar.interval_j is not None:
        low, high = (end / size_j for end in bar.interval_j)
        axis.plot([low, high], [place, place], color=COLOURS["ink"], linewidth=1.5)
        axis.plot([low, high], [place, place], "|", color=COLOURS["ink"], markersize=9)
    if bar.mark_j:
        across = bar.mark_j / size_j
        axis.plot(across, place, "|", color=COLOURS["ink"], markersize=14, mew=2)
    behind_j = max(bar.energy_j, *(bar.interval_j or ()), bar.mark_j or 0) + 0.02 * longest_j
    axis.text(behind_j / size_j, place, joules(bar.energy_j), va="center")


def length_curve(kind: str, distribution: Distribution, show_grid: bool, name: str) -> Markup:
    """What share of requests is at most so long.

    Args:
        kind: "input" or "output".
        distribution: Lengths, true or binned.
        show_grid: Also draw the lengths as rounded up to the grid.
        name: Of the picture, for its identifiers; letters only.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = figure_of(3.1)
        if distribution.lengths:
            lengths, shares = _thinned(distribution)
            axis.step(
                [lengths[0], *lengths], [0.0, *shares], where="post", color=COLOURS["first"],
                label="true lengths",
            )  # fmt: skip
        if distribution.binned_shares and (show_grid or not distribution.lengths):
            end = max(distribution.edges[-1], *distribution.lengths[-1:], 1)
            axis.step(
                [distribution.edges[0], *distribution.edges, end],
                [0.0, *distribution.binned_shares, distribution.binned_shares[-1]],
                where="post", color=COLOURS["second"], linestyle="--",
                label="rounded up to the grid",
            )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.tick_params(axis="x", labelrotation=45)
        axis.set_ylim(0, 1.02)
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        axis.set_xlabel(f"{kind} length [tokens]")
        axis.set_ylabel("requests of at most this length [%]")
        axis.grid(visible=True)
        _legend_above(axis, 2)
        return svg_of(figure, name, f"Share of requests by {kind} length")


def time_curves(
    name: str,
    timeline: Timeline,
    curves: Mapping[str, FloatArray],
    label: str,
    mean: float | None = None,
) -> Markup:
    """What goes on over time, a value a slice.

    Args:
        name: Of the picture, for its identifiers; letters only.
        timeline: Of these slices.
        curves: Name -> value of each slice, shape (slices,); at most three.
        label: Of the axis of values.
        mean: Mean power to draw a line at [W].
    """
    size_s, unit = time_unit(timeline.end_s)
    edges = [*timeline.begin_s, timeline.end_s]
    with matplotlib.rc_context(STYLE):
        figure, axis = figure_of(2.4)
        for (curve, values), colour in zip(curves.items(), _CURVES, strict=False):
            axis.stairs(values, [edge / size_s for edge in edges], baseline=None,
                        color=COLOURS[colour], label=curve, linewidth=1.2)  # fmt: skip
        if mean is not None:
            axis.axhline(mean, color=COLOURS["third"], linestyle="--", linewidth=1.2,
                         label=f"mean: {mean:,.0f} W")  # fmt: skip
        _over_time(axis, timeline.end_s / size_s, unit, label)
        _legend_above(axis, 3)
        return svg_of(figure, name, f"{label} over time")


def energy_curve(name: str, timeline: Timeline) -> Markup:
    """The energy that was drawn up to each moment.

    Args:
        name: Of the picture, for its identifiers; letters only.
        timeline: What each slice takes.
    """
    size_s, time_name = time_unit(timeline.end_s)
    so_far_j = [0.0, *timeline.energy_j.cumsum()]
    size_j, unit = energy_unit(so_far_j[-1])
    edges = [*timeline.begin_s, timeline.end_s]
    with matplotlib.rc_context(STYLE):
        figure, axis = figure_of(2.4)
        axis.plot([edge / size_s for edge in edges], [energy_j / size_j for energy_j in so_far_j],
                  color=COLOURS["first"], linewidth=1.5,
                  label=f"GPU energy so far, in the end {joules(so_far_j[-1])}")  # fmt: skip
        _over_time(axis, timeline.end_s / size_s, time_name, f"energy [{unit}]")
        _legend_above(axis, 1)
        return svg_of(figure, name, "energy so far, over time")


def _over_time(axis: Axes, end: float, unit: str, label: str) -> None:
    """What pictures over time share: the axes, with room above what is drawn."""
    axis.set_xlim(0, end)
    axis.set_ylim(0, 1.05 * max(axis.get_ylim()[1], 1e-12))
    axis.set_xlabel(f"time from the first arrival [{unit}]")
    axis.set_ylabel(label)
    axis.grid(visible=True)


def _legend_above(axis: Axes, columns: int) -> None:
    """What each curve is, above the axes, where it covers none of them."""
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False,
                borderaxespad=0.2, handlelength=1.6)  # fmt: skip


def _thinned(distribution: Distribution) -> tuple[list[float], list[float]]:
    """Some of the steps of a curve, close enough that nobody sees which were left out."""
    kept: dict[tuple[int, int], tuple[float, float]] = {}
    for length, share in zip(distribution.lengths, distribution.shares, strict=True):
        place = round(_MOST_POINTS * share), (8 * length).bit_length()
        kept.setdefault(place, (length, share))
    kept[-1, -1] = distribution.lengths[-1], distribution.shares[-1]
    points = sorted(kept.values())
    return [length for length, _ in points], [share for _, share in points]


def _end_of(label: str) -> str:
    """A label that fits; the end of a table's name tells more than its beginning."""
    return (
        label
        if len(label) <= _MOST_LETTERS
        else "\N{HORIZONTAL ELLIPSIS}" + label[1 - _MOST_LETTERS :]
    )


def figure_of(height_inches: float) -> tuple[Figure, Axes]:
    """A figure as wide as a page's are, and its axes; the page shows through both."""
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    figure.patch.set_visible(False)
    axis = figure.subplots()
    axis.patch.set_visible(False)
    return figure, axis


def svg_of(figure: Figure, name: str, description: str) -> Markup:
    """A figure as an element of a page.

    Args:
        figure: Drawn in `COLOURS` alone.
        name: Of the picture, for its identifiers; letters only.
        description: What someone who cannot see it is told.
    """
    text = StringIO()
    # Without a date, equal figures are equal texts.
    nothing: dict[str, str | None] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # Its style would hold for all of the page.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    # Texts are left as they are, whatever they hold.
    svg = re.sub(r"<[^>]+>", lambda tag: _themed(tag[0], name), svg)
    head = f'<svg role="img" aria-label="{escape(description)}"'
    return Markup(svg.replace("<svg", head, 1))  # noqa: S704 - drawn here, its texts are escaped


def _themed(tag: str, name: str) -> str:
    """A tag with the colours and the font of the style sheet, and identifiers of its picture."""
    # Identifiers of two pictures on one page differ.
    tag = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    for colour, drawn in COLOURS.items():
        tag = tag.replace(drawn, f"var(--{colour})")
    return re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", tag)
