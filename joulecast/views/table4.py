"""What `joulecast table4` shows."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from joulecast.estimator.paper.table4 import (
    ENGINES,
    PUBLISHED_ONLY,
    Excesses,
    Table4,
    Table4Row,
    published_dense_peak_flops_per_s,
    published_implied_flops_per_s,
)
from joulecast.measurements.table.table import EnergyTable
from joulecast.views.estimate import coverage_text, implied_note, requests_text
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

METHODS_TEXT = (
    "binned: the paper's, lengths rounded up to the grid, requests in the largest batches, those "
    "beyond the grid left out; stepwise: true lengths, as the engine would serve them"
)
_NO_FIGURES = dict.fromkeys(("pytorch_excess_percent", "vllm_excess_percent", "saving_percent"))


def table4_report(table4: Table4, tables: Mapping[str, EnergyTable]) -> Report:
    """`joulecast table4`."""
    view = grid_table()
    view.collapse_padding = True
    view.add_column("dataset", overflow="fold", min_width=12)
    view.add_column("source", overflow="fold")
    view.add_column("method", overflow="fold")
    for whose in ("ours", "paper"):
        for heading in ("PyTorch", "vLLM", "saving"):
            view.add_column(f"{whose}\n{heading}", justify="right", no_wrap=True)
    for row in table4.rows:
        if row.source == PUBLISHED_ONLY:
            add_row(view, row.dataset, row.source, "", *_cells(None), *_cells(row.published))
            continue
        head = row.dataset, row.source
        add_row(view, *head, "binned", *_cells(row.measured), *_cells(row.published))
        add_row(view, "", "", "stepwise", *_cells(row.measured_stepwise))
    title = (
        f"Table 4: energy above the ideal [%] and what vLLM saves over PyTorch [%]\n"
        f"ours: {tables['vllm'].metadata['gpu_product']}, {table4.model}, ideal at the "
        f"{table4.peak} peak; paper: RTX A6000, Llama-3.1-8B, ideal at the sparse peak"
    )
    facts = [("methods", METHODS_TEXT)]
    facts += [(engine, table_text(tables[engine])) for engine in ENGINES]
    for row in table4.rows:
        if row.estimates:
            facts += _row_facts(row)
    return Report(
        table4.to_dict(),
        [_csv_row(row) for row in table4.rows],
        Group(title_text(title), view, facts_table(facts), notes_text(_notes(table4))),
    )


def _row_facts(row: Table4Row) -> list[tuple[str, str]]:
    """What a row stands on."""
    named = "" if row.source == "trace" else f"{row.trace}: "
    facts = [(row.dataset, named + requests_text(row.estimates["vllm"]))]
    for method, estimates in (("binned", row.estimates), ("stepwise", row.stepwise)):
        said = {engine: coverage_text(estimate) for engine, estimate in estimates.items()}
        texts = (
            [f"{engine} {text}" for engine, text in said.items()]
            if len(set(said.values())) > 1
            else list(said.values())[:1]
        )
        if texts:
            facts.append((f"  {method}", "; ".join(texts)))
    if row.stepwise:
        ends = row.to_dict()["stepwise_interval_percent"].items()
        texts = [f"{engine} {low:,.0f} to {high:,.0f} %" for engine, (low, high) in ends]
        facts.append(("  95 % intervals", "; ".join(texts)))
    return facts


def _csv_row(row: Table4Row) -> dict[str, Any]:
    """A row with the same columns whether or not it has figures."""
    document = row.to_dict()
    counts = dict.fromkeys(("total", "estimated", "beyond_grid", "failed", "invalid"))
    reasons = document.pop("invalid_rows") or {}
    intervals = document.pop("stepwise_interval_percent")
    ends = {
        f"{engine}_{end}": (intervals.get(engine) or [None, None])[k]
        for engine in ENGINES
        for k, end in enumerate(("low", "high"))
    }
    return document | {
        "published": document["published"] or _NO_FIGURES,
        "stepwise": document["stepwise"] or _NO_FIGURES,
        "stepwise_interval_percent": ends,
        "requests": document["requests"] or counts,
        "invalid_rows": "; ".join(f"{count} {reason}" for reason, count in reasons.items()),
    }


def _cells(excesses: Excesses | None) -> list[str]:
    if excesses is None:
        return ["-", "-", "-"]
    return [
        f"{excesses.pytorch_excess_percent:.2f}",
        f"{excesses.vllm_excess_percent:.2f}",
        f"{excesses.saving_percent:.2f}",
    ]


def _notes(table4: Table4) -> list[str]:
    ours = [rate for row in table4.rows for rate in row.implied_flops_per_s.values()]
    notes = []
    if ours:
        notes.append(implied_note(max(ours), table4.dense_peak_flops_per_s, "Ours, the highest: "))
    peak = published_dense_peak_flops_per_s()
    rates = [rate for row in published_implied_flops_per_s().values() for rate in row.values()]
    above = sum(rate > peak for rate in rates)
    notes.append(
        f"The paper's figures imply {min(rates) / 1e12:.1f} to {max(rates) / 1e12:.1f} TFLOP/s on "
        f"a chip with a dense peak of {peak / 1e12:.1f}; {above} of {len(rates)} are more than it "
        "can do, since its ideal takes the sparse peak."
    )
    if any(row.source == "reconstructed" for row in table4.rows):
        notes.append(
            f"{RECONSTRUCTED_NOTE} Rows stand on the dataset itself once it was fetched (joulecast "
            "trace fetch) or is given, as in --trace burstgpt=FILE."
        )
    return notes
