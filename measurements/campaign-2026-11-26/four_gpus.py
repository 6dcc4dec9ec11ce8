"""Forecasts four H200s that share a model, which nobody here has metered.

python four_gpus.py             writes four_gpus.csv beside itself
python four_gpus.py replays     writes four_gpus_replays.csv

Made and committed before such a machine was to be had, so that its meter can be held against it.
The requests are those of figure 4 of the paper: 512 tokens in, 64 out, in batches of 1, 8 and 64;
and all requests at once of the Azure 2023 traces, whose folder JOULECAST_TRACES names. On one and
two GPUs the traces are estimated by what was measured of them. The replays are the requests that
`joulecast replay --requests N --seed 7` draws of those traces.
"""

# ruff: noqa: S101

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import joulecast as jc
from joulecast.cli.replay.draws import draw
from joulecast.estimator.unit_prices.model import scaling_on
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

MODELS = ("llama-3.1-8b", "qwen1.5-32b")
COLUMNS = ("model", "gpus", "requests", "energy_j", "low_j", "high_j", "seconds")


def rows() -> Iterator[tuple[object, ...]]:
    """Of every model, number of GPUs and load."""
    for model in MODELS:
        for gpus in (1, 2, 4):
            scaling = scaling_on("h200-sxm", "vllm", model, gpus)
            for size in (1, 8, 64):
                lengths = np.tile(np.array([512, 64], dtype=np.int64), (size, 1))
                workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
                made = scaling.step_model(workload).estimate(workload, "", lengths)
                yield model, gpus, f"{size} of (512, 64)", *told(made)
            for trace in ("conv", "code"):
                path = Path(os.environ["JOULECAST_TRACES"]) / f"azure-2023-{trace}.csv"
                made = jc.estimate(path, model=model, gpu="h200-sxm", gpus=gpus, serving="offline")
                yield model, gpus, f"all of azure-2023-{trace}", *told(made)


def replays() -> Iterator[tuple[object, ...]]:
    """Of every model and number of GPUs: the requests that a replay draws of a trace."""
    for model, count in zip(MODELS, (400, 200), strict=True):
        longest = 16384
        for gpus in (1, 2, 4):
            scaling = scaling_on("h200-sxm", "vllm", model, gpus)
            for trace in ("conv", "code"):
                path = Path(os.environ["JOULECAST_TRACES"]) / f"azure-2023-{trace}.csv"
                lengths, _ = draw(str(path), count, 7, longest, {})
                workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
                made = scaling.step_model(workload).estimate(workload, "", lengths)
                yield model, gpus, f"{count} of azure-2023-{trace}", *told(made)


def told(made: jc.Estimate) -> tuple[str, ...]:
    """Energy [J], its interval and seconds."""
    assert made.interval_j is not None
    assert made.seconds is not None
    return tuple(f"{value:.4g}" for value in (made.energy_j, *made.interval_j, made.seconds))


def main() -> None:
    """Write them."""
    forecast, suffix = (replays, "_replays") if sys.argv[1:] == ["replays"] else (rows, "")
    path = Path(__file__).with_name(f"four_gpus{suffix}.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(forecast())


if __name__ == "__main__":
    main()
