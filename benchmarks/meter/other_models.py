"""How far prices per unit of physical work carry: to models and GPUs that they were not fitted to.

    python benchmarks/meter/other_models.py

Each model of the H100's tables is left out in turn, and its replays and batches are forecast from
the others; then the H200's replays from the H100 alone, its pairs and fours of a model from those
of the other, and small batches of Llama-3.1-8B from its own table and from the prices.
docs/prices.md has what it printed.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.carry import carry
from joulecast.estimator.unit_prices.fit import Metered, forecast_error, held_out_errors
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.unit_prices.shipped import load_unit_prices
from joulecast.estimator.unit_prices.sources import (
    deployment_of,
    idle_powers_w,
    raw_traffic,
    shared_studies,
    shipped_measurements,
    shipped_replays,
    shipped_tables,
)
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

OWN = "h100-sxm/llama-3.1-8b/vllm"
OTHER_CARDS = [f"{OWN}-quick{name}" for name in ("", "-second", "-third", "-fourth")]
MOST_REQUESTS, LEAST_SECONDS = 256, 5.0

Errors = Mapping[str, tuple[float, float]]


def kind_of(each: Metered) -> str:
    """What sort of model and deployment it is."""
    deployment = each.deployment
    if deployment.quantization is not None:
        return deployment.quantization
    if deployment.is_eager:
        return "eager"
    if deployment.gpus > 1:
        return f"{deployment.gpus} GPUs"
    return "mixture" if deployment.shape.is_mixture else "dense"


def show(title: str, metered: Iterable[Metered], errors: Errors) -> None:
    """Print median and worst errors of each kind."""
    print(title)
    kinds: dict[str, list[tuple[float, float]]] = {}
    for each in metered:
        if each.name in errors:
            kinds.setdefault(kind_of(each), []).append(errors[each.name])
    for kind, told in sorted(kinds.items()):
        energy, seconds = 100 * np.abs(np.array(told)).T
        print(
            f"  {kind:<8s} {len(told):3d}: energy {np.median(energy):.1f} %, worst "
            f"{energy.max():.1f} %; time {np.median(seconds):.1f} %, worst {seconds.max():.1f} %"
        )


def left_out(
    metered: list[Metered],
    idle_w: list[float],
    forecast: Callable[[Metered], bool],
    learn_from: Callable[[Metered], bool],
) -> Errors:
    """Errors of each model without anything of its own.

    8-bit weights and eager were measured of one model alone, so their own tables stay in.
    """

    def key(each: Metered) -> str:
        return each.deployment.shape.name

    plain = held_out_errors(metered, idle_w, key, forecast, learn_from)
    own = {"fp8", "eager"}
    names = {each.name for each in metered if kind_of(each) in own}
    special = held_out_errors(
        metered,
        idle_w,
        lambda each: "special" if each.name in names and "replays" in each.group else "others",
        lambda each: each.name in names and "replays" in each.group,
    )
    return {**plain, **special}


def small_batches() -> None:
    """Equal requests on cards that the table was not measured on."""
    own = StepModel.of(load_table(OWN))
    errors: dict[str, list[tuple[float, bool]]] = {"its own table": [], "prices of all": []}
    for name in OTHER_CARDS:
        table = load_table(name)
        scaling = Scaling(deployment_of(table.metadata, table.config))
        for run in table.runs:
            if not run.valid or run.batch_size > MOST_REQUESTS or run.seconds < LEAST_SECONDS:
                continue
            lengths = np.tile([run.input_tokens, run.output_tokens], (run.batch_size, 1))
            workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
            models = own, scaling.step_model(workload)
            for told, model in zip(errors.values(), models, strict=True):
                estimate = model.estimate(workload, name, lengths)
                low_j, high_j = estimate.interval_j or (0.0, 0.0)
                off = estimate.energy_j / run.batch_energy_j - 1
                told.append((off, low_j <= run.batch_energy_j <= high_j))
    for name, told in errors.items():
        off = 100 * np.abs([error for error, _ in told])
        held = sum(is_within for _, is_within in told)
        print(
            f"small batches by {name}: {len(told)}, {np.median(off):.1f} %, worst {off.max():.1f} "
            f"%, {held} within the interval"
        )


def shared_models() -> None:
    """What several H200s take that share a model, without anything of that model."""
    gpu = "h200-sxm"
    carried = carry(load_unit_prices("h100-sxm", "vllm"), load_gpu("h100-sxm"), load_gpu(gpu))
    tables = shipped_tables(gpu, "vllm")
    shared = shared_studies(gpu, "vllm")
    metered = [
        *shipped_measurements([*tables, *shared]),
        *raw_traffic(gpu, tables),
        *shipped_replays(gpu, "vllm"),
    ]

    def is_shared(each: Metered) -> bool:
        return each.deployment.gpus > 1 and each.is_busy

    told = held_out_errors(
        metered,
        idle_powers_w(tables),
        lambda each: each.deployment.shape.name,
        is_shared,
        prior=carried.prices,
    )
    for model in sorted({each.deployment.model for each in metered if is_shared(each)}):
        of = [each for each in metered if is_shared(each) and each.deployment.model == model]
        show(f"H200s that share {model}, without anything of it", of, told)


def main() -> None:
    """Print all of it."""
    tables = shipped_tables("h100-sxm", "vllm")
    batches, replays = shipped_measurements(tables), shipped_replays("h100-sxm", "vllm")
    metered, idle_w = [*batches, *replays], idle_powers_w(tables)

    def is_replay(each: Metered) -> bool:
        return "replays" in each.group

    def is_batch(each: Metered) -> bool:
        return not is_replay(each)

    told = left_out(metered, idle_w, is_replay, is_batch)
    show("H100, replays from the tables of other models", replays, told)
    told = left_out(metered, idle_w, is_replay, lambda _: True)
    show("H100, replays from the tables and replays of other models", replays, told)
    for each in replays:
        print(f"    {each.name:<60s} {100 * told[each.name][0]:+.1f} %")
    told = held_out_errors(metered, idle_w, lambda each: each.deployment.shape.name, is_batch)
    show("H100, batches from the tables and replays of other models", batches, told)
    first, second = load_gpu("h100-sxm"), load_gpu("h200-sxm")
    carried = carry(load_unit_prices("h100-sxm", "vllm"), first, second).prices
    others = shipped_replays("h200-sxm", "vllm")
    show(
        "H200, replays from the H100 by the data sheets",
        others,
        {each.name: forecast_error(carried, each) for each in others},
    )
    shared_models()
    small_batches()


if __name__ == "__main__":
    main()
