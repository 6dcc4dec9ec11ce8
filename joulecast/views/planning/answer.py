"""A plan's answer in sentences."""

from collections.abc import Sequence

from joulecast.estimator.planning.fleets import FleetOption, Goal
from joulecast.estimator.planning.result import FleetPlan
from joulecast.views.numbers import joules, money

_MOST_NAMED = 3


def fleet_text(option: FleetOption) -> str:
    """A fleet in a few words."""
    if option.replicas == 1:
        return option.name
    return f"{option.replicas:,} replicas of {option.name}"


def cost_text(option: FleetOption, currency: str | None = None) -> str:
    """What a fleet costs, in short, in the currency of its prices unless another name is given."""
    cost = option.cost
    shown = option.terms.currency if currency is None else currency
    return "-" if cost is None else money(cost, shown)


def answer_lines(plan: FleetPlan) -> list[str]:
    """Which options win, and whether that is certain; a sentence each."""
    if not plan.options:
        is_partial = any(other.lack == "not estimated" for other in plan.not_planned)
        which = "deployments that could be estimated" if is_partial else "deployments"
        return [f"None of these {which} serves the trace{' in time' if plan.objectives else ''}."]
    winners: dict[str, list[str]] = {}
    for goal in plan.goals:
        best = plan.best(goal)
        if best is not None:
            verb = "serves" if best.replicas == 1 else "serve"
            winners.setdefault(f"{fleet_text(best)} {verb}", []).append(_won(plan, best, goal))
    how = "in time " if plan.objectives else ""
    lines = [f"{who} the trace {how}with {_listed(won)}." for who, won in winners.items()]
    return [*lines, *(text for goal in plan.goals if (text := _doubt(plan, goal)))]


def _won(plan: FleetPlan, option: FleetOption, goal: Goal) -> str:
    """What a winner has least of."""
    if goal == "gpus":
        return f"the fewest GPUs ({option.gpus:,})"
    if goal == "cost":
        have_all = all(each.cost is not None for each in plan.options)
        whose = "" if have_all else " of those with a price"
        return f"the least cost{whose} ({cost_text(option)})"
    low, high = map(joules, option.interval_j)
    return f"the least energy ({joules(option.energy_j)}, 95 %: {low} to {high})"


def _doubt(plan: FleetPlan, goal: Goal) -> str:
    """Who else might be first, as far as the intervals tell; nothing if nobody."""
    rivals = plan.rivals(goal)
    if not rivals:
        return ""
    named = [fleet_text(option) for option in rivals[:_MOST_NAMED]]
    if more := len(rivals) - len(named):
        named.append(f"{more} more")
    what = (
        "of the fewest GPUs takes the least energy" if goal == "gpus" else f"has the least {goal}"
    )
    return f"Which {what} is not certain: intervals overlap ({'; '.join(named)})."


def _listed(texts: Sequence[str]) -> str:
    """Texts with commas and an "and"."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
