"""`joulecast estimate --plot`: power, requests and latencies over time."""

from pathlib import Path

from matplotlib.axes import Axes

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.durations import time_unit
from joulecast.measurements.arrays import FloatArray
from joulecast.plots.figure import panels, save_figure
from joulecast.traces.errors import InputError
from joulecast.views.estimate import trace_text
from joulecast.views.online.serving import serving_text

_FIRST, _SECOND = "#0072b2", "#d55e00"


def plot_timeline(estimate: Estimate, path: Path) -> None:
    """Draw how serving goes over time.

    Args:
        estimate: Of requests that arrive over time.
        path: Ends in .png, .svg or .pdf.

    Raises:
        InputError: The requests are there all at once, the ending is another, or the file cannot
            be written.
    """
    serving = estimate.serving
    if serving is None:
        raise InputError(
            f"{estimate.trace}: its requests are all there at once, so that nothing goes on over "
            "time; leave --plot out, or give a trace with times, or --rate"
        )
    timeline = serving.timeline
    figure, axes = panels(3)
    for axis, label, curves in zip(
        axes,
        ("GPU power [W]", "requests, on average [number]", "time to first token [s]"),
        (
            {"power": timeline.power_w},
            {"running": timeline.running, "waiting": timeline.waiting},
            {"p50": timeline.ttft_p50_s, "p99": timeline.ttft_p99_s},
        ),
        strict=True,
    ):
        _draw(axis, label, curves, [*timeline.begin_s, timeline.end_s])
    save_figure(figure, f"{trace_text(estimate)}, {estimate.table}; {serving_text(estimate)}", path)


def _draw(axis: Axes, label: str, curves: dict[str, FloatArray], edges_s: list[float]) -> None:
    size_s, unit = time_unit(edges_s[-1])
    edges = [edge / size_s for edge in edges_s]
    for (name, values), colour in zip(curves.items(), (_FIRST, _SECOND), strict=False):
        axis.stairs(values, edges, baseline=None, color=colour, label=name)
    axis.set_xlim(0, edges[-1])
    axis.set_ylim(bottom=0)
    axis.set_xlabel(f"time from the first arrival [{unit}]")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend(loc="upper right")
