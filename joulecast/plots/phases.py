"""The paper's sweeps as a picture: what prefill and decoding take, by length."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from joulecast.estimator.paper.claims.compare import PaperComparison
from joulecast.estimator.paper.claims.deployments import Way
from joulecast.estimator.paper.claims.measures import UNLESS_SAID, batches_versions
from joulecast.estimator.paper.claims.phases import PhasePoint
from joulecast.measurements.hardware import load_gpu
from joulecast.plots.figure import HOLLOW, hollow, panels, save_figure

_INPUT, _OUTPUT = 512, 64
_SIZES = {1: "#0072b2", 8: "#009e73", 64: "#d55e00"}
_MODEL = "llama-3.1-8b"
_FLAT_UP_TO = 128


def draw_phases(comparison: PaperComparison, path: Path) -> bool:
    """Prefill by input, decoding by output, and decoding's share; False if nothing is known.

    Raises:
        InputError: The file's ending names no known format, or it cannot be written.
    """
    rows = _rows(comparison)
    if not rows:
        return False
    figure, axes = panels(3, len(rows))
    for row, (way, points) in enumerate(rows):
        head = f"{way.engine}: " if len(rows) > 1 else ""
        _draw_row(axes[3 * row : 3 * row + 3], points, head)
    ways = [way for way, _ in rows]
    versions = batches_versions(comparison.batches, ways)
    gpus = dict.fromkeys(load_gpu(way.gpu).product for way in ways)
    notes = f"{' and '.join(gpus)}, {versions}, {_MODEL}, bfloat16, random weights. "
    notes += "Whiskers are 95 % intervals; steps that feed prompts are prefill, whatever decodes "
    notes += "beside these. "
    if any(point.has_new_shapes for _, points in rows for point in points):
        notes += HOLLOW
    save_figure(figure, notes.rstrip(), path)
    return True


def _rows(comparison: PaperComparison) -> list[tuple[Way, list[PhasePoint]]]:
    """Of each engine as it serves by itself, the first way of which phases are known."""
    rows = []
    for engine, compiled in (("vllm", True), ("pytorch", False)):
        settings = {"model": _MODEL, "engine": engine, "compiled": compiled, **UNLESS_SAID}
        ways = [way for way in comparison.phases.ways() if way.fits(settings)]
        rows += [(way, list(comparison.phases.of(way).values())) for way in ways[:1]]
    return rows


def _draw_row(axes: Sequence[Axes], points: Sequence[PhasePoint], head: str) -> None:
    """Prefill by input, decoding by output, and decoding's share."""
    by_input = [point for point in points if point.output_tokens == _OUTPUT]
    by_output = [point for point in points if point.input_tokens == _INPUT]
    _lines(axes[0], by_input, "input", lambda point: (point.prefill_j, point.prefill_error))
    axes[0].axvline(_FLAT_UP_TO, color="#777777", linestyle=":", linewidth=1.2)
    axes[0].annotate(
        "paper: flat below", (_FLAT_UP_TO, 0.97), xycoords=("data", "axes fraction"),
        xytext=(4, 0), textcoords="offset points", fontsize=8, color="#777777", va="top",
    )  # fmt: skip
    axes[0].set_title(f"{head}prefill, outputs of {_OUTPUT}", fontsize=10)
    _lines(axes[1], by_output, "output", lambda point: (point.decode_j, point.decode_error))
    axes[1].set_title(f"{head}decoding, inputs of {_INPUT}", fontsize=10)
    _shares(axes[2], by_output, head)
    for axis in axes[:2]:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_ylabel("energy of a request [J]")
        _proportional(axis)
        axis.legend(fontsize=8, loc="lower right")


def _lines(
    axis: Axes,
    points: Sequence[PhasePoint],
    along: str,
    value: Callable[[PhasePoint], tuple[float, float]],
) -> None:
    """A line for each batch size, of a request's energy by one length."""
    for size, colour in _SIZES.items():
        if not (chosen := _along(points, size, along)):
            continue
        energies_j = [value(point)[0] / size for point in chosen]
        axis.errorbar(
            [getattr(point, f"{along}_tokens") for point in chosen],
            energies_j,
            yerr=[j * value(point)[1] for j, point in zip(energies_j, chosen, strict=True)],
            fmt="o-",
            color=colour,
            markersize=4,
            capsize=2,
            linewidth=1.2,
            label=f"batch of {size}",
        )
        new = [place for place, point in enumerate(chosen) if point.has_new_shapes]
        lengths = [getattr(chosen[place], f"{along}_tokens") for place in new]
        hollow(axis, lengths, [energies_j[place] for place in new], colour)
    _finish(axis, along)


def _shares(axis: Axes, points: Sequence[PhasePoint], head: str) -> None:
    """Decoding's share of both phases, by outputs."""
    for size, colour in _SIZES.items():
        chosen = _along(points, size, "output")
        shares = [point.decode_share_percent for point in chosen]
        axis.errorbar(
            [point.output_tokens for point in chosen],
            [share for share, _ in shares],
            yerr=[error for _, error in shares],
            fmt="o-",
            color=colour,
            markersize=4,
            capsize=2,
            linewidth=1.2,
        )
        new = [point for point in chosen if point.has_new_shapes]
        percents = [point.decode_share_percent[0] for point in new]
        hollow(axis, [point.output_tokens for point in new], percents, colour)
    axis.axhline(50, color="#777777", linestyle=":", linewidth=1.2)
    axis.set_ylim(0, 100)
    axis.set_ylabel("decoding's share of the energy [%]")
    axis.set_title(f"{head}both, inputs of {_INPUT}", fontsize=10)
    _finish(axis, "output")


def _along(points: Sequence[PhasePoint], size: int, along: str) -> list[PhasePoint]:
    return sorted(
        (point for point in points if point.batch_size == size),
        key=lambda point: int(getattr(point, f"{along}_tokens")),
    )


def _finish(axis: Axes, along: str) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(f"{along} [tokens]")
    axis.grid(linewidth=0.3, alpha=0.5)


def _proportional(axis: Axes) -> None:
    """What growth in proportion looks like: a thin line through the middle."""
    low, high = axis.get_xlim()
    bottom, top = axis.get_ylim()
    middle = (bottom * top) ** 0.5 / (low * high) ** 0.5
    axis.plot(
        [low, high], [middle * low, middle * high], color="#bbbbbb", linewidth=0.8, zorder=0,
        label="in proportion",
    )  # fmt: skip
    axis.set_xlim(low, high)
    axis.set_ylim(bottom, top)
