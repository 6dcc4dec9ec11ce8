"""What `joulecast table4` shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.method import METHODS, Method
from joulecast.estimator.paper.published import (
    ENGINES,
    Engine,
    Excesses,
    published_implied_flops_per_s,
    published_peaks_flops_per_s,
)
from joulecast.estimator.paper.table4 import Table4, Table4Row
from joulecast.measurements.hardware import Peak
from joulecast.measurements.table.table import EnergyTable
from joulecast.views.estimate import (
    basis_text,
    implied_note,
    requests_text,
    served_text,
    shares_text,
    whose_text,
)
from joulecast.views.numbers import joules
from joulecast.views.parts import (
    add_row,
    facts_table,
    grid_table,
    notes_text,
    table_text,
    title_text,
)
from joulecast.views.report import Report
from joulecast.views.steps import RECONSTRUCTED_NOTE

if TYPE_CHECKING:
    from joulecast.estimator.unit_prices.model import Served

METHODS_TEXT = (
    "binned: the paper's, lengths rounded up to the grid, requests in the largest batches, those "
    "beyond the grid left out; stepwise: true lengths, as the engine would serve them"
)
IDEALS_TEXT = (
    "binned stands over the ideal of the lengths rounded up, of the requests within the grid; "
    "stepwise over that of the true lengths, of all requests; so the two compare in joules, not in "
    "percent"
)
_NO_FIGURES = dict.fromkeys(("pytorch_excess_percent", "vllm_excess_percent", "saving_percent"))


def table4_report(
    table4: Table4, served: "Mapping[Engine, Served]", peaks: Sequence[Peak]
) -> Report:
    """`joulecast table4`, over the ideals of one peak or of both."""
    title = (
        f"Table 4: energy above the ideal at the {' and at the '.join(peaks)} peak [%], and what "
        "vLLM saves over PyTorch [%]\n"
        f"binned and stepwise: {_gpus_in_words(served['vllm'])}, {table4.model}"
        f"{_forecast_text(served)}; paper: RTX A6000, Llama-3.1-8B"
    )
    facts = [("methods", METHODS_TEXT), ("ideals", IDEALS_TEXT)]
    facts += [(engine, _engine_text(engine, served[engine], table4)) for engine in ENGINES]
    for row in table4.rows:
        if row.estimates:
            facts += _row_facts(row, peaks)
            facts += _published_facts(row, peaks) if table4.is_of_the_paper else []
    return Report(
        table4.to_dict(peaks[0]),
        [_csv_row(row, peaks[0]) for row in table4.rows],
        Group(
            title_text(title),
            _excesses_view(table4, peaks),
            _energies_view(table4, peaks),
            facts_table(facts),
            notes_text(_notes(table4, peaks)),
        ),
    )


def _gpus_in_words(served: "Served") -> str:
    own = served if isinstance(served, EnergyTable) else served.deployment
    return own.gpus_in_words


def _forecast_text(served: "Mapping[Engine, Served]") -> str:
    """Which engines were not measured so."""
    engines = [engine for engine in ENGINES if not isinstance(served[engine], EnergyTable)]
    return f" ({' and '.join(engines)} forecast)" if engines else ""


def _engine_text(engine: Engine, served: "Served", table4: Table4) -> str:
    """What the figures of an engine stand on."""
    if isinstance(served, EnergyTable):
        return table_text(served)
    estimates = (row.estimates["binned"][engine] for row in table4.rows if row.estimates)
    bases = {basis_text(estimate) for estimate in estimates}
    return "; ".join([served_text(served), *sorted(bases)])


def _excesses_view(table4: Table4, peaks: Sequence[Peak]) -> Table:
    """Each method's figures above the paper's, over the same ideals."""
    view = grid_table()
    view.collapse_padding = True
    view.add_column("dataset", overflow="fold", min_width=12)
    view.add_column("source", overflow="fold")
    view.add_column("method", overflow="fold")
    for peak in peaks:
        for heading in ("PyTorch", "vLLM"):
            view.add_column(f"{peak}\n{heading}", justify="right", no_wrap=True)
    view.add_column(" \nsaving", justify="right", no_wrap=True)
    for row in table4.rows:
        lines: dict[str, list[Excesses | None]] = {
            method: [row.excesses(method, peak) for peak in peaks]
            for method in METHODS
            if row.estimates
        }
        if row.published is not None:
            lines["paper"] = [row.published_excesses(peak) for peak in peaks]
        for place, (name, excesses) in enumerate(lines.items()):
            head = (row.dataset, row.source) if place == 0 else ("", "")
            add_row(view, *head, name, *_cells(excesses))
    return view


def _cells(excesses: Sequence[Excesses | None]) -> list[str]:
    """Both engines over each ideal, and the saving, which does not depend on the ideal."""
    if (first := excesses[0]) is None:
        return ["-"] * (1 + len(ENGINES) * len(excesses))
    values = [each.percent(engine) for each in excesses if each for engine in ENGINES]
    return [f"{value:.2f}" for value in (*values, first.saving_percent)]


def _energies_view(table4: Table4, peaks: Sequence[Peak]) -> Table:
    """The joules that the percentages stand for; the paper published none."""
    view = grid_table()
    view.collapse_padding = True
    view.add_column("dataset", overflow="fold", min_width=12)
    view.add_column("method", overflow="fold")
    for heading in ("energy\nPyTorch", "energy\nvLLM", *(f"ideal\n{peak}" for peak in peaks)):
        view.add_column(heading, justify="right", no_wrap=True)
    for row in table4.rows:
        dataset = row.dataset
        for method, estimates in row.estimates.items():
            energies_j = [estimates[engine].energy_j for engine in ENGINES]
            ideals_j = [estimates["vllm"].ideal_j[peak] for peak in peaks]
            add_row(view, dataset, method, *map(joules, (*energies_j, *ideals_j)))
            dataset = ""
    return view


def _row_facts(row: Table4Row, peaks: Sequence[Peak]) -> list[tuple[str, str]]:
    """What a row stands on."""
    facts = [(row.dataset, str(row.trace))]
    for method, estimates in row.estimates.items():
        shares = {engine: shares_text(estimate) for engine, estimate in estimates.items()}
        text = "; ".join(f"{engine} {share}" for engine, share in shares.items())
        if len(set(shares.values())) == 1:
            text = shares["vllm"]
        either = estimates["vllm"]
        facts.append((f"  {method}", f"{requests_text(either)}; {text} {whose_text(either)}"))
    texts = {method: _intervals_text(row, peaks, method) for method in METHODS}
    told = {method: text for method, text in texts.items() if text}
    for method, text in told.items():
        facts.append((f"  95 % {'intervals' if len(told) == 1 else method}", text))
    return facts


def _intervals_text(row: Table4Row, peaks: Sequence[Peak], method: Method) -> str:
    """The ends of a method's intervals over each ideal; "" where it has none."""
    texts = []
    for peak in peaks:
        ends = {engine: row.interval_percent(engine, peak, method) for engine in ENGINES}
        intervals = [f"{e} {end[0]:,.0f} to {end[1]:,.0f} %" for e, end in ends.items() if end]
        texts += [f"{peak}: {', '.join(intervals)}"] if intervals else []
    return "; ".join(texts)


