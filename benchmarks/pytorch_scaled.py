"""How far prices of plain PyTorch carry: to runs, hosts and batches that they were not fitted to.

    python benchmarks/pytorch_scaled.py

docs/accuracy.md has what it printed. All but three H200s of the campaign of 2026-11-26 were H100s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.paper.forecast import forecast_binned
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling, scaling_on
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.pytorch import (
    TimedRun,
    fit_pytorch_prices,
    forecast_run,
    timed_runs,
)
from joulecast.estimator.unit_prices.shipped import PYTORCH_TABLE, load_unit_prices
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.unit_prices.static_batches import batch_limit
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.studies import load_study
from joulecast.measurements.table.table import EnergyTable, load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.workload import Workload

H200 = Path(__file__).parents[1] / "measurements/campaign-2026-11-26/h200-sxm/llama-3.1-8b-pytorch"
"""A quick plan and two replays on one host; the second was disturbed in its last minute."""

STUDIES = (
    "h200-sxm/llama-3.1-8b/pytorch-batches",
    "h200-sxm/llama-3.1-8b/pytorch-batches-repeated",
)
"""Of two other hosts: (512, 64) in batches of 1 to 1,024, the second of them twice."""

LATER_STUDIES = "h200-sxm/llama-3.1-8b/pytorch-small", "h200-sxm/llama-3.1-8b/pytorch-sweeps"
"""Of a third, in processes of their own: four batches thrice, and 51 windows along lengths."""

BY_HAND = "h100-sxm/llama-3.1-8b/pytorch-by-hand"
TRACES = (
    "azure-2023-code",
    "azure-2023-conv",
    "burstgpt-reconstructed",
    "azure-2024-code-reconstructed",
    "azure-2024-conv-reconstructed",
)


def show(title: str, errors: Sequence[float]) -> None:
    """Print median, worst and mean error."""
    percents = 100 * np.array(errors)
    worst = percents[np.abs(percents).argmax()]
    print(
        f"  {title}: {len(percents)}, median {np.median(np.abs(percents)):.1f} %, "
        f"worst {worst:+.1f} %, mean {percents.mean():+.1f} %"
    )


def replays() -> None:
    """Replays on another card and host, from the table alone."""
    print("replays, from the table alone")
    scaling = scaling_on("h100-sxm", "pytorch")
    for path in sorted((SHIPPED / "pytorch").glob("*.json")):
        replay = Replay.load(path)
        lengths = np.array(replay.lengths)
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        estimate = scaling.step_model(workload).estimate(workload, path.stem, lengths)
        (run,) = replay.valid_runs
        assert estimate.interval_j is not None
        assert estimate.seconds is not None
        low_j, high_j = estimate.interval_j
        print(
            f"  {path.stem}: energy {100 * (estimate.energy_j / run.energy_j - 1):+.1f} %, "
            f"time {100 * (estimate.seconds / run.seconds - 1):+.1f} %, "
            f"interval +-{100 * (high_j - low_j) / 2 / estimate.energy_j:.1f} % "
            f"{'holds' if low_j <= run.energy_j <= high_j else 'DOES NOT HOLD'}"
        )


def left_out(table: EnergyTable) -> None:
    """Every batch of the table from all others."""
    shared = load_unit_prices("h100-sxm", "vllm")
    deployment = deployment_of(table.metadata, table.config)
    runs: dict[tuple[int, int, int], list[TimedRun]] = {}
    for run in timed_runs(table):
        runs.setdefault(run.batch, []).append(run)
    energy: dict[bool, list[float]] = {True: [], False: []}
    known: list[float] = []
    for batch, of_batch in runs.items():
        prices = fit_pytorch_prices(table, shared, without={batch})
        told = [forecast_run(prices, run, deployment) for run in of_batch]
        metered_j = sum(run.energy_j for run in of_batch)
        cell = batch[:2]
        is_largest = batch[2] >= table.largest_batches[cell]
        energy[is_largest].append(sum(energy_j for energy_j, _ in told) / metered_j - 1)
        work_j = sum(float(prices.energy_j @ run.work.total) for run in of_batch)
        idle_j = sum(run.idle_power_w * run.seconds for run in of_batch)
        known.append((work_j + idle_j) / metered_j - 1)
    print("batches of the table, each left out")
    show("largest", energy[True])
    show("smaller", energy[False])
    show("all, their time being known", known)


def by_hand() -> None:
    """The batches of a hand sweep of the day before, on another card."""
    table = load_table(BY_HAND)
    prices = load_unit_prices("h100-sxm", "pytorch")
    deployment = deployment_of(load_table(PYTORCH_TABLE).metadata, table.config)
    scheduler = Scaling(deployment).step_model(load_embedded(TRACES[0])).scheduler
    errors = []
    for run in table.runs:
        spent = prices.spent(scheduler.schedule_batch(*run.batch), deployment)
        errors.append(prices.energy_of(spent, 1) / run.batch_energy_j - 1)
    print("pytorch-by-hand, every step taken to be new")
    show("largest batches", errors)


def paper_method(table: EnergyTable) -> None:
    """The paper's estimate with E_batch and B forecast, beside that of the table."""
    print("binned, with batches forecast, against the table's own")
    model = scaling_on("h100-sxm", "pytorch").step_model(load_embedded(TRACES[0]))
    for trace in TRACES:
        workload = load_embedded(trace)
        forecast = forecast_binned(workload, model, trace)
        measured = estimate_binned(workload, table, trace)
        print(f"  {trace}: {100 * (forecast.energy_j / measured.energy_j - 1):+.1f} %")


