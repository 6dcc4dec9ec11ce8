"""`joulecast trace plot`: true lengths against binned ones, as in the paper's Figure 5."""

from pathlib import Path

from matplotlib.axes import Axes

from joulecast.plots.figure import panels, save_figure
from joulecast.traces.distribution import Distribution
from joulecast.traces.errors import InputError
from joulecast.views.numbers import percent

_TRUE, _BINNED = "#0072b2", "#d55e00"


def plot_distributions(
    lengths: tuple[Distribution, Distribution],
    name: str,
    path: Path,
    is_reconstructed: bool = False,
) -> None:
    """Draw the distributions of input and output lengths side by side.

    Args:
        lengths: Of the input lengths and of the output lengths.
        name: What to call the trace.
        path: Ends in .png, .svg or .pdf.
        is_reconstructed: Whether the requests were made up to have published figures.

    Raises:
        InputError: The ending is another, the file cannot be written, or there is nothing to draw.
    """
    if not lengths[0].binned_shares:
        raise InputError(f"{name}: has no requests with output to draw")
    figure, axes = panels(len(lengths))
    for axis, kind, distribution in zip(axes, ("input", "output"), lengths, strict=True):
        _draw(axis, kind, distribution)
    notes = f"{name}{' (reconstructed from published figures)' if is_reconstructed else ''}: "
    notes += "requests with output, each bin at its upper edge"
    if not lengths[0].lengths:
        notes += "; true lengths unknown, since this is a workload of sums"
    save_figure(figure, notes, path)


def _draw(axis: Axes, kind: str, distribution: Distribution) -> None:
    lengths, edges, shares = distribution.lengths, distribution.edges, distribution.binned_shares
    if lengths:
        true_shares = [0, *distribution.shares]
        axis.step([lengths[0], *lengths], true_shares, where="post", color=_TRUE,
                  label="true lengths")  # fmt: skip
    if shares:
        end = max(edges[-1], *lengths[-1:], 1)
        axis.step([edges[0], *edges, end], [0, *shares, shares[-1]], where="post", color=_BINNED,
                  linestyle="--", label="rounded up to the grid")  # fmt: skip
        axis.set_title(f"{kind} lengths; {percent(1 - shares[-1])} beyond the grid", fontsize=10)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel(f"{kind} length [tokens]")
    axis.set_ylabel("share of requests of at most this length")
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
