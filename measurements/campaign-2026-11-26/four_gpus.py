"""Forecasts four H200s that share a model, and holds them against the meter.

python four_gpus.py NAME     writes the forecasts of the price list as it is to NAME.csv
python four_gpus.py          prints the table of docs/accuracy.md, "Four GPUs"

`four_gpus.csv` and, for what replays draw, `four_gpus_replays.csv` were written and committed
before any four of them were metered; `four_gpus_qwen.csv` after Llama-3.1-8B was, and before
Qwen1.5-32B. The requests are those of figure 4 of the paper: 512 tokens in, 64 out, in batches of
1, 8 and 64; all requests at once of the Azure 2023 traces, whose folder JOULECAST_TRACES names; and
those that `joulecast replay --requests N --seed 7` draws of these. On one and two GPUs the traces
are estimated by what was measured of them.
"""

# ruff: noqa: S101, T201

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import joulecast as jc
from joulecast.cli.replay.draws import draw
from joulecast.estimator.steps.work import LengthArray
from joulecast.estimator.unit_prices.model import Scaling, scaling_on
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

HERE = Path(__file__).parent
DRAWN = {"llama-3.1-8b": 400, "qwen1.5-32b": 200}
"""Of each model: how many requests its replays draw of a trace."""

TRACES = ("conv", "code")
COLUMNS = ("model", "gpus", "requests", "energy_j", "low_j", "high_j", "seconds")


def rows() -> Iterator[tuple[object, ...]]:
    """Of every model, number of GPUs and load."""
    for model, count in DRAWN.items():
        for gpus in (1, 2, 4):
            scaling = scaling_on("h200-sxm", "vllm", model, gpus)
            for size in (1, 8, 64):
                told = forecast(scaling, np.tile(np.array([512, 64], dtype=np.int64), (size, 1)))
                yield model, gpus, f"{size} of (512, 64)", *figures(told)
            for trace in TRACES:
                path = Path(os.environ["JOULECAST_TRACES"]) / f"azure-2023-{trace}.csv"
                made = jc.estimate(path, model=model, gpu="h200-sxm", gpus=gpus, serving="offline")
                yield model, gpus, f"all of azure-2023-{trace}", *figures(made)
                lengths, _ = draw(str(path), count, 7, 16384, {})
                told = forecast(scaling, lengths)
                yield model, gpus, f"{count} of azure-2023-{trace}", *figures(told)


def forecast(scaling: Scaling, lengths: LengthArray) -> jc.Estimate:
    """Of requests that are all there at once."""
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
    return scaling.step_model(workload).estimate(workload, "", lengths)


def figures(made: jc.Estimate) -> tuple[str, ...]:
    """Energy [J], its interval and seconds."""
    assert made.interval_j is not None
    assert made.seconds is not None
    return tuple(f"{value:.4g}" for value in (made.energy_j, *made.interval_j, made.seconds))


def metered() -> Iterator[tuple[str, str, float, float]]:
    """Model, requests, energy [J] and seconds of what four cards were metered with."""
    for model, count in DRAWN.items():
        folder = HERE / "h200-sxm"
        batches = folder / f"{model}-tp4-batches" / "vllm-tp4-batches"
        if not batches.is_dir():
            continue
        for run in sorted(load_table(batches).runs, key=lambda run: run.batch_size):
            if run.valid:
                seconds = run.seconds / run.batches
                yield model, f"{run.batch_size} of (512, 64)", run.batch_energy_j, seconds
        for trace in TRACES:
            replay = Replay.load(folder / f"{model}-tp4" / "replays" / f"azure-2023-{trace}.json")
            (whole,) = replay.valid_runs
            yield model, f"{count} of azure-2023-{trace}", whole.round_j, whole.round_seconds


def held() -> Iterator[str]:
    """A line for each load: the meter, and how far each forecast lies above meter and clock."""
    before = forecasts("four_gpus", "four_gpus_replays")
    since = forecasts("four_gpus_qwen")
    yield "| model | requests | metered | forecast before | with Llama-3.1-8B's four |"
    yield "| --- | --- | --- | --- | --- |"
    for model, requests, energy_j, seconds in metered():
        if (model, requests) not in before:
            continue
        told = [
            "-" if (model, requests) not in by else off(by[model, requests], energy_j, seconds)
            for by in (before, since)
        ]
        shown = f"{energy_j:,.0f} J, {seconds:.3g} s"
        yield f"| {' | '.join([model, requests, shown, *told])} |"


def forecasts(*names: str) -> dict[tuple[str, str], tuple[float, ...]]:
    """Model and requests -> energy, its interval [J] and seconds, on four GPUs."""
    told = {}
    for name in names:
        path = HERE / f"{name}.csv"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for row in csv.DictReader(lines):
            if row["gpus"] == "4":
                told[row["model"], row["requests"]] = tuple(float(row[c]) for c in COLUMNS[3:])
    return told


def off(told: Sequence[float], energy_j: float, seconds: float) -> str:
    """How far a forecast lies above meter and clock, and whether its interval holds."""
    forecast_j, low_j, high_j, taken_s = told
    inside = "inside" if low_j <= energy_j <= high_j else "outside"
    energy, time = 100 * (forecast_j / energy_j - 1), 100 * (taken_s / seconds - 1)
    return f"{energy:+.1f} %, {inside}; {time:+.1f} % of time"


def main() -> None:
    """Write forecasts, or hold them."""
    if not sys.argv[1:]:
        print("\n".join(held()))
        return
    with (HERE / f"{sys.argv[1]}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows())


if __name__ == "__main__":
    main()
