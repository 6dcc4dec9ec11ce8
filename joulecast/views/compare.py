"""What `joulecast compare` shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from joulecast.estimator.compare import ComparedTable, Comparison
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.ideal import Ideal
from joulecast.views.answers import plain
from joulecast.views.answers.compare import (
    compare_answer,
    saving_ends,
    saving_form,
    saving_number,
    saving_text,
)
from joulecast.views.answers.estimate import scope_text
from joulecast.views.estimate import (
    IDEAL_LABELS,
    basis_text,
    coverage_text,
    csv_row,
    deviation_text,
    rate_note,
    requests_text,
    served_text,
    told_text,
    trace_text,
)
from joulecast.views.footprint import facility_figures, facility_notes, facility_text
from joulecast.views.numbers import energy_ends, joules, reading_facts
from joulecast.views.online.serving import (
    OFFLINE_TEXT,
    cached_notes,
    limits_facts,
    serving_text,
    waiting_text,
)
from joulecast.views.parts import Bar, add_row, facts_table, grid_table, notes_text, title_text
from joulecast.views.report import Report
from joulecast.views.steps import interval_note

if TYPE_CHECKING:
    from joulecast.estimator.unit_prices.model import Served

SAVING_NOTE = (
    "Ranges are 95 % intervals, which the bars show, too; figures per request and per token are as "
    "certain as the energy. The interval of a saving takes the errors of the two estimates as "
    "independent."
)


def serving_lines(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """How the requests were served: once, where all were there; else by each."""
    if estimates[0].serving is None:
        return [("serving", OFFLINE_TEXT)]
    return [
        ("serving", f"{serving_text(estimate)}; {waiting_text(estimate)}: {estimate.table}")
        for estimate in estimates
    ]


def compare_report(comparison: Comparison, tables: "Sequence[Served]") -> Report:
    """`joulecast compare`; `tables` in the comparison's order."""
    estimates = [compared.estimate for compared in comparison.tables]
    first = estimates[0]
    facts = [
        ("scope", scope_text(first)),
        ("trace", trace_text(first)),
        *reading_facts(first.reading),
        ("method", first.method_text),
        *limits_facts(first),
        *serving_lines(estimates),
        ("requests", requests_text(first)),
    ]
    if first.facility is not None:
        facts.append(("facility", facility_text(first.facility)))
    facts += [
        ("coverage", f"{coverage_text(estimate)}: {served_text(table)}")
        for estimate, table in zip(estimates, tables, strict=True)
    ]
    facts += [*basis_lines(estimates), *card_lines(estimates)]
    notes = [rate_note(estimate, f"{estimate.table}: ") for estimate in estimates]
    notes += [interval_note(first)] if first.interval_j is None else [SAVING_NOTE]
    notes += other_requests_notes(comparison)
    notes += dict.fromkeys(note for estimate in estimates for note in cached_notes(estimate))
    notes += facility_notes(first.facility)
    view = Group(
        title_text("\n".join(map(plain, compare_answer(comparison)))),
        "",
        facts_table(facts),
        _figures_view(comparison),
        *_footprints_view(estimates),
        *_bars_view(comparison),
        notes_text(notes),
    )
    rows = [csv_row(compared.to_dict()) for compared in comparison.tables]
    return Report(comparison.to_dict(), rows, view)


