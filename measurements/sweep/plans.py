"""Which runs a sweep makes, and in which order."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.sweep.cost import CostModel, batch_terms, cost_from_runs
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.sweep.studies import STUDIES, study_cells, study_runs
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.grid import Grid

PLANS = ("paper", "full", "spread", "quick", *STUDIES)
SMALL_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256)
QUICK_RUNS = 12
QUICK_SECONDS = 78.0
QUICK_LEAST = 10
"""Runs of a quick plan, even where they take longer: the step model needs 7 different batches, and
some runs fail a gate."""
QUICK_FIRST = 1024, 128
"""A full batch of these lengths comes first: mixed traces spend most of their energy in steps like
its own, with many requests and long caches, which cheaper runs leave to be inferred."""
QUICK_FIRST_SECONDS = 15.0
"""What it takes of `QUICK_SECONDS` at most: on two H200s its 48 s left time for five more."""

_PRICE_OF_TIME = 0.6
_NOTHING_KNOWN = 1e-3

Capacity = Callable[[int, int], int]


def make_plan(
    name: str, grid: Grid, capacity: Capacity, cost: CostModel, runs: int
) -> list[RunSpec]:
    """The runs of a plan, most informative first.

    Args:
        name: "paper", every cell of the grid at capacity; "full", these and 20 runs at smaller
            batches; "spread", twelve cells over the whole grid at capacity; "quick", 10 to 12
            runs chosen for the step model; or a study of `STUDIES`.
        grid: The cells.
        capacity: B(I, O) on this engine; 0 leaves a cell out.
        cost: Predicts how long runs take and what they cost.
        runs: Repeats of every run.
    """
    if name in STUDIES:
        return study_runs(name, grid, capacity, runs)
    cells = plan_cells(name, grid)
    at_capacity = [RunSpec(i, o, b, True, 1) for i, o in cells if (b := capacity(i, o))]
    small = small_batches(grid, capacity) if name in {"full", "quick"} else []
    if name == "quick":
        # One run each: a minute and a half leaves no time for more.
        picked = pick_informative(at_capacity + small, cost)
        return [replace(spec, priority=k) for k, spec in enumerate(picked)]
    once = at_capacity + small
    picked = pick_informative(once, cost)
    first = {spec.batch: k for k, spec in enumerate(picked)}
    others, smaller, spread_repeats, repeats = range(QUICK_RUNS, QUICK_RUNS + 4)
    spread = set(spread_cells(grid))
    plan = []
    for spec in once:
        for run in range(1, runs + 1):
            if run == 1:
                otherwise = others if spec.at_capacity else smaller
                priority = first.get(spec.batch, otherwise)
            else:
                is_spread = spec.at_capacity and spec.cell in spread
                priority = spread_repeats if is_spread else repeats
            plan.append(replace(spec, run=run, priority=priority))
    return sorted(plan, key=lambda spec: spec.priority)


def quick_batches(table: EnergyTable) -> set[tuple[int, int, int]]:
    """The batches (I, O, size) that a quick plan takes where all is as a table measured it."""
    sizes = {cell: int(energy.batch_size) for cell, energy in table.measured.items()}
    cost = cost_from_runs(table.runs, table.name)
    plan = make_plan("quick", table.grid, lambda i, o: sizes.get((i, o), 0), cost, 1)
    return {spec.batch for spec in plan}


def plan_cells(name: str, grid: Grid) -> list[tuple[int, int]]:
    """The cells whose B(I, O) a plan needs."""
    if name in STUDIES:
        return study_cells(name)
    return spread_cells(grid) if name == "spread" else list(grid.cells())


def small_batches(grid: Grid, capacity: Capacity) -> list[RunSpec]:
    """Twenty runs below capacity: batch sizes 1 to 256, two each, spread over the lengths."""
    rows, columns = grid.shape
    specs: dict[tuple[int, int, int], RunSpec] = {}
    for k, batch_size in enumerate(SMALL_BATCHES * 2):
        # Steps that share no factor with the number of edges visit all of them.
        row, column = (3 * k + 1) % rows, (3 * k + 2) % columns
        while row > 0 and 2 * batch_size > capacity(
            grid.input_edges[row], grid.output_edges[column]
        ):
            row -= 1
        i, o = grid.input_edges[row], grid.output_edges[column]
        if size := min(batch_size, capacity(i, o) // 2):
            spec = RunSpec(i, o, size, False, 1)
            specs[spec.batch] = spec
    return list(specs.values())


def spread_cells(grid: Grid) -> list[tuple[int, int]]:
    """Twelve cells over the whole grid, corners among them."""
    rows = np.linspace(0, grid.shape[0] - 1, 4).round().astype(int)
    columns = np.linspace(0, grid.shape[1] - 1, 3).round().astype(int)
    return [
        (grid.input_edges[row], grid.output_edges[column]) for row in rows for column in columns
    ]


def pick_informative(candidates: Sequence[RunSpec], cost: CostModel) -> list[RunSpec]:
    """Runs that together tell the step model's coefficients apart best: greedy D-optimality.

    A full batch of `QUICK_FIRST` is taken first, where there is one, then as many runs as fit into
    `QUICK_SECONDS`, `QUICK_LEAST` at the least and `QUICK_RUNS` at the most.

    Args:
        candidates: Runs to choose from.
        cost: Predicts energies, which scale the terms since errors are relative, and times.

    Returns:
        The runs in the order in which they were picked.
    """
    terms = np.array([_step_terms(spec) / cost.batch_energy_j(spec) for spec in candidates])
    terms /= np.abs(terms).max(axis=0)
    times = [cost.window_seconds(spec) for spec in candidates]
    information = _NOTHING_KNOWN * np.eye(terms.shape[1])
    picked: list[int] = []
    left = QUICK_SECONDS
    while len(picked) < min(QUICK_RUNS, len(candidates)):
        # det(A + x x') = det(A) (1 + x' A^-1 x). Over the time to some power, so that cheap runs
        # come first, but not a crowd of them that all tell the same.
        inverse = np.linalg.inv(information)
        gains = np.log1p(np.einsum("ij,jk,ik->i", terms, inverse, terms))
        gains /= np.array(times) ** _PRICE_OF_TIME
        others = [k for k in range(len(candidates)) if k not in picked]
        open_ = [k for k in others if times[k] <= left]
        if not picked:
            open_ = [k for k in others if _is_first(candidates[k])] or open_
        if not open_ and len(picked) >= QUICK_LEAST:
            break
        if not open_:
            open_ = [min(others, key=lambda k: times[k])]
        best = max(open_, key=lambda k: gains[k])
        left -= times[best] if picked else min(times[best], QUICK_FIRST_SECONDS)
        picked.append(best)
        information += np.outer(terms[best], terms[best])
    return [candidates[k] for k in picked]


def _is_first(spec: RunSpec) -> bool:
    return spec.at_capacity and spec.cell == QUICK_FIRST


def _step_terms(spec: RunSpec) -> FloatArray:
    """The step model's six terms for one batch, its steps as if all prompts were fed in one."""
    outputs = float(spec.batch_size * spec.output_tokens)
    steps = float(spec.output_tokens)
    return np.array([steps, *batch_terms(spec)[1:], outputs, spec.batch_size])


def in_order(plan: Sequence[RunSpec], seed: int, by_priority: bool) -> list[RunSpec]:
    """Shuffle a plan, so that drift does not follow the lengths; by priority if time is short."""
    shuffled = list(plan)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    return sorted(shuffled, key=lambda spec: spec.priority) if by_priority else shuffled
