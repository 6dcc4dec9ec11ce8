"""What `joulecast plan` shows."""

from rich.console import Group
from rich.table import Table

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.over_time.durations import duration, moment
from joulecast.estimator.over_time.serving import Objective
from joulecast.estimator.planning.embodied import embodied_carbon
from joulecast.estimator.planning.fleets import FleetOption
from joulecast.estimator.planning.result import FleetPlan
from joulecast.traces.html import html_table
from joulecast.views.estimate import LINKS_NOTE, requests_text, trace_text
from joulecast.views.footprint import facility_notes, facility_text
from joulecast.views.numbers import joules, money, percent, reading_facts, three_digits
from joulecast.views.online.serving import cached_notes
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text, title_text
from joulecast.views.planning.answer import answer_lines, cost_text
from joulecast.views.report import Report

_NEAR_PERCENT = 15.0
LATENCY_NOTE = (
    "Bounds are held against latencies as simulated. Of 100 metered runs, the forecast 99th "
    "percentile of the time to first token was within 15 % in 84, 15 to 19 % too long in three, "
    "and 16 to 36 % too short in eleven and 41 and 51 % in two."
)
MEAN_POWER_TEXT = "that energy over that time, to compare other traffic by: 1 kW is 3.6 MJ an hour"
OPEN_NOTE = (
    "~: its interval overlaps that of the row above, which it might precede. Errors that two "
    "options share (a card, its prices) make that rarer than the intervals say."
)


def plan_report(plan: FleetPlan) -> Report:
    """`joulecast plan`."""
    view = Group(
        title_text("\n".join(answer_lines(plan))),
        "",
        facts_table(plan_facts(plan)),
        *([_options_view(plan)] if plan.options else []),
        *([_others_view(plan)] if plan.not_planned else []),
        notes_text(plan_notes(plan)),
    )
    return Report(plan.to_dict(), plan.rows(), view)


def plan_html(plan: FleetPlan) -> str:
    """A plan as a table, the best first, below its answer."""
    head = ("option", "GPUs", "energy", "95 % interval", "cost", "basis")
    rows = [
        (
            option.name,
            " ".join(fleet_lines(option)),
            joules(option.energy_j),
            " to ".join(map(joules, option.interval_j)),
            _cost_cell(option),
            option.basis.kind,
        )
        for option in plan.options
    ]
    others = [(other.spec, other.lack, other.reason) for other in plan.not_planned]
    answer = html_table((" ".join(answer_lines(plan)),), [])
    table = html_table(head, rows) if rows else ""
    return answer + table + (html_table(("not in the plan", "", "why"), others) if others else "")


def _cost_cell(option: FleetOption) -> str:
    """What a fleet costs, and the interval of that."""
    ends, currency = option.cost_interval, option.terms.currency
    if ends is None:
        return cost_text(option)
    return f"{cost_text(option)} ({money(ends[0], None)} to {money(ends[1], currency)})"


def plan_facts(plan: FleetPlan) -> list[tuple[str, str]]:
    """What was asked, of which requests."""
    facts = [("trace", plan.trace)]
    first = plan.options[0].estimate if plan.options else None
    if first is not None:
        facts = [("trace", trace_text(first))]
    facts += reading_facts(plan.reading)
    if plan.models:
        facts.append(("models" if len(plan.models) > 1 else "model", ", ".join(plan.models)))
    if first is not None:
        facts += [("requests", requests_text(first)), ("serving", serving_line(first))]
    if plan.thinning is not None:
        facts.append(("what if", plan.thinning.text))
    if plan.objectives:
        facts.append(("in time", ", ".join(objective.text for objective in plan.objectives)))
    if first is not None:
        facts.append(("energy", f"of {plan.scope}"))
    if first is not None and first.serving is not None:
        facts.append(("mean W", MEAN_POWER_TEXT))
    return [*facts, *terms_facts(plan)]


