"""Holds forecasts against windows of equal requests on H200s.

python equal_requests.py     prints the tables of docs/accuracy.md, "Equal requests, one by one"

The windows are those of `llama-3.1-8b-sweeps` and of the folders `*-batches`, but for eager steps.
No price is fitted to them but for those on two GPUs and four, which the price list holds since
2026-11-29.
"""

# ruff: noqa: S101, T201

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecast.estimator.steps.work import LengthArray
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.carry import CarriedPrices, carry
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.shipped import BEST_KNOWN, load_unit_prices
from joulecast.estimator.unit_prices.sources import deployment_of, steps_of_log
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

HERE = Path(__file__).parent / "h200-sxm"
SWEEPS = "llama-3.1-8b-sweeps/vllm-sweeps"
OWN_TABLES = {
    SWEEPS: "h200-sxm/llama-3.1-8b/vllm",
    "olmoe-1b-7b-batches/vllm-batches": "h200-sxm/olmoe-1b-7b/vllm-quick",
    "olmo-1b-batches/vllm-batches": None,
    "llama-3.1-8b-batches/vllm-batches": "h200-sxm/llama-3.1-8b/vllm",
    "llama-3.1-8b-batches-second/vllm-batches": "h200-sxm/llama-3.1-8b/vllm",
    "llama-3.1-8b-tp2-batches/vllm-tp2-batches": None,
    "llama-3.1-8b-tp4-batches/vllm-tp4-batches": "h200-sxm/llama-3.1-8b/vllm-tp4-traffic",
    "qwen1.5-32b-batches/vllm-batches": "h200-sxm/qwen1.5-32b/vllm-quick",
    "qwen1.5-32b-batches-second/vllm-batches": "h200-sxm/qwen1.5-32b/vllm-quick",
    "qwen1.5-32b-tp2-batches/vllm-tp2-batches": "h200-sxm/qwen1.5-32b/vllm-tp2-traffic",
    "qwen1.5-32b-tp4-batches/vllm-tp4-batches": "h200-sxm/qwen1.5-32b/vllm-tp4-quick",
    "olmo-7b-batches/vllm-batches": None,
}
"""Folder of windows -> the table that ships of the same deployment, if any does."""

FORECASTS = {"list": "price list", "own": "own table", "carried": "carried from the H100"}
MODELS = {
    "llama-3.1-8b": "Llama-3.1-8B",
    "llama-3.1-8b-tp2": "Llama-3.1-8B on two",
    "llama-3.1-8b-tp4": "Llama-3.1-8B on four",
    "olmoe-1b-7b": "OLMoE-1B-7B",
    "olmo-1b": "OLMo-1B",
    "olmo-7b": "OLMo-7B",
    "qwen1.5-32b": "Qwen1.5-32B",
    "qwen1.5-32b-tp2": "Qwen1.5-32B on two",
    "qwen1.5-32b-tp4": "Qwen1.5-32B on four",
}

Cell = tuple[int, int, int]


class FromH100(Scaling):
    """A forecast as if no H200 had been measured."""

    def carried_prices(self) -> CarriedPrices:
        """Those of the H100, by the data sheets."""
        gpu = load_gpu(BEST_KNOWN)
        prices = load_unit_prices(BEST_KNOWN, self.deployment.engine)
        return carry(prices, gpu, self.deployment.gpu)


@dataclass(frozen=True)
class Held:
    """A forecast of a window.

    Attributes:
        energy: How far it lies above the meter, relative.
        seconds: Likewise above the clock.
        is_within: Whether the metered energy lies within its interval.
    """

    energy: float
    seconds: float
    is_within: bool


def held(
    model: StepModel, workload: Workload, lengths: LengthArray, run_j: float, seconds: float
) -> Held:
    """Hold a forecast of one batch against what it took."""
    estimate = model.estimate(workload, "", lengths)
    assert estimate.interval_j is not None
    assert estimate.seconds is not None
    low_j, high_j = estimate.interval_j
    return Held(
        estimate.energy_j / run_j - 1, estimate.seconds / seconds - 1, low_j <= run_j <= high_j
    )


def held_windows(folder: str) -> dict[Cell, dict[str, Held]]:
    """Batch -> forecast -> how it holds, of every valid window of a folder."""
    table, own = load_table(HERE / folder), OWN_TABLES[folder]
    deployment = deployment_of(table.metadata, table.config)
    fitted = None if own is None else StepModel.of(load_table(own))
    told: dict[Cell, dict[str, Held]] = {}
    for run in sorted(table.runs, key=lambda run: run.batch):
        if not run.valid:
            continue
        lengths = np.tile(np.array(run.cell, dtype=np.int64), (run.batch_size, 1))
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        models = {
            "list": Scaling(deployment).step_model(workload),
            "carried": FromH100(deployment).step_model(workload),
        }
        if fitted is not None:
            models["own"] = fitted
        seconds = run.seconds / run.batches
        told[run.batch] = {
            name: held(model, workload, lengths, run.batch_energy_j, seconds)
            for name, model in models.items()
        }
    return told


