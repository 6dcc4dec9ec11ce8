"""`joulecast estimate --html`: an estimate as a page to look at and to send on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from joulecast.estimator.attribution.cells import CellEstimate
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.unit_prices.model import Served
from joulecast.measurements.table.table import EnergyTable
from joulecast.pages.figures import (
    Bar,
    energy_bars,
    energy_curve,
    energy_unit,
    length_curve,
    time_curves,
)
from joulecast.pages.page import (
    MapCell,
    Numbers,
    document_script,
    estimate_grid,
    gpu_facts,
    length_ranges,
    map_rows,
    provenance,
    render,
    served_facts,
    source_facts,
    table_facts,
    trimmed,
)
from joulecast.traces.distribution import distributions
from joulecast.traces.files import write_text
from joulecast.traces.grid import Grid
from joulecast.traces.load import LoadedTrace
from joulecast.views.answers.estimate import estimate_answer, scope_text
from joulecast.views.estimate import (
    LINKS_NOTE,
    MOST_GROUPS,
    basis_text,
    below_ideal_notes,
    card_facts,
    ideal_labels,
    rate_note,
    served_text,
    shares_note,
    trace_text,
)
from joulecast.views.footprint import facility_notes
from joulecast.views.numbers import compact
from joulecast.views.online.serving import (
    cached_notes,
    limits_facts,
    serving_facts,
    serving_notes,
    serving_text,
)
from joulecast.views.steps import (
    DIVISION_NOTE,
    PART_LABELS,
    RECONSTRUCTED_NOTE,
    TOKEN_KINDS,
    binned_note,
    idle_ends,
    interval_note,
)
from joulecast.views.table import COVERAGE_NOTE, MARKS

MARKS_NOTE = "~ interpolated, ? extrapolated."
STEPWISE_COVERAGE_NOTE = (
    "The step model is fitted to all runs and meets none exactly, so none of it counts as "
    "measured: interpolated cells lie among the lengths that were measured, extrapolated ones "
    "beyond them. A cell's energy is its share of the whole."
)


def write_estimate_page(
    path: Path,
    estimate: Estimate,
    table: Served,
    loaded: LoadedTrace,
    host: EnergyTable | None,
    command: str,
    title: str = "",
) -> None:
    """Write the page of an estimate, whole or not at all.

    Args:
        path: File to write.
        estimate: The estimate.
        table: What it was made from: a table, or a scaling.
        loaded: The trace, with its lengths counted if they are known.
        host: The table that tells the pace of the serving host, if one was given.
        command: How to make the page again.
        title: What stands above it; the answer alone if that is empty.

    Raises:
        InputError: The file cannot be written.
    """
    write_text(path, estimate_page(estimate, table, loaded, host, command, title))


def estimate_page(
    estimate: Estimate,
    table: Served,
    loaded: LoadedTrace,
    host: EnergyTable | None,
    command: str,
    title: str = "",
) -> str:
    """The page as a text; arguments as for `write_estimate_page`."""
    document = estimate.to_dict()
    numbers = Numbers(document)
    grid = estimate_grid(table, loaded.workload, estimate.method)
    inputs, outputs = length_ranges(grid.input_edges), length_ranges(grid.output_edges, 1)
    size_j, unit = _map_unit(estimate)
    request_rows = map_rows(estimate, grid, "requests", compact)
    energy_rows = map_rows(estimate, grid, "energy_j", lambda value: compact(value / size_j))
    return render(
        "estimate.html.j2",
        document=document,
        n=numbers,
        shares_note=shares_note(estimate),
        script=document_script(document),
        title=title,
        answer=[numbers.sentence(estimate_answer(estimate, trace_text(estimate)))],
        facts=_facts(estimate, table),
        notes=estimate_warnings(estimate, table),
        serving_facts=serving_facts(estimate),
        timeline_figures=_timeline_figures(estimate),
        gap_figure=_gap_figure(estimate),
        ideal_labels=ideal_labels(estimate),
        ideal_notes=[rate_note(estimate), *below_ideal_notes(estimate)],
        token_kinds=TOKEN_KINDS,
        idle_ends=idle_ends(estimate.attribution) if estimate.attribution else "",
        division_note=DIVISION_NOTE,
        parts_figure=_parts_figure(estimate),
        part_labels=PART_LABELS,
        most_groups=MOST_GROUPS,
        length_figures=length_figures(estimate, table, loaded),
        lengths_known=loaded.counts is not None,
        request_rows=trimmed(request_rows),
        energy_rows=trimmed(_marked(energy_rows, estimate.cells)),
        energy_unit=unit,
        marks=_unbroken(MARKS_NOTE if estimate.parts_j else COVERAGE_NOTE + "."),
        inputs=inputs,
        outputs=outputs,
        input_edges=[*(f"{edge:,}" for edge in grid.input_edges), inputs[-1]],
        output_edges=[*(f"{edge:,}" for edge in grid.output_edges), outputs[-1]],
        cell_ranges=[_ranges(cell, grid) for cell in estimate.cells],
        coverage_note=STEPWISE_COVERAGE_NOTE if estimate.parts_j else "",
        meaning=[interval_note(estimate), *facility_notes(estimate.facility)],
        table_facts=served_facts(table, estimate),
        host_facts=[] if host is None else table_facts(host),
        source_facts=source_facts(loaded),
        gpu_facts=gpu_facts(table),
        provenance=provenance(command),
    )


def length_figures(estimate: Estimate, table: Served, loaded: LoadedTrace) -> list[Markup]:
    """Distributions of the input and of the output lengths."""
    grid = estimate_grid(table, loaded.workload, estimate.method)
    both = distributions(loaded.workload.on_grid(grid), loaded.counts)
    is_rounded = estimate.method != "stepwise"
    return [
        length_curve(kind, distribution, is_rounded, f"{kind}-lengths")
        for kind, distribution in zip(("input", "output"), both, strict=True)
    ]


def _facts(estimate: Estimate, table: Served) -> list[tuple[str, str]]:
    """What the answer is of, and what it stands on."""
    return [
        ("scope", scope_text(estimate)),
        ("basis", f"{basis_text(estimate)}: {served_text(table)}"),
        *card_facts(estimate),
        ("serving", serving_text(estimate)),
        *limits_facts(estimate),
        ("method", estimate.method_text),
    ]


def _unbroken(note: str) -> str:
    """A remark whose marks stay with what they mean."""
    return re.sub(r"([~?]) ", "\\1\N{NO-BREAK SPACE}", note)


def _map_unit(estimate: Estimate) -> tuple[float, str]:
    """A unit in which the energies of most cells are neither long nor begin with a zero."""
    energies_j = [cell.energy_j for cell in estimate.cells if cell.energy_j]
    return energy_unit(max(1.0, min(energies_j), max(energies_j) / 1e6))


def _gap_figure(estimate: Estimate) -> Markup:
    bars = [Bar("estimate", estimate.energy_j, "first", estimate.interval_j)]
    bars += [
        Bar(f"ideal: {ideal_labels(estimate)[name]}", ideal_j, "third")
        for name, ideal_j in estimate.ideal_j.items()
    ]
    return energy_bars(bars, "gap", "The estimate's energy beside those of the ideals")


def _timeline_figures(estimate: Estimate) -> list[Markup]:
    """Power, energy, requests and latencies over time; none if all were there at once."""
    if estimate.serving is None:
        return []
    timeline = estimate.serving.timeline
    mean_w = estimate.mean_power_w
    return [
        time_curves("power", timeline, {"GPU power": timeline.power_w}, "power [W]", mean_w),
        energy_curve("energy", timeline),
        time_curves(
            "requests",
            timeline,
            {"running": timeline.running, "waiting": timeline.waiting},
            "requests, on average [number]",
        ),
        time_curves(
            "latency",
            timeline,
            {"p50": timeline.ttft_p50_s, "p99": timeline.ttft_p99_s},
            "time to first token [s]",
        ),
    ]


def _parts_figure(estimate: Estimate) -> Markup | None:
    if estimate.parts_j is None:
        return None
    least_j = estimate.least_parts_j or {}
    bars = [
        Bar(PART_LABELS[term], energy_j, "first", None, least_j.get(term))
        for term, energy_j in estimate.parts_j.items()
    ]
    return energy_bars(bars, "parts", "Energy by kind of work")


def estimate_warnings(estimate: Estimate, table: Served) -> list[str]:
    """What a reader must know before anything else."""
    notes = []
    if estimate.implied_flops_per_s > estimate.dense_peak_flops_per_s:
        notes.append(rate_note(estimate))
    if estimate.relative_sds is None:
        notes.append(binned_note(estimate))
    if estimate.source == "reconstructed":
        notes.append(RECONSTRUCTED_NOTE)
    notes += [*cached_notes(estimate), *serving_notes(estimate)]
    notes += [] if estimate.reading is None else estimate.reading.notes
    basis = estimate.basis
    if basis is not None and basis.kind == "gpu scaled" and basis.gpus > 1:
        notes.append(LINKS_NOTE)
    if isinstance(table, EnergyTable) and table.metadata["measured_by"] == "hand":
        notes.append("The table was made by hand, from one run a cell.")
    return notes


def _marked(
    rows: Sequence[Sequence[MapCell]], cells: Sequence[CellEstimate]
) -> list[list[MapCell]]:
    """The same cells, with a mark where their energy was not measured."""
    return [
        [
            cell
            if cell.place is None or (coverage := cells[cell.place].coverage) is None
            else replace(cell, text=cell.text + MARKS[coverage])
            for cell in row
        ]
        for row in rows
    ]


def _ranges(cell: CellEstimate, grid: Grid) -> tuple[str, str]:
    """Which input and output lengths a cell holds."""
    ranges = []
    for edges, edge, shortest in (
        (grid.input_edges, cell.input_tokens, 0),
        (grid.output_edges, cell.output_tokens, 1),
    ):
        place = -1 if edge is None else edges.index(edge)
        ranges.append(length_ranges(edges, shortest)[place])
    return ranges[0], ranges[1]
