"""What `joulecast estimate` shows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from joulecast.estimator.attribution.served import SCOPE
from joulecast.estimator.basis import Basis
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.ideal import Ideal
from joulecast.estimator.steps.spending import OwnCard
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.views.answers import plain
from joulecast.views.answers.estimate import estimate_answer, scope_text
from joulecast.views.footprint import facility_facts, facility_notes
from joulecast.views.numbers import invalid_text, joules, kwh, percent, reading_facts
from joulecast.views.online.serving import (
    cached_facts,
    cached_notes,
    limits_facts,
    serving_facts,
    serving_notes,
    serving_text,
)
from joulecast.views.parts import (
    add_row,
    facts_table,
    grid_table,
    notes_text,
    table_text,
    title_text,
)
from joulecast.views.report import Report
from joulecast.views.steps import (
    DIVISION_NOTE,
    RECONSTRUCTED_NOTE,
    attribution_view,
    interval_facts,
    interval_note,
    parts_view,
)

if TYPE_CHECKING:
    from joulecast.estimator.unit_prices.model import Served

IDEAL_LABELS: Mapping[Ideal, str] = {
    "dense": "dense peak",
    "sparse": "sparse peak (the paper's)",
    "roofline": "roofline (compute or memory)",
}
LINKS_NOTE = (
    "What the GPUs send each other is priced as over an H100's NVLink; over PCIe it takes several "
    "times as long."
)


def shares_note(estimate: Estimate) -> str:
    """What the parts of groups are, and that they have no intervals."""
    is_of_requests = estimate.attribution is not None
    what = "are sums of their requests' parts" if is_of_requests else "go by cells and tokens"
    return (
        f"Parts of groups {what} and have no intervals of their own: how far each is off beside "
        "the others was never metered. That of the whole is above."
    )


def ideal_labels(estimate: Estimate) -> Mapping[Ideal, str]:
    """What the ideals are called: the roofline is that of the steps as they were formed."""
    if estimate.serving is None:
        return IDEAL_LABELS
    return {**IDEAL_LABELS, "roofline": "roofline of the steps that the load makes"}


def coverage_text(estimate: Estimate) -> str:
    """Shares of the energy by where the cells come from, and whose energy that is."""
    return f"{shares_text(estimate)} {whose_text(estimate)}"


def shares_text(estimate: Estimate) -> str:
    """The shares alone."""
    return ", ".join(f"{percent(share)} {kind}" for kind, share in estimate.coverage.items())


def whose_text(estimate: Estimate) -> str:
    """What these are shares of: not of a trace of which part was left out."""
    few = estimate.requests["estimated"]
    if few == estimate.requests["total"]:
        return "(shares of the energy)"
    which = "1 request that is" if few == 1 else f"{few:,} requests that are"
    return f"(shares of the energy of the {which} estimated)"


def trace_text(estimate: Estimate) -> str:
    """What the user called the trace, and whether it is one."""
    name = "standard input" if estimate.trace == STANDARD_INPUT else estimate.trace
    return name if estimate.source == "trace" else f"{name} ({estimate.source})"


def requests_text(estimate: Estimate) -> str:
    """How many requests the estimate covers and what it leaves out."""
    requests = estimate.requests
    beyond = f"{requests['beyond_grid']:,} beyond the grid"
    if requests["beyond_grid"]:
        share = requests["beyond_grid"] / requests["total"]
        tokens = percent(estimate.beyond_grid_token_share)
        beyond += f" ({percent(share)} of requests, {tokens} of tokens)"
    if requests["beyond_positions"]:
        beyond += f", {requests['beyond_positions']:,} longer than the model has positions for"
    if requests["beyond_memory"]:
        beyond += f", {requests['beyond_memory']:,} longer than the GPU's memory holds"
    if requests.get("untimed"):
        beyond += f", {requests['untimed']:,} without a time"
    if estimate.thinning is not None:
        beyond += f", {estimate.thinning.left_out:,} by the share that was asked for"
    return (
        f"{requests['estimated']:,} of {requests['total']:,} estimated; left out: {beyond}, "
        f"{requests['failed']:,} failed, {invalid_text(estimate.invalid)}"
    )


def rate_note(estimate: Estimate, whose: str = "") -> str:
    """The rate that a figure implies, with a warning where no chip could reach it."""
    return implied_note(estimate.implied_flops_per_s, estimate.dense_peak_flops_per_s, whose)


def implied_note(implied: float, peak: float, whose: str = "") -> str:
    """The same for a rate and a peak [FLOP/s]."""
    text = (
        f"{whose}At rated power this figure implies {implied / 1e12:.1f} TFLOP/s of "
        f"{peak / 1e12:.1f} dense peak"
    )
    return text + (", which is MORE THAN THE CHIP CAN DO." if implied > peak else ".")


def estimate_notes(estimate: Estimate) -> list[str]:
    """Remarks on an estimate."""
    notes = [rate_note(estimate), interval_note(estimate)]
    notes += [*cached_notes(estimate), *serving_notes(estimate), *below_ideal_notes(estimate)]
    if estimate.source == "reconstructed":
        notes.append(RECONSTRUCTED_NOTE)
    basis = estimate.basis
    if basis is not None and basis.kind == "gpu scaled" and basis.gpus > 1:
        notes.append(LINKS_NOTE)
    notes += [] if estimate.attribution is None else [DIVISION_NOTE]
    notes += [shares_note(estimate)] if estimate.groups else []
    return [*notes, *facility_notes(estimate.facility)]


def below_ideal_notes(estimate: Estimate) -> list[str]:
    """How an estimate can lie below an ideal."""
    below = [name for name, excess in estimate.excess_percent.items() if excess < 0]
    if not below:
        return []
    drawn = "" if estimate.mean_power_w is None else f", here {estimate.mean_power_w:.0f} W"
    names = " and the ".join(below)
    why = "ideals take rated power all the time, and a card that is lightly loaded draws less"
    return [f"Below the {names} ideal: {why}{drawn}."]


def card_facts(estimate: Estimate) -> list[tuple[str, str]]:
    """The very card that serves, where replays on it were told."""
    card = estimate.own_card
    if card is None:
        return []
    return [("card", f"{card.card}: {deviation_text(card)} and {told_text(card)}")]


def deviation_text(card: OwnCard) -> str:
    """How far a card lies from its kind."""
    more = "more" if card.relative > 0 else "less"
    return (
        f"takes {percent(abs(card.relative))} {more} than its kind for this work "
        f"(sd {percent(card.relative_sd)})"
    )


def told_text(card: OwnCard) -> str:
    """What a card draws with nothing to do, and what tells of it."""
    replays = ", ".join(card.replays)
    return f"idles at {card.idle_power_w:.0f} W, by what was metered on it: {replays}"


def served_text(served: "Served") -> str:
    """A table, or a deployment that is forecast by scaling, in a few words."""
    return table_text(served) if isinstance(served, EnergyTable) else served.name


def served_facts(estimate: Estimate, served: "Served") -> list[tuple[str, str]]:
    """What serves, and what the estimate stands on."""
    name = "table" if isinstance(served, EnergyTable) else "serves"
    return [(name, served_text(served)), ("basis", basis_text(estimate))]


def basis_text(estimate: Estimate) -> str:
    """What the estimate stands on."""
    basis = estimate.basis
    return "not told" if basis is None else "; ".join((_tables_text(basis), *basis.notes))


def _tables_text(basis: Basis) -> str:
    """What prices are from."""
    if basis.is_completed and basis.kind == "measured":
        return (
            "measured at largest batches alone; what a step costs is completed from other tables "
            "of this GPU"
        )
    if len(basis.tables) == 1 and basis.kind == "measured":
        return "measured: a table of this model, GPU, engine and number format"
    many = "1 table" if len(basis.tables) == 1 else f"{len(basis.tables)} tables"
    if basis.kind == "measured":
        return f"measured: prices per unit of work of {many} of this GPU, this model among them"
    if basis.kind == "model scaled":
        return f"model scaled: prices per unit of work of {many} of this GPU"
    return (
        f"gpu scaled: this GPU was not measured; prices of {basis.from_gpu} ({many}), carried over "
        "by the data sheets"
    )


def estimate_report(estimate: Estimate, served: "Served", explain: bool = False) -> Report:
    """`joulecast estimate`."""
    facts = [
        ("scope", scope_text(estimate)),
        ("trace", trace_text(estimate)),
        *reading_facts(estimate.reading),
        *served_facts(estimate, served),
        *card_facts(estimate),
        ("method", estimate.method_text),
        ("serving", serving_text(estimate)),
        *limits_facts(estimate),
        ("requests", requests_text(estimate)),
        ("coverage", coverage_text(estimate)),
        ("", ""),
        ("GPU energy", f"{joules(estimate.energy_j)} = {kwh(estimate.energy_kwh)}"),
        *interval_facts(estimate),
        *cached_facts(estimate),
        *serving_facts(estimate),
        ("per request", joules(estimate.joules_per_request)),
        ("per output token", joules(estimate.joules_per_output_token)),
        ("per 1,000 tokens", f"{joules(estimate.joules_per_1000_tokens)} (input and output)"),
        *facility_facts(estimate),
    ]
    ideals = grid_table()
    ideals.add_column("ideal")
    ideals.add_column("energy", justify="right")
    ideals.add_column("estimate above it", justify="right")
    labels = ideal_labels(estimate)
    for name, ideal_j in estimate.ideal_j.items():
        excess = estimate.excess_percent[name]
        add_row(ideals, labels[name], joules(ideal_j), f"{excess:,.1f} %")
    tokens = attribution_view(estimate)
    parts = [parts_view(estimate, served)] if explain else []
    parts += [groups_view(estimate)] if estimate.groups else []
    notes = notes_text(estimate_notes(estimate))
    document = estimate.to_dict()
    answer = title_text(plain(estimate_answer(estimate, trace_text(estimate))))
    view = Group(
        answer, "", facts_table(facts), *([tokens] if tokens else []), ideals, *parts, notes
    )
    rows = _group_rows(document) if estimate.groups else [csv_row(document)]
    return Report(document, rows, view)


def _group_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A CSV row of each group: its part, and the whole's energy and interval, as it has none."""
    low_j, high_j = document["interval_j"] or (None, None)
    whole = {
        "basis": document.get("basis"),
        "scope": SCOPE,
        "whole_energy_j": document["energy_j"],
        "whole_interval_low_j": low_j,
        "whole_interval_high_j": high_j,
    }
    return [{**group, **whole} for group in document["groups"]]


