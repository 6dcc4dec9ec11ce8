"""What results show of themselves in a notebook."""

from joulecast.estimator.compare import Comparison
from joulecast.estimator.estimate import Estimate
from joulecast.traces.html import html_table
from joulecast.views.answers import plain
from joulecast.views.answers.compare import compare_answer
from joulecast.views.answers.estimate import estimate_answer, scope_text
from joulecast.views.compare import card_lines, saving_lines
from joulecast.views.estimate import (
    basis_text,
    card_facts,
    coverage_text,
    requests_text,
    trace_text,
)
from joulecast.views.footprint import facility_facts, facility_figures
from joulecast.views.numbers import joules, kwh
from joulecast.views.online.serving import serving_facts, serving_text
from joulecast.views.parts import Cell
from joulecast.views.steps import interval_facts, interval_note, interval_text


def estimate_html(estimate: Estimate) -> str:
    """An estimate as a small table."""
    return html_table(
        ("", ""),
        [
            ("answer", plain(estimate_answer(estimate, trace_text(estimate)))),
            ("scope", scope_text(estimate)),
            ("trace", trace_text(estimate)),
            ("table", estimate.table),
            ("basis", basis_text(estimate)),
            *card_facts(estimate),
            ("method", estimate.method_text),
            ("serving", serving_text(estimate)),
            ("requests", requests_text(estimate)),
            ("GPU energy", f"{joules(estimate.energy_j)} = {kwh(estimate.energy_kwh)}"),
            *interval_facts(estimate),
            *serving_facts(estimate),
            ("per request", joules(estimate.joules_per_request)),
            ("per output token", joules(estimate.joules_per_output_token)),
            ("per 1,000 tokens", joules(estimate.joules_per_1000_tokens)),
            *facility_facts(estimate),
            *(
                (f"above the {name} ideal", f"{excess:,.1f} %")
                for name, excess in estimate.excess_percent.items()
            ),
            ("coverage", coverage_text(estimate)),
            *([] if estimate.interval_j else [("remark", interval_note(estimate))]),
        ],
    )


def comparison_html(comparison: Comparison) -> str:
    """A comparison as a table, the least energy first."""
    first = comparison.tables[0].estimate
    rows = []
    for compared in comparison.ranked:
        estimate = compared.estimate
        rows.append(
            (
                estimate.table,
                joules(estimate.energy_j),
                interval_text(estimate),
                joules(estimate.joules_per_request),
                joules(estimate.joules_per_output_token),
                " ".join(saving_lines(comparison, compared)),
                "not told" if estimate.basis is None else estimate.basis.kind,
                *(
                    Cell(lines).on_one_line().lines[0]
                    for lines in facility_figures(estimate).values()
                ),
            )
        )
    head = (
        "table",
        "energy",
        "95 % interval",
        "per request",
        "per output token",
        "saving",
        "basis",
    )
    about = f"{trace_text(first)}, {first.method_text}, {serving_text(first)}; {scope_text(first)}"
    answer = " ".join(map(plain, compare_answer(comparison)))
    cards = card_lines([compared.estimate for compared in comparison.tables])
    title = html_table((answer,), [(about,), *((text,) for _, text in cards)])
    return title + html_table((*head, *facility_figures(first)), rows)
