"""`joulecast estimate --group-by model --html`: a log of several models as a page."""

from pathlib import Path

from joulecast.estimator.by_model import ModelEstimates
from joulecast.estimator.estimate import Estimate
from joulecast.pages.figures import MOST_BARS, Bar, energy_bars
from joulecast.pages.page import Numbers, document_script, provenance, render
from joulecast.traces.files import write_text
from joulecast.views.answers.models import models_answer
from joulecast.views.estimate import basis_text
from joulecast.views.footprint import facility_notes, facility_text
from joulecast.views.models import APART_NOTE, model_warnings, page_facts
from joulecast.views.numbers import left_out_texts
from joulecast.views.steps import interval_note


def write_models_page(path: Path, made: ModelEstimates, command: str, title: str = "") -> None:
    """Write the page of estimates by model, whole or not at all.

    Args:
        path: File to write.
        made: The estimates.
        command: How to make the page again.
        title: What stands above it; the answer alone if that is empty.

    Raises:
        InputError: The file cannot be written.
    """
    write_text(path, models_page(made, command, title))


def models_page(made: ModelEstimates, command: str, title: str = "") -> str:
    """The page as a text; arguments as for `write_models_page`."""
    document = made.to_dict()
    numbers = Numbers(document)
    estimates = list(made.estimates.values())
    bars = [
        Bar(model, each.energy_j, "first", each.interval_j)
        for model, each in list(made.estimates.items())[:MOST_BARS]
    ]
    reading = made.reading
    return render(
        "models.html.j2",
        document=document,
        n=numbers,
        script=document_script(document),
        title=title,
        answer=[numbers.sentence(models_answer(made))],
        facts=list(page_facts(made)),
        facility="" if made.facility is None else facility_text(made.facility),
        names=list(made.estimates),
        bases=["not told" if each.basis is None else each.basis.kind for each in estimates],
        left_out=[", ".join(left_out_texts(each.requests)) for each in estimates],
        energies_figure=energy_bars(bars, "models", "Energy by model, the most first"),
        not_drawn=len(estimates) - len(bars),
        notes=[*made.notes, *model_warnings(made), *([] if reading is None else reading.notes)],
        meaning=[APART_NOTE, *facility_notes(made.facility)],
        all_model_facts=[_model_facts(each) for each in estimates],
        source_facts=[] if reading is None else [("read", reading.text)],
        provenance=provenance(command),
    )


def _model_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """What serves a model, and what its estimate stands on."""
    tables = ", ".join(estimate.basis.tables if estimate.basis else ())
    facts = [("serves", estimate.table), ("basis", basis_text(estimate))]
    facts += [("prices from", tables)] if tables not in ("", estimate.table) else []
    return [*facts, ("interval", interval_note(estimate))]