MOST_GROUPS = 30
"""So many groups are shown; JSON and CSV have all."""


def groups_view(estimate: Estimate) -> Table:
    """What each group of the requests takes."""
    view = grid_table()
    view.add_column("group")
    for heading in ("requests", "input tokens", "output tokens", "energy", "share"):
        view.add_column(heading, justify="right")
    for group in estimate.groups[:MOST_GROUPS]:
        tokens = f"{group.input_tokens:,}", f"{group.output_tokens:,}"
        energy = joules(group.energy_j), percent(group.share)
        add_row(view, group.name, f"{group.requests:,}", *tokens, *energy)
    if others := estimate.groups[MOST_GROUPS:]:
        requests = sum(group.requests for group in others)
        inputs = sum(group.input_tokens for group in others)
        tokens = f"{inputs:,}", f"{sum(group.output_tokens for group in others):,}"
        energy_j = sum(group.energy_j for group in others)
        energy = joules(energy_j), percent(energy_j / estimate.energy_j)
        add_row(view, f"{len(others):,} others", f"{requests:,}", *tokens, *energy)
    return view


def csv_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """A CSV row of an estimate: everything but its cells and what was read."""
    apart = {"cells", "serving", "reading", "groups"}
    row = {key: value for key, value in document.items() if key not in apart}
    serving = document["serving"]
    row |= {f"serving_{key}": value for key, value in serving.items() if key != "timeline"}
    if card := document.get("own_card"):
        row["own_card"] = {**card, "replays": " ".join(card["replays"])}
    return {**row, "tables": " ".join(document["tables"])} if "tables" in document else row
