"""`joulecast compare --html`: several tables side by side, as a page to look at and to send on."""

from collections.abc import Sequence
from pathlib import Path

from joulecast.estimator.compare import ComparedTable, Comparison
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.unit_prices.model import Served
from joulecast.pages.estimate import estimate_warnings, length_figures
from joulecast.pages.figures import Bar, energy_bars
from joulecast.pages.page import (
    Numbers,
    document_script,
    provenance,
    render,
    served_facts,
    source_facts,
)
from joulecast.traces.files import write_text
from joulecast.traces.load import LoadedTrace
from joulecast.views.answers.compare import SavingForm, compare_answer, saving_form
from joulecast.views.answers.estimate import scope_text
from joulecast.views.compare import (
    SAVING_NOTE,
    basis_lines,
    card_lines,
    ideal_names,
    other_requests_notes,
    serving_lines,
)
from joulecast.views.estimate import rate_note, trace_text
from joulecast.views.footprint import facility_notes, facility_text
from joulecast.views.online.serving import limits_facts


def write_compare_page(
    path: Path,
    comparison: Comparison,
    tables: Sequence[Served],
    loaded: LoadedTrace,
    command: str,
    title: str = "",
) -> None:
    """Write the page of a comparison, whole or not at all.

    Args:
        path: File to write.
        comparison: The comparison.
        tables: Its tables, in the same order.
        loaded: The trace, with its lengths counted if they are known.
        command: How to make the page again.
        title: What stands above it; the answer alone if that is empty.

    Raises:
        InputError: The file cannot be written.
    """
    write_text(path, compare_page(comparison, tables, loaded, command, title))


def compare_page(
    comparison: Comparison,
    tables: Sequence[Served],
    loaded: LoadedTrace,
    command: str,
    title: str = "",
) -> str:
    """The page as a text; arguments as for `write_compare_page`."""
    document = comparison.to_dict()
    numbers = Numbers(document)
    estimates = [compared.estimate for compared in comparison.tables]
    first = estimates[0]
    has_intervals = first.interval_j is not None
    ranking = sorted(range(len(estimates)), key=lambda place: estimates[place].energy_j)
    bars = [
        Bar(estimates[k].table, estimates[k].energy_j, "first", estimates[k].interval_j)
        for k in ranking
    ]
    warnings: dict[str, None] = {}
    for estimate, table in zip(estimates, tables, strict=True):
        warnings |= dict.fromkeys(estimate_warnings(estimate, table))
    return render(
        "compare.html.j2",
        document=document,
        n=numbers,
        script=document_script(document),
        title=title,
        answer=[numbers.sentence(line) for line in compare_answer(comparison)],
        facts=_facts(estimates),
        facility="" if first.facility is None else facility_text(first.facility),
        forms=[_saving_form(compared) for compared in comparison.tables],
        bases=[
            "not told" if estimate.basis is None else estimate.basis.kind for estimate in estimates
        ],
        ranking=ranking,
        has_intervals=has_intervals,
        ideals=ideal_names(comparison),
        names=[estimate.table for estimate in estimates],
        ranked_figure=energy_bars(bars, "ranked", "Energy by each table, the least first"),
        notes=[*warnings, *other_requests_notes(comparison)],
        rate_notes=[rate_note(estimate, f"{estimate.table}: ") for estimate in estimates],
        length_figures=length_figures(first, tables[0], loaded),
        meaning=[*([SAVING_NOTE] if has_intervals else []), *facility_notes(first.facility)],
        all_table_facts=[
            served_facts(table, estimate) for table, estimate in zip(tables, estimates, strict=True)
        ],
        source_facts=source_facts(loaded),
        provenance=provenance(command),
    )


def _facts(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """What the answer is of, and what it stands on."""
    first = estimates[0]
    facts = [
        ("scope", scope_text(first)),
        *basis_lines(estimates),
        *card_lines(estimates),
        ("trace", trace_text(first)),
        *serving_lines(estimates),
        *limits_facts(first),
        ("method", first.method_text),
    ]
    facility = first.facility
    return facts if facility is None else [*facts, ("facility", facility_text(facility))]


def _saving_form(compared: ComparedTable) -> SavingForm | None:
    """How what a table saves is said; None of those that are not held against the first."""
    saving = compared.saving_percent
    return None if saving is None else saving_form(saving)
