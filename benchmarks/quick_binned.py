"""What cells a quick table of PyTorch lacks are filled in with, held against the full table.

The full table is cut to the runs that the quick plan takes; its search for B(I, O) is kept whole.
Plans differ with what they reckon runs to cost, so those of several cost models are tried. Prints
errors of the energy per request over the cells without a run at capacity, and of binned estimates,
in percent of what the full table says.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from joulecast.estimator.binned import estimate_binned
from joulecast.measurements.engines import EngineVariant
from joulecast.measurements.models import load_shape
from joulecast.measurements.sweep.cost import CostModel, cost_from_runs, rough_cost
from joulecast.measurements.sweep.plans import make_plan
from joulecast.measurements.table.interpolation import CellEnergy, fit_law, request_terms
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.load import load_workload

PREFIX = "h100-sxm/llama-3.1-8b/"
TRACES = "azure-2023-code", "azure-2023-conv"
Way = Callable[[EnergyTable], EnergyTable]


def by_law(table: EnergyTable, runs: Sequence[Run]) -> EnergyTable:
    """All cells by a law fitted to some runs, with nothing put back of what it misses."""
    valid = [run for run in runs if run.valid]
    lengths = np.array([run.cell for run in valid], dtype=float)
    sizes = np.array([float(run.batch_size) for run in valid])
    energies_j = np.array([run.batch_energy_j for run in valid]) / sizes
    law = fit_law(lengths, sizes, energies_j)
    cells = list(table.largest_batches)
    batches = np.array(list(table.largest_batches.values()))
    told = request_terms(np.array(cells, dtype=float), batches) @ law * batches
    filled = {
        cell: CellEnergy(float(energy_j), float(size), "extrapolated")
        for cell, energy_j, size in zip(cells, told, batches, strict=True)
    }
    made = replace(table)
    made.__dict__["cells"] = {**filled, **table.measured}
    return made


WAYS: dict[str, Way] = {
    "law of the runs at capacity": lambda table: by_law(
        table, [run for run in table.runs if run.at_capacity]
    ),
    "law of all runs": lambda table: by_law(table, table.runs),
    "the same, misses at capacity on cones (shipped)": lambda table: table,
}


def cost_models() -> dict[str, CostModel]:
    """What plans may reckon with: a table of the same, of another engine, or none."""
    rough = rough_cost(
        load_shape("llama-3.1-8b"), load_table(PREFIX + "vllm").gpu, "bfloat16", EngineVariant()
    )
    tables = {name: load_table(PREFIX + name) for name in ("pytorch", "pytorch-by-hand", "vllm")}
    costs = {name: cost_from_runs(table.runs, name) for name, table in tables.items()}
    return {**costs, "a rough rule": rough}


def main() -> None:
    """Every cost model, every way."""
    full = load_table(PREFIX + "pytorch")
    workloads = {trace: load_workload(trace) for trace in TRACES}
    whole = {trace: estimate_binned(workload, full, trace) for trace, workload in workloads.items()}
    print("| plan by the costs of | way | cells: median, mean, worst | code | conversations |")
    for name, cost in cost_models().items():
        plan = make_plan(
            "quick", full.grid, lambda i, o: int(full.measured[i, o].batch_size), cost, 1
        )
        batches = {spec.batch for spec in plan}
        runs = tuple(run for run in full.runs if run.batch in batches and run.run == 1)
        quick = replace(full, runs=runs)
        for way, fill in WAYS.items():
            table = fill(quick)
            errors = [
                100 * (table.cells[cell].request_energy_j / energy.request_energy_j - 1)
                for cell, energy in full.measured.items()
                if cell not in quick.measured
            ]
            shares = [
                100 * (estimate_binned(workload, table, trace).energy_j / whole[trace].energy_j - 1)
                for trace, workload in workloads.items()
            ]
            print(
                f"| {name}: {len(runs)} runs, {len(quick.measured)} at capacity | {way} "
                f"| {np.median(np.abs(errors)):.1f}, {np.mean(errors):+.1f}, "
                f"{max(errors, key=abs):+.1f} % | {shares[0]:+.1f} % | {shares[1]:+.1f} % |"
            )


if __name__ == "__main__":
    main()
