"""`joulecast compare --html`: several tables side by side, as a page to look at and to send on."""

from collections.abc import Sequence
from pathlib import Path

from joulecast.estimator.compare import Comparison
from joulecast.measurements.table.table import EnergyTable
from joulecast.pages.estimate import estimate_warnings, length_figures
from joulecast.pages.figures import Bar, energy_bars
from joulecast.pages.page import (
    Numbers,
    document_script,
    for_readers,
    provenance,
    render,
    source_facts,
    table_facts,
)
from joulecast.traces.files import write_text
from joulecast.traces.load import LoadedTrace
from joulecast.views.estimate import (
    SAVING_NOTE,
    facility_notes,
    facility_text,
    rate_note,
    trace_text,
)


def write_compare_page(
    path: Path,
    comparison: Comparison,
    tables: Sequence[EnergyTable],
    loaded: LoadedTrace,
    command: str,
) -> None:
    """Write the page of a comparison, whole or not at all.

    Args:
        path: File to write.
        comparison: What was found.
        tables: What it was found from, in the same order.
        loaded: The trace, with its lengths counted if they are known.
        command: How to make the page again.

    Raises:
        InputError: The file cannot be written.
    """
    write_text(path, compare_page(comparison, tables, loaded, command))


def compare_page(
    comparison: Comparison, tables: Sequence[EnergyTable], loaded: LoadedTrace, command: str
) -> str:
    """The page as a text; arguments as for `write_compare_page`."""
    document = comparison.to_dict()
    first = comparison.tables[0].estimate
    has_intervals = first.interval_j is not None
    ranking = sorted(
        range(len(comparison.tables)), key=lambda k: comparison.tables[k].estimate.energy_j
    )
    warnings: dict[str, None] = {}
    for one, table in zip(comparison.tables, tables, strict=True):
        warnings |= dict.fromkeys(estimate_warnings(one.estimate, table))
    return render(
        "compare.html.j2",
        document=document,
        n=Numbers(document),
        script=document_script(document),
        trace=trace_text(first),
        facility="" if first.facility is None else facility_text(first.facility),
        ranking=ranking,
        has_intervals=has_intervals,
        ranked_figure=energy_bars(
            [
                Bar(one.estimate.table, one.estimate.energy_j, "first", one.estimate.interval_j)
                for one in comparison.ranked
            ],
            "ranked",
            "Energy by each table, the least first",
        ),
        notes=for_readers(list(warnings)),
        rate_notes=[
            rate_note(one.estimate, f"{one.estimate.table}: ") for one in comparison.tables
        ],
        length_figures=length_figures(first, tables[0], loaded),
        meaning=[*([SAVING_NOTE] if has_intervals else []), *facility_notes(first.facility)],
        all_table_facts=[table_facts(table) for table in tables],
        source_facts=source_facts(loaded.workload),
        provenance=provenance(command),
    )
