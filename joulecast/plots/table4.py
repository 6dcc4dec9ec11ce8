"""The paper's Table 4 as a picture: what each engine takes above the ideal, by dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from joulecast.estimator.method import Method
from joulecast.estimator.paper.published import (
    ENGINES,
    Engine,
    Excesses,
    published_peaks_flops_per_s,
)
from joulecast.estimator.paper.table4 import Table4
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.hardware import Peak
from joulecast.plots.figure import panels, save_figure
from joulecast.traces.printable import printable

_TITLES = {"pytorch": "PyTorch", "vllm": "vLLM"}
_COLOURS = {"binned": "#0072b2", "stepwise": "#009e73", "the paper": "#999999"}
_HEIGHT = 0.26


def plot_table4(table4: Table4, peaks: Sequence[Peak], path: Path) -> None:
    """Draw both engines side by side, on one scale, ours and the paper's over the same ideal.

    Args:
        table4: What to draw.
        peaks: Peak of the ideal; the scale above is of a second one.
        path: Ends in .png, .svg or .pdf.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    figure, axes = panels(len(ENGINES))
    for axis, engine in zip(axes, ENGINES, strict=True):
        _draw(axis, engine, table4, peaks[0])
    axes[1].set_yticklabels([])
    axes[1].legend(loc="lower right", fontsize=8)
    ends = [end for axis in axes for end in axis.get_xlim()]
    for axis in axes:
        axis.set_xlim(min(ends), max(ends))
        axis.axvline(0, color="black", linewidth=0.6)
        for other in peaks[1:]:
            _add_scale(axis, peaks[0], other)
    notes = f"Ours: {table4.gpu}, {table4.model}; the paper's: RTX A6000, Llama-3.1-8B. "
    notes += "Lines are 95 % intervals. * reconstructed from the dataset's published figures."
    save_figure(figure, notes, path)


def _draw(axis: Axes, engine: Engine, table4: Table4, peak: Peak) -> None:
    labels = []
    places = np.arange(len(table4.rows))[::-1]
    for place, row in zip(places.tolist(), table4.rows, strict=True):
        labels.append(printable(row.dataset) + (" *" if row.source == "reconstructed" else ""))
        bars: dict[Method | Literal["the paper"], Excesses | None] = {
            "binned": row.excesses("binned", peak),
            "stepwise": row.excesses("stepwise", peak),
            "the paper": row.published_excesses(peak),
        }
        for k, (name, excesses) in enumerate(bars.items()):
            if excesses is not None:
                y, value = place + _HEIGHT * (1 - k), excesses.percent(engine)
                label = name if name not in axis.get_legend_handles_labels()[1] else None
                axis.barh(y, value, 0.9 * _HEIGHT, color=_COLOURS[name], label=label)
                method: Method | None = None if name == "the paper" else name
                ends = method and row.interval_percent(engine, peak, method)
                if ends is not None:
                    axis.plot(ends, [y, y], color="black", linewidth=1)
                end = max(0.0, value, *(ends or ()))
                axis.text(end, y, f" {value:,.0f}", va="center", fontsize=7)
    axis.set_yticks(places, labels, fontsize=8, parse_math=False)
    axis.set_xlabel(f"energy above the ideal at the {peak} peak [%]")
    axis.set_title(_TITLES[engine], fontsize=10)
    axis.margins(x=0.15)


def _add_scale(axis: Axes, peak: Peak, other: Peak) -> None:
    """The same energies over the ideal of another peak.

    By the peaks of the paper's chip; those of ours have the same ratio within 0.1 %.
    """
    peaks = published_peaks_flops_per_s()
    ratio = peaks[other] / peaks[peak]

    def there(percent: ArrayLike) -> FloatArray:
        return (100 + np.asarray(percent, dtype=float)) * ratio - 100

    def back(percent: ArrayLike) -> FloatArray:
        return (100 + np.asarray(percent, dtype=float)) / ratio - 100

    scale = axis.secondary_xaxis("top", functions=(there, back))
    scale.set_xlabel(f"at the {other} peak [%]", fontsize=8)
    scale.tick_params(labelsize=7)
