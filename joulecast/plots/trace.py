"""`joulecast trace plot`: true lengths against binned ones, as in the paper's Figure 5."""

from pathlib import Path

from matplotlib.axes import Axes

from joulecast.plots.figure import panels, save_figure
from joulecast.traces.distribution import Distribution
from joulecast.traces.errors import InputError
from joulecast.views.report import percent

_TRUE, _BINNED = "#0072b2", "#d55e00"


def plot_distributions(
    found: tuple[Distribution, Distribution], name: str, path: Path, is_reconstructed: bool = False
) -> None:
    """Draw the distributions of input and output lengths side by side.

    Args:
        found: Of the input lengths and of the output lengths.
        name: What to call the trace.
        path: Ends in .png, .svg or .pdf.
        is_reconstructed: Whether the requests were made up to have published figures.

    Raises:
        InputError: The ending is another, the file cannot be written, or there is nothing to draw.
    """
    if not found[0].binned_shares:
        raise InputError(f"{name}: has no requests with output to draw")
    figure, axes = panels(len(found))
    for axis, kind, distribution in zip(axes, ("input", "output"), found, strict=True):
        _draw(axis, kind, distribution)
    known = "" if found[0].lengths else "; true lengths unknown, since this is a workload of sums"
    made_up = " (reconstructed from published figures)" if is_reconstructed else ""
    notes = f"{name}{made_up}: requests with output, each bin at its upper edge{known}"
    save_figure(figure, notes, path)


def _draw(axis: Axes, kind: str, found: Distribution) -> None:
    if found.lengths:
        axis.step(
            [found.lengths[0], *found.lengths], [0, *found.shares], where="post", color=_TRUE,
            label="true lengths",
        )  # fmt: skip
    if found.binned_shares:
        end = max(found.edges[-1], *found.lengths[-1:], 1)
        axis.step(
            [found.edges[0], *found.edges, end],
            [0, *found.binned_shares, found.binned_shares[-1]],
            where="post", color=_BINNED, linestyle="--", label="rounded up to the grid",
        )  # fmt: skip
        beyond = 1 - found.binned_shares[-1]
        axis.set_title(f"{kind} lengths; {percent(beyond)} beyond the grid", fontsize=10)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel(f"{kind} length [tokens]")
    axis.set_ylabel("share of requests of at most this length")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