def batches() -> None:
    """The largest batches of the tables that searched for them."""
    print("largest batches below the cap of 1,024, forecast over found")
    found: Mapping[str, list[float]] = {PYTORCH_TABLE: [], f"{PYTORCH_TABLE}-compiled": []}
    for name, errors in found.items():
        table = load_table(name)
        deployment = Deployment.of(table.config, table.gpu, "pytorch")
        for cell, largest in table.searched.items():
            if largest < 1024:
                errors.append(batch_limit(deployment, cell) / largest - 1)
        show(name, errors)


def on_the_host_of(prices: UnitPrices, table: EnergyTable) -> UnitPrices:
    """The same with the launches and plans of the host on which a table was measured."""
    from scipy.optimize import least_squares

    deployment, runs = deployment_of(table.metadata, table.config), timed_runs(table)

    def with_paces(by: Sequence[float]) -> UnitPrices:
        launch, plan = np.exp(by).tolist()
        return replace(prices, pace=prices.pace.scaled({"eager_layer": launch, "new_shape": plan}))

    def residuals(by: Sequence[float]) -> list[float]:
        paced = with_paces(by)
        return [np.log(forecast_run(paced, run, deployment)[1] / run.seconds) for run in runs]

    fitted = least_squares(residuals, np.zeros(2), loss="soft_l1", f_scale=0.05)
    return with_paces(fitted.x)


def h200() -> None:
    """Another GPU: from the H100 by the data sheets, and with the pace of the serving host."""
    print("an H200")
    table = load_table(H200 / "pytorch-quick")
    prices = scaling_on("h200-sxm", "pytorch").carried_prices().prices
    hosted = on_the_host_of(prices, table)
    deployment, runs = deployment_of(table.metadata, table.config), timed_runs(table)
    for name, priced in (("carried", prices), ("with the pace of its host", hosted)):
        told = [forecast_run(priced, run, deployment) for run in runs]
        pairs = list(zip(told, runs, strict=True))
        show(f"{name}, batches", [energy_j / run.energy_j - 1 for (energy_j, _), run in pairs])
        show(f"{name}, time", [seconds / run.seconds - 1 for (_, seconds), run in pairs])
    launch_s, plan_s = len(deployment.shape.layers) * hosted.pace.eager_layer, hosted.pace.new_shape
    print(f"  that host takes {1e3 * launch_s:.0f} ms for a step and {1e3 * plan_s:.0f} for a plan")
    h200_replays(table, hosted)
    own = Deployment.of(table.config, table.gpu, "pytorch")
    found = {cell: largest for cell, largest in table.searched.items() if largest < 1024}
    show("largest batches", [batch_limit(own, cell) / most - 1 for cell, most in found.items()])


def h200_batches(studies: Sequence[str]) -> None:
    """Batches of other hosts, by whether their windows hold plans for new shapes."""
    scaling = scaling_on("h200-sxm", "pytorch")
    prices, deployment = scaling.carried_prices().prices, scaling.deployment
    runs = [run for name in studies for run in timed_runs(load_study(name))]
    for title, has_plans in (("without plans", False), ("with plans", True)):
        chosen = [run for run in runs if (run.new_steps > 0) == has_plans]
        told = [(*forecast_run(prices, run, deployment), run) for run in chosen]
        show(f"batches {title}", [energy_j / run.energy_j - 1 for energy_j, _, run in told])
        show(f"batches {title}, time", [seconds / run.seconds - 1 for _, seconds, run in told])


def h200_replays(table: EnergyTable, hosted: UnitPrices) -> None:
    """Its two replays: from its own quick table, carried, and carried with its host's pace."""
    deployment, scheduler = deployment_of(table.metadata, table.config), scheduler_of(table)
    scaling = scaling_on("h200-sxm", "pytorch")
    for path in sorted((H200 / "replays").glob("*.json")):
        replay = Replay.load(path)
        lengths, (run,) = np.array(replay.lengths), replay.valid_runs
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        spent = hosted.spent(scheduler.schedule(lengths), deployment)
        told = {"with the pace of its host": (hosted.energy_of(spent, 1), spent.seconds, "")}
        models = {"own quick table": StepModel.of(table), "carried": scaling.step_model(workload)}
        for name, model in models.items():
            estimate = model.estimate(workload, path.stem, lengths)
            _, high_j = estimate.interval_j or (0.0, 0.0)
            half = f", +-{100 * (high_j / estimate.energy_j - 1):.0f} %"
            told[name] = (estimate.energy_j, estimate.seconds or 0.0, half)
        for name, (energy_j, seconds, half) in told.items():
            off, late = 100 * (energy_j / run.energy_j - 1), 100 * (seconds / run.seconds - 1)
            print(f"  {path.stem}, {name}: energy {off:+.1f} %, time {late:+.1f} %{half}")


def main() -> None:
    """All of it."""
    table = load_table(PYTORCH_TABLE)
    replays()
    left_out(table)
    by_hand()
    paper_method(table)
    batches()
    h200()
    for studies in (STUDIES, *([name] for name in LATER_STUDIES)):
        print(f"studies {', '.join(studies)}")
        h200_batches(studies)


if __name__ == "__main__":
    main()
