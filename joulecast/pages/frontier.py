"""The pictures of a plan's page: energy against what requests wait for."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from joulecast.estimator.over_time.durations import duration, moment
from joulecast.estimator.over_time.serving import LATENCIES, Objective
from joulecast.estimator.planning.fleets import FleetOption
from joulecast.estimator.planning.frontier import frontier, wait_of
from joulecast.estimator.planning.result import FleetPlan
from joulecast.pages.figures import COLOURS, STYLE, energy_unit, figure_of, svg_of
from joulecast.views.numbers import joules
from joulecast.views.planning.answer import fleet_text

_HEIGHT_INCHES = 3.6
_MOST_NUMBERED = 12
"""Of so many options each has its number beside it; of more, those that nothing beats."""
_LOG_RATIO = 4
"""Times that differ more are drawn by their ratios."""


@dataclass(frozen=True)
class FrontierFigure:
    """A picture of energy against waiting, and what it shows in words.

    Attributes:
        svg: The picture.
        text: Which options nothing beats in both, with their values.
    """

    svg: Markup
    text: str


def frontier_figures(plan: FleetPlan) -> list[FrontierFigure]:
    """A picture for each bound, or of the time that a batch job takes; none of fewer than two."""
    if len(plan.options) < 2:
        return []
    figures = [
        _figure(plan, objective, f"frontier{chr(ord('a') + number)}")
        for number, objective in enumerate(plan.objectives or (None,))
    ]
    return [figure for figure in figures if figure is not None]


def _figure(plan: FleetPlan, objective: Objective | None, name: str) -> FrontierFigure | None:
    """One of them; None where no request waits, such as for a second token of one."""
    wait_s = wait_of(objective)
    if min(map(wait_s, plan.options)) <= 0:
        return None
    what, show = "time to finish", duration
    if objective is not None:
        what, show = f"{LATENCIES[objective.latency]}, {objective.quantile}", moment
    line = frontier(plan.options, wait_s)
    places = {option.spec: place for place, option in enumerate(plan.options, 1)}
    values = "; ".join(
        f"{places[option.spec]}. {fleet_text(option)} ({show(wait_s(option))}, "
        f"{joules(option.energy_j)})"
        for option in line
    )
    text = f"Nothing beats in both energy and {what}: {values}."
    with matplotlib.rc_context(STYLE):
        figure, axis = figure_of(_HEIGHT_INCHES)
        _draw(axis, plan.options, line, objective, what)
        return FrontierFigure(svg_of(figure, name, f"Energy against {what}. {text}"), text)


def _draw(
    axis: Axes,
    options: Sequence[FleetOption],
    line: Sequence[FleetOption],
    objective: Objective | None,
    what: str,
) -> None:
    """Every option with its interval, a line through those that nothing beats, and the bound."""
    wait_s = wait_of(objective)
    bounds_s = [] if objective is None else [objective.seconds]
    times_s = [*map(wait_s, options), *bounds_s]
    scale, unit = (1000.0, "ms") if max(times_s) < 1 else (1.0, "s")
    size_j, energy_name = energy_unit(max(option.interval_j[1] for option in options))
    for place, option in enumerate(options, 1):
        across, up = scale * wait_s(option), option.energy_j / size_j
        is_best = option in line
        colour = COLOURS["first" if is_best else "third"]
        ends = [end_j / size_j for end_j in option.interval_j]
        axis.plot([across, across], ends, color=colour, linewidth=1.2)
        if not is_best:
            axis.plot(across, up, "o", color=colour, markersize=6)
        if is_best or len(options) <= _MOST_NUMBERED:
            offset, side = ((-5, -5), "right") if is_best else ((5, 4), "left")
            axis.annotate(str(place), (across, up), offset, textcoords="offset points", ha=side,
                          va="top" if is_best else "bottom")  # fmt: skip
    axis.plot(
        [scale * wait_s(option) for option in line],
        [option.energy_j / size_j for option in line],
        "o-",
        color=COLOURS["first"],
        markersize=6,
        linewidth=1.5,
        label="nothing beats it in both",
    )
    for bound_s in bounds_s:
        axis.axvline(scale * bound_s, color=COLOURS["ink"], linestyle="--", linewidth=1.2,
                     label="bound")  # fmt: skip
    if max(times_s) > _LOG_RATIO * min(times_s):
        _by_ratios(axis)
    else:
        axis.margins(x=0.12)
    axis.set_ylim(0, 1.05 * max(option.interval_j[1] for option in options) / size_j)
    axis.set_xlabel(f"{what} [{unit}]")
    axis.set_ylabel(f"energy [{energy_name}]")
    axis.grid(visible=True)
    axis.set_axisbelow(True)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False,
                borderaxespad=0.2, handlelength=1.6)  # fmt: skip


def _by_ratios(axis: Axes) -> None:
    """Times on a logarithmic scale, written as numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.minorticks_off()
    axis.margins(x=0.12)
