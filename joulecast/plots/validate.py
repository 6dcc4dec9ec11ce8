"""`joulecast validate --plot`: every estimate of every replay over what the meter said."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

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


def plot_validations(validations: Sequence[Validation], path: Path) -> None:
    """Draw a line per replay: 100 % is the metered energy.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    figure, (axis,) = panels(1)
    figure.set_size_inches(9.2, 1.5 + _ROW_INCHES * len(validations))
    places = range(len(validations) - 1, -1, -1)
    for place, validation in zip(places, validations, strict=True):
        _draw(axis, place, validation)
    marks, names = axis.get_legend_handles_labels()
    axis.axvline(100, color="black", linewidth=1)
    axis.set_yticks(places, list(map(_label, validations)), fontsize=8, parse_math=False)
    axis.set_ylim(-0.6, len(validations) - 0.4)
    axis.set_xlabel("energy over the metered energy [%]")
    axis.grid(axis="x", linewidth=0.4, alpha=0.5)
    legend = dict(zip(names, marks, strict=True))  # one mark for each
    axis.legend(
        legend.values(), legend, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3,
        fontsize=8, frameon=False,
    )  # fmt: skip
    tables = sorted({validation.table for validation in validations})
    hosts = sorted({validation.host for validation in validations if validation.host is not None})
    notes = "Metered energy is 100 %. No replay is in any fit. Binned leaves out requests beyond "
    notes += f"the grid. Tables: {', '.join(tables)}."
    notes += f" The pace of hosts: {', '.join(hosts)}, of the replays' own cards." if hosts else ""
    if others := [validation for validation in validations if validation.differences]:
        told = [f"{_name(other)}: {', '.join(other.difference_texts)}" for other in others]
        notes += f" * Run under other conditions than the table's. {'; '.join(told)}."
    save_figure(figure, notes, path)


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
