"""`joulecast validate --plot`: every estimate of every replay over what the meter said."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from joulecast.estimator.online.validate import HELD, OnlineValidation
from joulecast.estimator.over_time.serving import LATENCIES
from joulecast.estimator.validate import Validation
from joulecast.plots.figure import panels, save_figure
from joulecast.traces.printable import printable
from joulecast.views.numbers import joules

_COLOURS = {"ideal": "#999999", "binned": "#d55e00", "stepwise": "#0072b2"}
_MARKERS = {"ideal": "|", "binned": "s", "stepwise": "o"}
_LABELS = {
    "ideal": "ideal, dense peak",
    "binned": "binned, the paper's",
    "stepwise": "stepwise, with its 95 % interval",
}
_ROW_INCHES = 0.26
_ONLINE_MARKS = (
    ("o", "#0072b2"),
    ("|", "#000000"),
    ("<", "#d55e00"),
    (">", "#cc79a7"),
    ("s", "#009e73"),
    ("d", "#e69f00"),
)
"""Of energy, steps, and the latencies of `HELD`."""


def plot_validations(
    validations: Sequence[Validation], online: Sequence[OnlineValidation], path: Path
) -> None:
    """Draw a line per replay: 100 % is what the meter, or the clock, says.

    Args:
        validations: Of requests that were all there at once.
        online: Of requests that came over time, in a panel of their own.
        path: Ends in .png, .svg or .pdf.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    figure, axes = panels(bool(validations) + bool(online))
    rows = max(len(validations), len(online))
    figure.set_size_inches(9.2 * len(axes), 1.5 + _ROW_INCHES * rows)
    notes = [_draw_offline(axes[0], validations)] if validations else []
    notes += [_draw_online(axes[-1], online)] if online else []
    for axis, drawn in zip(axes, filter(None, (validations, online)), strict=True):
        axis.set_ylim(len(drawn) - rows - 0.6, len(drawn) - 0.4)  # lines of equal height
    save_figure(figure, " ".join(notes), path)


def _draw_online(axis: Axes, validations: Sequence[OnlineValidation]) -> str:
    """A line per replay whose requests came over time; what to say of it."""
    places = range(len(validations) - 1, -1, -1)
    for place, validation in zip(places, validations, strict=True):
        low_j, high_j = validation.estimate.interval_j or (0.0, 0.0)
        ends = [100 * end_j / validation.metered_j for end_j in (low_j, high_j)]
        axis.plot(ends, [place, place], color=_COLOURS["stepwise"], linewidth=2, alpha=0.5)
        values: dict[str, float | None] = {
            "energy, with its 95 % interval": validation.error_percent
        }
        values["engine steps"] = validation.steps_percent
        for name, quantile in HELD:
            values[f"{LATENCIES[name]}, {quantile}"] = validation.latency_percent(name, quantile)
        for (label, value), (mark, colour) in zip(values.items(), _ONLINE_MARKS, strict=True):
            if value is not None:
                axis.plot(100 + value, place, mark, color=colour, label=label, markersize=5)
    axis.axvline(100, color="black", linewidth=1)
    names = [f"{printable(each.name)}  ({len(each.replay.lengths):,})" for each in validations]
    axis.set_yticks(places, names, fontsize=8, parse_math=False)
    axis.set_xlim(40, 160)
    axis.set_xlabel("estimate over meter and clock [%]; what lies beyond is not drawn")
    _finish(axis)
    return "Served as they came: requests of each replay in parentheses; none is in any fit."


def _finish(axis: Axes) -> None:
    """A grid, and a legend with each mark once."""
    marks, labels = axis.get_legend_handles_labels()
    axis.grid(axis="x", linewidth=0.4, alpha=0.5)
    legend = dict(zip(labels, marks, strict=True))
    axis.legend(
        legend.values(), legend, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3,
        fontsize=8, frameon=False,
    )  # fmt: skip


def _draw_offline(axis: Axes, validations: Sequence[Validation]) -> str:
    """A line per replay of requests that were there at once; what to say of it."""
    places = range(len(validations) - 1, -1, -1)
    for place, validation in zip(places, validations, strict=True):
        _draw(axis, place, validation)
    axis.axvline(100, color="black", linewidth=1)
    axis.set_yticks(places, list(map(_label, validations)), fontsize=8, parse_math=False)
    axis.set_xlabel("energy over the metered energy [%]")
    _finish(axis)
    tables = sorted({validation.table for validation in validations})
    hosts = sorted({validation.host for validation in validations if validation.host is not None})
    notes = "Metered energy is 100 %. No replay is in any fit. Binned leaves out requests beyond "
    notes += f"the grid. Tables: {', '.join(tables)}."
    notes += f" The pace of hosts: {', '.join(hosts)}, of the replays' own cards." if hosts else ""
    if others := [validation for validation in validations if validation.differences]:
        told = [f"{_name(other)}: {', '.join(other.difference_texts)}" for other in others]
        notes += f" * Run under other conditions than the table's. {'; '.join(told)}."
    return notes


def _draw(axis: Axes, place: int, validation: Validation) -> None:
    """The line of a replay."""
    energies_j = {"ideal": validation.ideal_j}
    energies_j |= {
        method: checked.estimate.energy_j for method, checked in validation.checked.items()
    }
    for method, energy_j in energies_j.items():
        axis.plot(
            100 * energy_j / validation.metered_j,
            place,
            _MARKERS[method],
            color=_COLOURS[method],
            label=_LABELS[method],
            markersize=9 if method == "ideal" else 5.5,
            markeredgewidth=2 if method == "ideal" else 0.5,
            zorder=3,
        )
    interval_j = validation.checked["stepwise"].estimate.interval_j
    if interval_j is not None:
        ends = [100 * end / validation.metered_j for end in interval_j]
        axis.plot(ends, [place, place], color=_COLOURS["stepwise"], linewidth=2, alpha=0.5)


def _name(validation: Validation) -> str:
    """Name, marked under other conditions; what it holds steers nothing."""
    return printable(f"{validation.name} *" if validation.differences else validation.name)


def _label(validation: Validation) -> str:
    """Name and size."""
    requests = f"{len(validation.replay.lengths):,} requests"
    return f"{_name(validation)}  ({requests}, {joules(validation.metered_j)})"
