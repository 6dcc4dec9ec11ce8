"""The paper's Table 4 as a picture: what each engine takes above the ideal, by dataset."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from joulecast.estimator.paper.table4 import ENGINES, Excesses, Table4
from joulecast.plots.figure import panels, save_figure
from joulecast.traces.printable import printable

_TITLES = {"pytorch": "PyTorch", "vllm": "vLLM"}
_COLOURS = {"binned": "#0072b2", "stepwise": "#009e73", "the paper": "#999999"}
_HEIGHT = 0.26


def plot_table4(table4: Table4, path: Path) -> None:
    """Draw both engines side by side, on one scale.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    figure, axes = panels(len(ENGINES))
    for axis, engine in zip(axes, ENGINES, strict=True):
        _draw(axis, engine, table4)
    axes[1].set_yticklabels([])
    axes[1].legend(loc="lower right", fontsize=8)
    longest = max(axis.get_xlim()[1] for axis in axes)
    for axis in axes:
        axis.set_xlim(0, longest)
    ours = f"Ours: {table4.gpu}, {table4.model}, ideal at the {table4.peak} peak"
    notes = f"{ours}; the paper's: RTX A6000, Llama-3.1-8B, ideal at the sparse peak. "
    notes += "Lines are 95 % intervals. * reconstructed from the dataset's published figures."
    save_figure(figure, notes, path)


def _draw(axis: Axes, engine: str, table4: Table4) -> None:
    labels = []
    places = np.arange(len(table4.rows))[::-1]
    for place, row in zip(places.tolist(), table4.rows, strict=True):
        labels.append(printable(row.dataset) + (" *" if row.source == "reconstructed" else ""))
        bars = {
            "binned": row.measured,
            "stepwise": row.measured_stepwise,
            "the paper": row.published,
        }
        for k, (name, excesses) in enumerate(bars.items()):
            if excesses is not None:
                y = place + _HEIGHT * (1 - k)
                value = _value(excesses, engine)
                label = name if name not in axis.get_legend_handles_labels()[1] else None
                axis.barh(y, value, 0.9 * _HEIGHT, color=_COLOURS[name], label=label)
                end = value
                if name == "stepwise":
                    low, end = row.to_dict()["stepwise_interval_percent"][engine]
                    axis.plot([low, end], [y, y], color="black", linewidth=1)
                axis.text(end, y, f" {value:,.0f}", va="center", fontsize=7)
    axis.set_yticks(places, labels, fontsize=8, parse_math=False)
    axis.set_xlabel("energy above the ideal [%]")
    axis.set_title(_TITLES[engine], fontsize=10)
    axis.margins(x=0.15)


def _value(excesses: Excesses, engine: str) -> float:
    return float(getattr(excesses, f"{engine}_excess_percent"))
