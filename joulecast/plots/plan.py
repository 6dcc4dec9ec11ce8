"""`joulecast plan --plot`: energy against latency, and what nothing beats in both."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from joulecast.estimator.over_time.serving import LATENCIES, Objective
from joulecast.estimator.planning.fleets import FleetOption
from joulecast.estimator.planning.frontier import frontier, wait_of
from joulecast.estimator.planning.result import FleetPlan
from joulecast.measurements.shapes.shape import QUANTIZED_BYTES
from joulecast.plots.figure import panels, save_figure
from joulecast.traces.errors import InputError
from joulecast.traces.printable import printable
from joulecast.views.estimate import trace_text
from joulecast.views.planning.answer import answer_lines, fleet_text

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_MOST_PANELS = 3
_MOST_LABELS = 6


def plot_plan(plan: FleetPlan, path: Path) -> None:
    """Draw a panel for each bound: every option, and a line through those that nothing beats.

    Args:
        plan: With an option at least.
        path: Ends in .png, .svg or .pdf.

    Raises:
        InputError: No option serves the trace, the ending is another, or the file cannot be
            written.
    """
    if not plan.options:
        raise InputError(f"{plan.trace}: no option serves it in time, so there is nothing to draw")
    objectives: Sequence[Objective | None] = plan.objectives[:_MOST_PANELS] or (None,)
    figure, axes = panels(len(objectives))
    figure.set_size_inches(1.6 + 5.6 * len(objectives), 5.2)
    for axis, objective in zip(axes, objectives, strict=True):
        _draw(axis, plan.options, objective)
    _key(axes[0], plan.options)
    if plan.objectives:
        axes[0].plot([], [], color="black", linestyle="--", linewidth=1, label="bound")
    figure.legend(loc="outside right upper", fontsize=8)
    notes = f"{trace_text(plan.options[0].estimate)}: energy of {plan.scope}, with its 95 % "
    notes += f"interval. {' '.join(answer_lines(plan))}"
    save_figure(figure, notes, path)


def _draw(axis: Axes, options: Sequence[FleetOption], objective: Objective | None) -> None:
    """Every option's energy against its waiting, and the line through the best."""
    wait_s = wait_of(objective)
    scale, unit = (1000.0, "ms") if max(map(wait_s, options)) < 1 else (1.0, "s")
    size_j, prefix = _size_of(max(option.energy_j for option in options))
    gpus, counts = _gpus_of(options), _counts_of(options)
    for option in options:
        energy = option.energy_j / size_j
        low, high = (end_j / size_j for end_j in option.interval_j)
        axis.errorbar(
            scale * wait_s(option),
            energy,
            [[energy - low], [high - energy]],
            color=_COLOURS[gpus.index(option.basis.gpu) % len(_COLOURS)],
            marker=_MARKERS[counts.index(option.basis.gpus) % len(_MARKERS)],
            fillstyle="none" if option.basis.dtype in QUANTIZED_BYTES else "full",
            markersize=6,
            linewidth=1,
            alpha=0.85,
        )
    line = frontier(options, wait_s)
    places = [scale * wait_s(option) for option in line]
    energies = [option.energy_j / size_j for option in line]
    axis.plot(places, energies, color="black", linewidth=1, zorder=0)
    labelled = list(zip(line, places, energies, strict=True))[:_MOST_LABELS]
    for k, (option, *place) in enumerate(labelled):
        axis.annotate(
            printable(fleet_text(option)),
            (place[0], place[1]),
            (-6, 3 if k % 2 else -9),  # those of near neighbours lie one above the other
            textcoords="offset points",
            fontsize=7,
            ha="right",
            parse_math=False,
        )
    name = "time to finish"
    if objective is not None:
        name = f"{LATENCIES[objective.latency]}, {objective.quantile}"
        axis.axvline(scale * objective.seconds, color="black", linestyle="--", linewidth=1)
    _finish(axis, f"{name} [{unit}]", f"GPU energy [{prefix}]")


def _finish(axis: Axes, across: str, up: str) -> None:
    """Axes: times by their ratios, with room for names on the left, and energies from nothing."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(low * (low / high) ** 0.3, high)
    axis.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.3)


def _key(axis: Axes, options: Sequence[FleetOption]) -> None:
    """What colours, marks and lines mean, as curves without points."""
    for place, gpu in enumerate(_gpus_of(options)):
        axis.plot([], [], "o", color=_COLOURS[place % len(_COLOURS)], label=printable(gpu))
    for place, count in enumerate(_counts_of(options)):
        mark = _MARKERS[place % len(_MARKERS)]
        text = "1 GPU" if count == 1 else f"{count} GPUs"
        axis.plot([], [], mark, color="black", linestyle="none", label=f"{text} a replica")
    if any(option.basis.dtype in QUANTIZED_BYTES for option in options):
        axis.plot([], [], "o", color="black", fillstyle="none", label="weights in fp8, int4")
    axis.plot([], [], color="black", linewidth=1, label="nothing beats it in both")


def _size_of(most_j: float) -> tuple[float, str]:
    """The unit that suits an energy: its size [J] and its name."""
    sizes = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"))
    return next(((size, unit) for size, unit in sizes if most_j >= size), (1.0, "J"))


def _gpus_of(options: Sequence[FleetOption]) -> list[str]:
    return sorted({option.basis.gpu for option in options})


def _counts_of(options: Sequence[FleetOption]) -> list[int]:
    return sorted({option.basis.gpus for option in options})