def basis_lines(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """What the estimates stand on: once, where that is the same words for all."""
    texts = [basis_text(estimate) for estimate in estimates]
    if len(set(texts)) == 1:
        return [("basis", texts[0])]
    return [("basis", f"{text}: {each.table}") for text, each in zip(texts, estimates, strict=True)]


def card_lines(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """The very card that serves, once, and how far it lies from its kind, by each."""
    cards = [(each.own_card, each.table) for each in estimates if each.own_card is not None]
    return [
        *(("card", f"{card.card}: {told_text(card)}") for card, _ in cards[:1]),
        *(("card", f"{deviation_text(card)}: {table}") for card, table in cards),
    ]


def other_requests_notes(comparison: Comparison) -> list[str]:
    """Which estimates are of other requests than the first, so that nothing can be saved."""
    first, *others = (compared.estimate for compared in comparison.tables)
    return [
        f"{other.table}: {other.requests['estimated']:,} requests are estimated, and "
        f"{first.requests['estimated']:,} of the first, since their models have positions for "
        "other lengths; so neither saves over the other."
        for other in others
        if other.estimated_tokens != first.estimated_tokens
    ]


def ideal_names(comparison: Comparison) -> list[Ideal]:
    """The ideals that some estimate has: a data sheet may lack the sparse peak."""
    names = dict.fromkeys(name for each in comparison.tables for name in each.estimate.ideal_j)
    return [name for name in IDEAL_LABELS if name in names]


def _excess_text(estimate: Estimate, name: Ideal) -> str:
    """How far an estimate lies above an ideal, if it has it."""
    if name not in estimate.excess_percent:
        return "-"
    return f"{estimate.excess_percent[name]:,.1f} %"


def saving_lines(comparison: Comparison, compared: ComparedTable) -> list[str]:
    """What a table saves over the first, and the interval of that; nothing for the first."""
    if compared is comparison.tables[0]:
        return [""]
    if compared.saving_percent is None:
        return ["other requests"]
    saving = compared.saving_percent
    form = saving_form(saving)
    if form == "times":
        lines = [saving_number(saving, form), "as much"]
    else:
        lines = [saving_number(saving, form) if form == "less" else saving_text(saving)]
    if (ends := saving_ends(compared)) is not None:
        lines += [f"{ends[0][1]} to", ends[1][1]]
    return lines


def energy_lines(estimate: Estimate) -> list[str]:
    """An energy, and below it its interval."""
    lines = [joules(estimate.energy_j)]
    if estimate.interval_j is not None:
        low, high = energy_ends(*estimate.interval_j)
        lines += [f"{low} to", high]
    return lines


def _figures_view(comparison: Comparison) -> Table:
    """The figures of every table, in the order in which they were given."""
    view = grid_table()
    view.collapse_padding = True
    view.add_column("table")
    for heading in ("energy", "J per\nrequest", "J per\noutput\ntoken"):
        view.add_column(heading, justify="right")
    ideals = ideal_names(comparison)
    for name in ideals:
        view.add_column(f"above\n{name}\nideal", justify="right")
    view.add_column("saving\nover the\nfirst", justify="right")
    for compared in comparison.tables:
        estimate = compared.estimate
        add_row(
            view,
            estimate.table,
            energy_lines(estimate),
            f"{estimate.joules_per_request:#,.4g}",
            f"{estimate.joules_per_output_token:#,.4g}",
            *(_excess_text(estimate, name) for name in ideals),
            saving_lines(comparison, compared),
        )
    return view


def _footprints_view(estimates: Sequence[Estimate]) -> list[Table]:
    """Facility energy, carbon and cost of every table, where they were asked for."""
    names = facility_figures(estimates[0])
    if not names:
        return []
    view = grid_table()
    view.add_column("table")
    for name in names:
        view.add_column(name, justify="right")
    for estimate in estimates:
        add_row(view, estimate.table, *facility_figures(estimate).values())
    return [view]


def _bars_view(comparison: Comparison) -> list[Table]:
    """Energies as bars from zero, the least first; nothing to see for one table alone."""
    if len(comparison.tables) < 2:
        return []
    estimates = [compared.estimate for compared in comparison.ranked]
    longest_j = max((estimate.interval_j or (0, estimate.energy_j))[1] for estimate in estimates)
    view = grid_table()
    view.add_column("ranked")
    view.add_column("energy")
    view.add_column("", justify="right")
    for estimate in estimates:
        low_j, high_j = estimate.interval_j or (estimate.energy_j, estimate.energy_j)
        bar = Bar(low_j / longest_j, estimate.energy_j / longest_j, high_j / longest_j)
        add_row(view, estimate.table, bar, joules(estimate.energy_j))
    return [view]
