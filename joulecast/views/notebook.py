"""What results show of themselves in a notebook."""

from joulecast.estimator.compare import Comparison
from joulecast.estimator.estimate import Estimate
from joulecast.traces.html import html_table
from joulecast.views.report import joules, kwh


def estimate_html(estimate: Estimate) -> str:
    """An estimate as a small table."""
    from joulecast.views.estimate import (
        coverage_text,
        facility_facts,
        requests_text,
        trace_text,
    )
    from joulecast.views.steps import interval_facts

    return html_table(
        ("", ""),
        [
            ("trace", trace_text(estimate)),
            ("table", estimate.table),
            ("method", estimate.method),
            ("requests", requests_text(estimate)),
            ("GPU energy", f"{joules(estimate.energy_j)} = {kwh(estimate.energy_kwh)}"),
            *interval_facts(estimate),
            ("per request", joules(estimate.joules_per_request)),
            ("per output token", joules(estimate.joules_per_output_token)),
            ("per 1,000 tokens", joules(estimate.joules_per_1000_tokens)),
            *facility_facts(estimate),
            *(
                (f"above the {name} ideal", f"{excess:,.1f} %")
                for name, excess in estimate.excess_percent.items()
            ),
            ("coverage", coverage_text(estimate.coverage)),
        ],
    )


def comparison_html(comparison: Comparison) -> str:
    """A comparison as a table, the least energy first."""
    from joulecast.views.estimate import facility_facts, saving_text, trace_text
    from joulecast.views.steps import interval_text

    places = {id(one): place for place, one in enumerate(comparison.tables)}
    first = comparison.tables[0].estimate
    labels = [label for label, _ in facility_facts(first)]
    rows = []
    for one in comparison.ranked:
        estimate = one.estimate
        rows.append(
            (
                estimate.table,
                joules(estimate.energy_j),
                interval_text(estimate),
                joules(estimate.joules_per_request),
                joules(estimate.joules_per_output_token),
                saving_text(comparison, places[id(one)]).replace("\n", " "),
                *(value.partition(" (")[0] for _, value in facility_facts(estimate)),
            )
        )
    head = ("table", "energy", "95 % interval", "per request", "per output token", "saving")
    title = html_table((f"{trace_text(first)}, {first.method}",), [])
    return title + html_table((*head, *labels), rows)