def serving_line(estimate: Estimate) -> str:
    """When the requests come."""
    serving = estimate.serving
    if serving is None:
        return "offline, all requests at once: a batch job"
    return f"online, requests {serving.how}: over {duration(serving.arrivals_s)}"


def terms_facts(plan: FleetPlan) -> list[tuple[str, str]]:
    """Prices and carbon, as they were given."""
    terms = plan.terms
    facts = []
    if terms.facility is not None:
        facts.append(("facility", facility_text(terms.facility)))
    if terms.gpu_prices:
        prices = (f"{gpu} {money(p, terms.currency)}" for gpu, p in terms.gpu_prices.items())
        facts.append(("GPU hours", ", ".join(prices)))
    if terms.lifetime_years is not None:
        years = f"{terms.lifetime_years:g} years of use, day and night"
        facts.append(("embodied", f"what making the cards emitted, by their hours of {years}"))
    return facts


def plan_notes(plan: FleetPlan) -> list[str]:
    """What a reader has to know of the figures of a plan; nothing where there are none."""
    if not plan.options:
        return []
    notes = []
    estimates = [option.estimate for option in plan.options]
    if len(plan.options) > 1:
        notes.append(OPEN_NOTE)
    if plan.objectives:
        notes.append(LATENCY_NOTE + _near_text(plan))
    models = sorted({option.basis.model for option in plan.options})
    if len(models) > 1:
        notes.append(f"Options are of several models, whose answers differ: {', '.join(models)}.")
    if any(each.basis.gpus > 1 and each.basis.kind == "gpu scaled" for each in plan.options):
        notes.append(LINKS_NOTE)
    notes += dict.fromkeys(note for estimate in estimates for note in cached_notes(estimate))
    notes += facility_notes(plan.terms.facility)
    return [*notes, *_price_notes(plan), *_embodied_notes(plan)]


def _near_text(plan: FleetPlan) -> str:
    """Which options come close to a bound."""
    near = [
        option.name
        for option in plan.options
        if (option.headroom_percent(plan.objectives) or 0.0) < _NEAR_PERCENT
    ]
    return f" Closer than 15 % to a bound: {'; '.join(near)}." if near else ""


def _price_notes(plan: FleetPlan) -> list[str]:
    terms = plan.terms
    if not terms.gpu_prices:
        return []
    without = {option.basis.gpu for option in plan.options} - terms.gpu_prices.keys()
    notes = [f"No price of an hour: {', '.join(sorted(without))}."] if without else []
    if terms.facility is not None and terms.facility.price is not None:
        both = "Cost is the hours of the GPUs and their electricity together; its interval is that"
        return [*notes, f"{both} of the electricity, since the hours have none."]
    return [*notes, "Cost is the hours of the GPUs, which have no interval."]


def _embodied_notes(plan: FleetPlan) -> list[str]:
    """Where figures of embodied carbon are from, and which cards have none."""
    if plan.terms.lifetime_years is None:
        return []
    figures = embodied_carbon()
    has_figures = any(option.embodied_g is not None for option in plan.options)
    gpus = sorted({option.basis.gpu for option in plan.options})
    notes = [
        f"Embodied carbon of {gpu}: {figure.kg_co2e:g} kgCO2e a card, {figure.scope} "
        f"({figure.source})."
        for gpu in gpus
        if (figure := figures.get(gpu)) is not None
    ]
    if has_figures:
        notes.append("Embodied carbon has no interval: its sources tell none, nor have hours one.")
    if without := [gpu for gpu in gpus if gpu not in figures]:
        notes.append(f"No published figure of embodied carbon is known of: {', '.join(without)}.")
    return notes


