"""What reconstructing a trace from four figures is worth, where the truth is known.

Reconstructs the two Azure 2023 traces from their own mean, sd, median and 99th percentile, with as
many requests as they have, and prints how far the estimates of the reconstructions lie from those
of the real ones, in percent. Needs the folder of the real traces in JOULECAST_TRACES.
"""

import os
from pathlib import Path

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.stepwise import estimate_stepwise
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.load import load_with_lengths, summarise
from joulecast.traces.reconstruct import reconstruct
from joulecast.traces.summary import LengthStatistics
from joulecast.traces.workload import Workload

TABLES = "h100-sxm/llama-3.1-8b/vllm", "h100-sxm/llama-3.1-8b/pytorch"


def figures(statistics: LengthStatistics) -> dict[str, float]:
    """The four figures."""
    return {
        "mean": statistics.mean,
        "sd": statistics.sd,
        "median": statistics.median[0],
        "percentile_99": statistics.percentile_99[0],
    }


def errors(path: Path) -> dict[tuple[str, str], float]:
    """(table, method) -> relative error of the reconstruction's estimate."""
    workload, lengths = load_with_lengths(path, 10**6)
    summary = summarise(path)
    made = reconstruct(figures(summary.input), figures(summary.output), workload.total.requests)
    again = Workload.of_lengths(POWER_OF_TWO_GRID, made)
    relative = {}
    for name in TABLES:
        table = load_table(name)
        for method, real, reconstructed in (
            (
                "binned",
                estimate_binned(workload, table, "real"),
                estimate_binned(again, table, "made"),
            ),
            (
                "stepwise",
                estimate_stepwise(workload, table, "real", lengths),
                estimate_stepwise(again, table, "made", made),
            ),
        ):
            relative[name, method] = reconstructed.energy_j / real.energy_j - 1
    return relative


def main() -> None:
    """Print them all."""
    folder = Path(os.environ["JOULECAST_TRACES"])
    for name in ("azure-2023-code", "azure-2023-conv"):
        for (table, method), error in errors(folder / f"{name}.csv").items():
            print(f"{name:16s} {table:30s} {method:9s} {100 * error:+5.1f} %")


if __name__ == "__main__":
    main()
