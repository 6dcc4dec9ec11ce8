"""`joulecast plan --html`: what serves a trace in time, as a page to look at and to send on."""

from pathlib import Path

from joulecast.estimator.planning.result import FleetPlan
from joulecast.pages.figures import MOST_BARS, Bar, energy_bars
from joulecast.pages.frontier import frontier_figures
from joulecast.pages.page import Numbers, document_script, provenance, render
from joulecast.traces.files import write_text
from joulecast.views.planning.answer import answer_lines, fleet_text
from joulecast.views.planning.plan import (
    OPEN_NOTE,
    fleet_lines,
    heading_of,
    option_waits,
    plan_facts,
    plan_notes,
)


def write_plan_page(path: Path, plan: FleetPlan, command: str, title: str = "") -> None:
    """Write the page of a plan, whole or not at all.

    Args:
        path: File to write.
        plan: The plan.
        command: How to make the page again.
        title: What stands above it; the answer alone if that is empty.

    Raises:
        InputError: The file cannot be written.
    """
    write_text(path, plan_page(plan, command, title))


def plan_page(plan: FleetPlan, command: str, title: str = "") -> str:
    """The page as a text; arguments as for `write_plan_page`."""
    document = plan.to_dict()
    drawn = plan.ranked("energy")[:MOST_BARS]
    bars = [
        Bar(fleet_text(option), option.energy_j, "first", option.interval_j) for option in drawn
    ]
    return render(
        "plan.html.j2",
        title=title,
        document=document,
        n=Numbers(document),
        script=document_script(document),
        answer=answer_lines(plan),
        facts=plan_facts(plan),
        names=[option.name for option in plan.options],
        fleets=[fleet_lines(option) for option in plan.options],
        bases=[option.basis.kind for option in plan.options],
        bounds=[" ".join(heading_of(each).split("\n")) for each in plan.objectives],
        waits=[option_waits(option, plan) for option in plan.options],
        spreads=[option.cost_interval is not None for option in plan.options],
        has_costs=plan.terms.has_prices,
        figure=energy_bars(bars, "plan", "Energy of each option, the least first") if bars else "",
        frontiers=frontier_figures(plan),
        left_out=len(plan.options) - len(drawn),
        notes=[note for note in plan_notes(plan) if note != OPEN_NOTE],
        provenance=provenance(command),
    )