def _options_view(plan: FleetPlan) -> Table:
    """The fleets that serve it in time, the best first."""
    view = grid_table()
    view.collapse_padding = True
    view.add_column("", no_wrap=True)
    view.add_column("option")
    for heading in (
        "GPUs",
        "energy",
        *_power_headings(plan),
        *_terms_headings(plan),
        *_wait_headings(plan),
    ):
        view.add_column(heading, justify="right")
    view.add_column("basis")
    above: FleetOption | None = None
    for place, option in enumerate(plan.options, 1):
        is_open = above is not None and option.might_change_places(above, plan.by)
        estimate = option.estimate
        add_row(
            view,
            f"{'~' if is_open else ''}{place}",
            option.name,
            fleet_lines(option),
            [joules(option.energy_j), f"± {estimate.interval_percent or 0:.1f} %"],
            _power_lines(option),
            *_terms_cells(option, plan),
            *option_waits(option, plan),
            option.basis.kind,
        )
        above = option
    return view


def fleet_lines(option: FleetOption) -> list[str]:
    """How many GPUs, and how they are grouped where there are several replicas."""
    if option.replicas == 1:
        return [f"{option.gpus:,}"]
    return [f"{option.gpus:,}", f"{option.replicas:,} x {option.basis.gpus:,}"]


def _power_headings(plan: FleetPlan) -> list[str]:
    """Mean power, and how much of the time the fleet is busy."""
    return ["mean W\nbusy"] if plan.objectives else ["mean W"]


def _power_lines(option: FleetOption) -> list[str]:
    serving = option.estimate.serving
    watts = f"{option.estimate.mean_power_w or 0:,.0f}"
    return [watts] if serving is None else [watts, percent(serving.busy_share)]


def _terms_headings(plan: FleetPlan) -> list[str]:
    """Money, and carbon of electricity and of making the cards, where they were asked for."""
    headings = [f"cost\n{plan.terms.currency or ''}"] if plan.terms.has_prices else []
    return [*headings, *(["\n".join(lines)] if (lines := _carbon_headings(plan)) else [])]


def _carbon_headings(plan: FleetPlan) -> list[str]:
    facility = plan.terms.facility
    carbon = None if facility is None else facility.carbon
    if plan.terms.lifetime_years is None:
        return [] if carbon is None else [f"g{carbon.gas}"]
    return ["making", "gCO2e"] if carbon is None else [f"g{carbon.gas}", "+ making"]


def _terms_cells(option: FleetOption, plan: FleetPlan) -> list[list[str]]:
    cells = []
    if plan.terms.has_prices:
        ends = option.cost_interval
        cells.append([cost_text(option, ""), *_spread_lines(option.cost, ends)])
    headings = _carbon_headings(plan)
    if not headings:
        return cells
    embodied_g = option.embodied_g
    making = "-" if embodied_g is None else three_digits(embodied_g)
    if option.carbon_g is None:
        return [*cells, [making]]
    carbon = [
        three_digits(option.carbon_g),
        *_spread_lines(option.carbon_g, option.carbon_interval_g),
    ]
    return [*cells, carbon if len(headings) == 1 else [*carbon, f"+ {making}"]]


def _spread_lines(value: float | None, ends: tuple[float, float] | None) -> list[str]:
    """How far the upper end of an interval lies above a value, as of energies; nothing without."""
    return [f"± {percent(ends[1] / value - 1)}"] if value and ends is not None else []


def _wait_headings(plan: FleetPlan) -> list[str]:
    """What requests wait for, or how long a batch job takes."""
    if not plan.objectives:
        return ["finished\nafter"]
    return [heading_of(objective) for objective in plan.objectives]


def heading_of(objective: Objective) -> str:
    """What an objective bounds, in two lines."""
    return f"{objective.latency}\n{objective.quantile}"


def option_waits(option: FleetOption, plan: FleetPlan) -> list[str]:
    """How long requests wait by each bound, or how long a batch job takes."""
    serving = option.estimate.serving
    if serving is None:
        return [duration(option.span_s)]
    return [
        moment(objective.seconds * objective.share_of(serving.latencies))
        for objective in plan.objectives
    ]


def _others_view(plan: FleetPlan) -> Table:
    """What was asked for and does not serve the trace in time."""
    view = grid_table()
    view.add_column("not in the plan")
    view.add_column("")
    view.add_column("why")
    for other in plan.not_planned:
        add_row(view, other.spec, other.lack, other.reason)
    return view