def _title(folder: str) -> str:
    """Of a folder's model."""
    model, _, card = folder.partition("/")[0].replace("-sweeps", "-batches").partition("-batches")
    return MODELS[model] + (", another card" if card else "")


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def summary(told: Mapping[str, Mapping[Cell, Mapping[str, Held]]]) -> Iterator[str]:
    """Median and worst errors of every forecast of every model."""
    yield _row(["model", "windows", "forecast by", "energy", "inside its interval", "time"])
    yield _row(["---"] * 6)
    for folder, windows in told.items():
        model = _title(folder)
        for name, title in FORECASTS.items():
            of = [each[name] for each in windows.values() if name in each]
            if of:
                energies, seconds = np.array([(each.energy, each.seconds) for each in of]).T
                inside = f"{sum(each.is_within for each in of)} of {len(of)}"
                cells = [_spread(energies), inside, _spread(seconds)]
                holds = ", which holds them" if name == "list" and " on " in model else ""
                yield _row([model, len(of), title + holds, *cells])


def _spread(errors: FloatArray) -> str:
    worst = errors[np.abs(errors).argmax()]
    return (
        f"{100 * np.median(np.abs(errors)):.1f} %, {100 * worst:+.1f} %, "
        f"mean {100 * errors.mean():+.1f} %"
    )


def all_errors(told: Mapping[str, Mapping[Cell, Mapping[str, Held]]]) -> Iterator[str]:
    """Energy and time of every window by the price list, a row for each pair of lengths."""
    yield _row(["requests of", "batch: energy, time [%]"])
    yield _row(["---"] * 2)
    for folder, windows in told.items():
        model = _title(folder)
        for lengths in sorted({cell[:2] for cell in windows}):
            errors = [
                f"{cell[2]:,}: {100 * each['list'].energy:+.1f}, {100 * each['list'].seconds:+.1f}"
                + ("" if each["list"].is_within else " (outside)")
                for cell, each in windows.items()
                if cell[:2] == lengths
            ]
            yield _row([f"{model} ({lengths[0]:,}, {lengths[1]:,})", "; ".join(errors)])


@dataclass(frozen=True)
class Stretch:
    """A part of a window in which nothing is fed but tokens of requests that decode.

    Attributes:
        context: Mean cached tokens of a request.
        power_w: Mean power [W].
        step_s: A step [s].
        step_j: Its energy beside idle power [J].
        energy: How far the shipped prices of its work lie above that, relative.
        seconds: Likewise for its time.
    """

    context: float
    power_w: float
    step_s: float
    step_j: float
    energy: float
    seconds: float


PARTS = 10
_COUNTER_LATE_S = 0.02
_SETTLED_S = 0.3
"""After the last prompt, until its power is out of the counter."""


def stretches(path: Path, parts: int = PARTS) -> list[Stretch]:
    """A logged window cut into parts at ticks, from its last prompt on."""
    log, ticks = StepLog.read(path), Ticks.read(path.with_name(path.name.replace("steps", "ticks")))
    deployment = deployment_of(log.facts, log.facts["model"])
    prices = load_unit_prices(deployment.gpu.name, deployment.engine)
    settings = log.facts["engine_settings"]
    ended = np.fmax.accumulate(log.output_at)
    begin = ended[np.flatnonzero(log.prompt_tokens)[-1]] + _SETTLED_S
    (of_gpu,) = ticks.by_gpu.values()
    inside = of_gpu.seconds[(of_gpu.seconds >= begin) & (of_gpu.seconds <= ended[-1])]
    cuts = inside[np.linspace(0, len(inside) - 1, parts + 1).astype(int)]
    told = []
    for first, last in itertools.pairwise(cuts):
        chosen = (ended > first - _COUNTER_LATE_S) & (ended <= last - _COUNTER_LATE_S)
        steps, seconds = int(chosen.sum()), float(last - first)
        energy_j = ticks.energy_between(first, last)
        work = deployment.work_of(steps_of_log(log, chosen, settings))
        work_j = energy_j - log.facts["idle_power_w"] * seconds
        told.append(
            Stretch(
                context=float(log.context[chosen].sum() / log.decoding[chosen].sum()),
                power_w=energy_j / seconds,
                step_s=seconds / steps,
                step_j=work_j / steps,
                energy=prices.work_j(work.total) / work_j - 1,
                seconds=float(prices.step_seconds(work, deployment).sum()) / seconds - 1,
            )
        )
    return told


def decoding() -> Iterator[str]:
    """What decoding alone takes, by batch, in the first, the middle and the last tenth."""
    titles = ["batch", "cached tokens each", "power", "step", "J a step", "energy", "time"]
    yield _row(titles)
    yield _row(["---"] * len(titles))
    for size in (1, 8, 16, 32, 64, 128, 197):
        told = stretches(HERE / SWEEPS / "logs" / f"512-4096-{size}-1.steps.csv.gz")
        of = [told[0], told[len(told) // 2], told[-1]]
        yield _row(
            [
                size,
                ", ".join(f"{each.context:,.0f}" for each in of),
                ", ".join(f"{each.power_w:.0f}" for each in of) + " W",
                ", ".join(f"{1e3 * each.step_s:.2f}" for each in of) + " ms",
                ", ".join(f"{each.step_j:.2f}" for each in of),
                ", ".join(f"{100 * each.energy:+.1f}" for each in of) + " %",
                ", ".join(f"{100 * each.seconds:+.1f}" for each in of) + " %",
            ]
        )


def tables() -> list[str]:
    """All lines of the three tables."""
    told = {folder: held_windows(folder) for folder in OWN_TABLES}
    return [*summary(told), "", *all_errors(told), "", *decoding()]


if __name__ == "__main__":
    print("\n".join(tables()))
