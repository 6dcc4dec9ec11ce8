"""Holds estimates against the twelve windows of small batches on an H100 (vllm-small).

python small_batches.py     prints the error of each table's estimate, window by window [%]
"""

# ruff: noqa: T201

import statistics
from pathlib import Path

import numpy as np

from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload

SMALL = Path(__file__).parent / "h100-sxm" / "llama-3.1-8b" / "vllm-small"
PREFIX = "h100-sxm/llama-3.1-8b/"
HOST = "vllm-quick-fourth"
"""Measured on the windows' own machine: how fast its host launches steps."""


def main() -> None:
    """Print the errors of every table, and their mean."""
    small = load_table(SMALL)
    for name, host in (
        ("vllm", HOST),
        ("vllm-first-card", HOST),
        ("vllm-quick-fourth", None),
        ("vllm-traffic", None),
    ):
        table = load_table(PREFIX + name)
        model = StepModel.of(table, None if host is None else load_table(PREFIX + host))
        errors = []
        print(f"{name}, whose card idles at {table.metadata['idle_power_w']:.0f} W")
        for run in sorted(small.runs, key=lambda run: run.batch):
            lengths = np.tile(np.array(run.cell, dtype=np.int64), (run.batch_size, 1))
            workload = Workload.of_lengths(PAPER_GRID, lengths)
            energy_j = model.estimate(workload, "", lengths).energy_j
            errors.append(100 * (energy_j / run.batch_energy_j - 1))
            print(f"  {run.batch}: {errors[-1]:+.1f} %")
        worst = max(errors, key=abs)
        print(f"  mean {statistics.fmean(errors):+.1f} %, worst {worst:+.1f} %")


if __name__ == "__main__":
    main()
