"""What each command shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from estimator.compare import ComparedTable, implied_rate
from estimator.estimate import Estimate
from estimator.flops import CONVENTION, FlopsModel
from estimator.report import Report, invalid_text, joules, kwh, percent
from estimator.step_views import RECONSTRUCTED_NOTE, interval_facts, interval_note, parts_view
from estimator.view_parts import (
    add_row,
    facts_table,
    grid_matrix,
    grid_table,
    notes_text,
    table_text,
)
from measurements.interpolation import Coverage
from measurements.meter import JOULES_PER_KWH
from measurements.table import EnergyTable
from traces.grid import Grid
from traces.summary import LengthStatistics, TraceSummary

EXTRA_LABELS = {"facility_energy_j": "facility energy", "carbon_g": "carbon", "cost": "cost"}
IDEAL_LABELS = {
    "dense": "dense peak",
    "sparse": "sparse peak (the paper's)",
    "roofline": "roofline (compute or memory)",
}


def coverage_text(coverage: Mapping[Coverage, float]) -> str:
    """Shares of the energy by where the cells come from."""
    return ", ".join(f"{percent(share)} {kind}" for kind, share in coverage.items())


def trace_text(estimate: Estimate) -> str:
    """What the user called the trace, and whether it is one."""
    is_one = estimate.source == "trace"
    return estimate.trace if is_one else f"{estimate.trace} ({estimate.source})"


def requests_text(estimate: Estimate) -> str:
    """How many requests the estimate covers and what it leaves out."""
    requests = estimate.requests
    beyond = f"{requests['beyond_grid']:,} beyond the grid"
    if requests["beyond_grid"]:
        share = requests["beyond_grid"] / requests["total"]
        tokens = percent(estimate.beyond_grid_token_share)
        beyond += f" ({percent(share)} of requests, {tokens} of tokens)"
    return (
        f"{requests['estimated']:,} of {requests['total']:,} estimated; left out: {beyond}, "
        f"{requests['failed']:,} failed, {invalid_text(estimate.invalid)}"
    )


def rate_note(implied: float, peak: float, whose: str = "") -> str:
    """The rate that a figure implies, with a warning where no chip could reach it."""
    text = (
        f"{whose}At rated power this figure implies {implied / 1e12:.1f} TFLOP/s of "
        f"{peak / 1e12:.1f} dense peak"
    )
    return text + (", which is MORE THAN THE CHIP CAN DO." if implied > peak else ".")


def estimate_report(
    estimate: Estimate,
    table: EnergyTable,
    extras: Mapping[str, tuple[float, str]],
    explain: bool = False,
) -> Report:
    """`joulecast estimate`; `extras` maps a JSON key to its value and how to show it."""
    facts = [
        ("trace", trace_text(estimate)),
        ("table", table_text(table)),
        ("method", estimate.method),
        ("requests", requests_text(estimate)),
        ("coverage", coverage_text(estimate.coverage) + " (shares of the energy)"),
        ("", ""),
        ("GPU energy", f"{joules(estimate.energy_j)} = {kwh(estimate.energy_kwh)}"),
        *interval_facts(estimate),
        ("per request", joules(estimate.joules_per_request)),
        ("per output token", joules(estimate.joules_per_output_token)),
        *((EXTRA_LABELS[key], text) for key, (_, text) in extras.items()),
    ]
    ideals = grid_table()
    ideals.add_column("ideal")
    ideals.add_column("energy", justify="right")
    ideals.add_column("estimate above it", justify="right")
    for name, ideal_j in estimate.ideal_j.items():
        excess = estimate.excess_percent[name]
        add_row(ideals, IDEAL_LABELS[name], joules(ideal_j), f"{excess:,.1f} %")
    notes = [rate_note(*implied_rate(estimate, table)), interval_note(estimate)]
    if estimate.source == "reconstructed":
        notes.append(RECONSTRUCTED_NOTE)
    parts = [parts_view(estimate, table)] if explain else []
    document = estimate.to_dict() | {key: value for key, (value, _) in extras.items()}
    return Report(
        document, [document], Group(facts_table(facts), ideals, *parts, notes_text(notes))
    )


def compare_report(
    compared: Sequence[ComparedTable], tables: Sequence[EnergyTable], trace: str
) -> Report:
    """`joulecast compare`."""
    first = compared[0].estimate
    view = grid_table()
    view.collapse_padding = True
    view.add_column("table", overflow="fold")
    for heading in ("energy", "J per\nrequest", "J per\noutput\ntoken"):
        view.add_column(heading, justify="right")
    for name in first.ideal_j:
        view.add_column(f"above\n{name}\nideal", justify="right")
    view.add_column("saving\nover the\nfirst", justify="right")
    for one in compared:
        estimate = one.estimate
        add_row(
            view,
            estimate.table,
            joules(estimate.energy_j),
            f"{estimate.joules_per_request:#,.4g}",
            f"{estimate.joules_per_output_token:#,.4g}",
            *(f"{value:,.1f} %" for value in estimate.excess_percent.values()),
            "" if one is compared[0] else f"{one.saving_percent:,.1f} %",
        )
    facts = [
        ("trace", trace_text(first)),
        ("method", first.method),
        ("requests", requests_text(first)),
    ]
    facts += [
        ("coverage", f"{coverage_text(one.estimate.coverage)}: {table_text(table)}")
        for one, table in zip(compared, tables, strict=True)
    ]
    notes = [
        rate_note(one.implied_flops_per_s, one.dense_peak_flops_per_s, f"{one.estimate.table}: ")
        for one in compared
    ]
    rows = [one.to_dict() for one in compared]
    document = {"trace": trace, "method": first.method, "tables": rows}
    return Report(document, rows, Group(facts_table(facts), view, notes_text(notes)))


def summary_report(trace: str, summary: TraceSummary) -> Report:
    """`joulecast trace summary`."""
    view = grid_table()
    for heading in ("tokens", "mean", "sd", "median", "99th percentile", "longest"):
        view.add_column(heading, justify="left" if heading == "tokens" else "right")
    for name, statistics in (("input", summary.input), ("output", summary.output)):
        if statistics is not None:
            add_row(view, name, *statistics_cells(statistics))
    total = summary.requests + summary.failed + sum(summary.invalid.values())
    share = summary.beyond_grid / summary.requests if summary.requests else 0.0
    beyond = (
        f"{summary.beyond_grid:,} ({percent(share)} of requests, "
        f"{percent(summary.beyond_grid_token_share)} of tokens)"
    )
    made_up = " (reconstructed)" if summary.is_reconstructed else ""
    facts = [
        ("trace", trace + made_up),
        ("rows", f"{total:,}: {summary.requests:,} requests, {summary.failed:,} failed (o = 0)"),
        ("left out", invalid_text(summary.invalid)),
        ("beyond the grid", beyond),
    ]
    if summary.span_s is not None:
        facts.append(("time span", f"{summary.span_s:,.1f} s"))
    document = {"trace": trace, **summary.to_dict()}
    return Report(document, [document], Group(facts_table(facts), view))


def statistics_cells(statistics: LengthStatistics) -> list[str]:
    """Mean, sd, median, 99th percentile and longest, as texts."""

    def quantile(bounds: tuple[float, float | None]) -> str:
        low, high = bounds
        if high is None:
            return f"over {low - 1:,.0f}"
        return f"{low:,.4g}" if low == high else f"{low:,.0f} to {high:,.0f}"

    return [
        f"{statistics.mean:,.2f}",
        f"{statistics.sd:,.2f}",
        quantile(statistics.median),
        quantile(statistics.percentile_99),
        "not kept" if statistics.maximum is None else f"{statistics.maximum:,}",
    ]


def flops_report(
    flops: FlopsModel, lengths: tuple[int, int] | None, grid: Grid, made: str
) -> Report:
    """`joulecast flops`."""
    if lengths is not None:
        count = flops.request(*lengths)
        document: dict[str, Any] = {
            "model": flops.model,
            "input_tokens": lengths[0],
            "output_tokens": lengths[1],
            "flops": count,
            "convention": CONVENTION,
        }
        facts = [
            ("model", flops.model),
            ("request", f"{lengths[0]:,} input tokens, {lengths[1]:,} output tokens"),
            ("FLOPs", f"{count:,} = {count:.4e}"),
        ]
        notes = [CONVENTION, made]
        return Report(document, [document], Group(facts_table(facts), notes_text(notes)))
    cells = flops.grid(grid)
    document = {
        "model": flops.model,
        "coefficients": flops.to_dict(),
        "cells": [
            {"input_tokens": i, "output_tokens": o, "flops": count}
            for (i, o), count in cells.items()
        ],
        "convention": CONVENTION,
    }
    texts = {cell: f"{count / 1e12:#.4g}" for cell, count in cells.items()}
    law = (
        f"FLOPs(I, O) = {flops.per_token} (I + O - 1) + {flops.per_pair} [I^2 + (O - 1)(I + 1) + "
        f"(O - 1)(O - 2) / 2] + {flops.per_pass} O"
    )
    view = grid_matrix("FLOPs of one request [10^12]", grid, texts)
    return Report(
        document,
        document["cells"],
        Group(
            facts_table([("model", flops.model), ("law", law)]),
            view,
            notes_text([CONVENTION, made]),
        ),
    )


def cost_extras(
    estimate: Estimate, pue: float | None, carbon: float | None, price: float | None
) -> dict[str, tuple[float, str]]:
    """What the data centre, the grid and the bill make of an estimate.

    Args:
        estimate: GPU energy.
        pue: Facility energy over GPU energy, 1 or more.
        carbon: Carbon intensity [gCO2e/kWh].
        price: Price of a kilowatt hour, in any currency.

    Returns:
        JSON key -> value and its text, for those that were asked for.
    """
    facility_j = estimate.energy_j * (pue or 1.0)
    facility_kwh = facility_j / JOULES_PER_KWH
    extras: dict[str, tuple[float, str]] = {}
    if pue is not None:
        text = f"{joules(facility_j)} = {kwh(facility_kwh)} (PUE {pue:g})"
        extras["facility_energy_j"] = (facility_j, text)
    if carbon is not None:
        grams = carbon * facility_kwh
        extras["carbon_g"] = (grams, f"{grams:,.4g} gCO2e (at {carbon:g} gCO2e/kWh)")
    if price is not None:
        cost = price * facility_kwh
        extras["cost"] = (cost, f"{cost:,.4g} (at {price:g} per kWh)")
    return extras
