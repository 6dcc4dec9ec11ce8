"""`joulecast validate --plot`: every estimate of every replay over what the meter said."""

from collections.abc import Sequence
from pathlib import Path

from joulecast.estimator.validate import Validation
from joulecast.plots.figure import panels, save_figure
from joulecast.views.report import joules

_COLOURS = {"ideal": "#999999", "binned": "#d55e00", "stepwise": "#0072b2"}
_MARKERS = {"ideal": "|", "binned": "s", "stepwise": "o"}
_LABELS = {
    "ideal": "ideal, dense peak",
    "binned": "binned, the paper's",
    "stepwise": "stepwise, with its 95 % interval",
}
_ROW_INCHES = 0.34
_ENGINES = {"pytorch": "PyTorch", "vllm": "vLLM"}


def _label(one: Validation) -> str:
    """The engine and the replay's name, with its folder where that tells more than the engine."""
    engine, path = str(one.replay.facts["engine"]), Path(one.name)
    folder = path.parent.name.removeprefix(engine).strip("-")
    name = f"{folder}: {path.name}" if path.parent.name.startswith(engine) and folder else path.name
    return f"{_ENGINES.get(engine, engine)}  {name}"


def plot_validations(found: Sequence[Validation], path: Path) -> None:
    """Draw a line per replay: 100 % is the metered energy.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    figure, (axis,) = panels(1)
    figure.set_size_inches(9.2, 1.5 + _ROW_INCHES * len(found))
    labels = []
    for k, one in enumerate(found):
        place = len(found) - 1 - k
        labels.append(
            f"{_label(one)}  ({len(one.replay.lengths):,} requests, {joules(one.metered_j)})"
        )
        shown = {"ideal": one.ideal_j}
        shown |= {method: held.estimate.energy_j for method, held in one.held.items()}
        for method, energy_j in shown.items():
            share = 100 * energy_j / one.metered_j
            axis.plot(
                share,
                place,
                _MARKERS[method],
                color=_COLOURS[method],
                label=_LABELS[method] if k == 0 else None,
                markersize=9 if method == "ideal" else 5.5,
                markeredgewidth=2 if method == "ideal" else 0.5,
                zorder=3,
            )
        interval = one.held["stepwise"].estimate.interval_j
        if interval is not None:
            ends = [100 * end / one.metered_j for end in interval]
            axis.plot(ends, [place, place], color=_COLOURS["stepwise"], linewidth=2, alpha=0.5)
    axis.axvline(100, color="black", linewidth=1)
    axis.set_yticks(range(len(found)), labels[::-1], fontsize=8)
    axis.set_ylim(-0.6, len(found) - 0.4)
    axis.set_xlabel("energy over the metered energy [%]")
    axis.grid(axis="x", linewidth=0.4, alpha=0.5)
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, fontsize=8, frameon=False)
    notes = "Metered energy is 100 %. No replay is in any fit. Binned leaves out requests beyond "
    notes += f"the grid. Tables: {', '.join(sorted({one.table for one in found}))}."
    if hosts := sorted({one.host for one in found if one.host is not None}):
        notes += f" The pace of hosts: {', '.join(hosts)}, of the replays' own cards."
    save_figure(figure, notes, path)