def _published_facts(row: Table4Row, peaks: Sequence[Peak]) -> list[tuple[str, str]]:
    """Where the paper's figures lie beside the forecasts of its own method, by its ideal's peak."""
    if row.published is None:
        return []
    texts = []
    for peak in peaks:
        places = {engine: row.published_place(engine, peak) for engine in ENGINES}
        figures = [
            f"{engine} {row.published.percent(engine):.2f} % {place}"
            for engine, place in places.items()
            if place is not None
        ]
        texts += [f"if over the {peak} ideal: {', '.join(figures)}"] if figures else []
    return [("  published", f"beside binned, {'; '.join(texts)}")] if texts else []


def _csv_row(row: Table4Row, peak: Peak) -> dict[str, Any]:
    """A row with the same columns whether or not it has figures."""
    document = row.to_dict(peak)
    left_out = "beyond_grid", "beyond_positions", "beyond_memory", "failed", "invalid"
    counts = dict.fromkeys(("total", "estimated", *left_out))
    reasons = document.pop("invalid_rows") or {}
    ends = {
        f"{method}_interval_percent": _ends(document.pop(f"{method}_interval_percent"))
        for method in METHODS
    }
    return document | {
        "published": document["published"] or _NO_FIGURES,
        "stepwise": document["stepwise"] or _NO_FIGURES,
        **ends,
        "requests": document["requests"] or counts,
        "invalid_rows": "; ".join(f"{count} {reason}" for reason, count in reasons.items()),
    }


def _ends(intervals: Mapping[Engine, Sequence[float]]) -> dict[str, float | None]:
    """The ends of both engines' intervals, each a column."""
    return {
        f"{engine}_{end}": intervals[engine][k] if engine in intervals else None
        for engine in ENGINES
        for k, end in enumerate(("low", "high"))
    }


def _notes(table4: Table4, peaks: Sequence[Peak]) -> list[str]:
    ours = [
        estimate.implied_flops_per_s
        for row in table4.rows
        for estimate in row.estimates.get("binned", {}).values()
    ]
    notes = []
    if ours:
        notes.append(implied_note(max(ours), table4.dense_peak_flops_per_s, "Ours, the highest: "))
    notes.append(_published_note(peaks))
    notes += [note for note in [_places_note(table4, peaks)] if note]
    if any(row.source == "reconstructed" for row in table4.rows):
        notes.append(
            f"{RECONSTRUCTED_NOTE} Rows stand on the dataset itself once it was fetched (joulecast "
            "trace fetch) or is given, as in --trace burstgpt=FILE."
        )
    notes += [
        f"No stepwise figures of {row.dataset}: {row.no_stepwise}."
        for row in table4.rows
        if row.no_stepwise is not None
    ]
    return notes


def _places_note(table4: Table4, peaks: Sequence[Peak]) -> str:
    """How many of the paper's figures the forecasts hold, by the peak that its ideal took."""
    texts = []
    for peak in peaks:
        places = [
            place for of_row in table4.published_places(peak).values() for place in of_row.values()
        ]
        if places:
            texts.append(f"{places.count('inside')} of {len(places)} if it took the {peak} peak")
    if not texts:
        return ""
    return (
        "The paper's figures on its own card that lie within the intervals of what its method is "
        f"forecast to give there: {', '.join(texts)}."
    )


def _published_note(peaks: Sequence[Peak]) -> str:
    """What the paper's figures imply, and how they can lie below an ideal."""
    dense = published_peaks_flops_per_s()["dense"]
    rates = [rate for row in published_implied_flops_per_s().values() for rate in row.values()]
    above = sum(rate > dense for rate in rates)
    text = (
        f"The paper's figures imply {min(rates) / 1e12:.1f} to {max(rates) / 1e12:.1f} TFLOP/s on "
        f"a chip with a dense peak of {dense / 1e12:.1f}; {above} of {len(rates)} are more than it "
        "can do, since its ideal takes the sparse peak."
    )
    if "dense" in peaks:
        text += (
            " Over the dense ideal these are below 0: the card drew less than its rated power, or "
            "computed fewer FLOPs than were counted."
        )
    return text
