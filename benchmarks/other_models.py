"""Forecasts replays from the tables and replays of other models alone, by physical work.

    python benchmarks/other_models.py

For each model that was measured on an H100 with vLLM, prices per unit of physical work are fitted
to what was metered of all others: the batches of their tables and their replays, each half of a
model's weight. These prices and the shape of the model that was left out forecast its replays.
Nothing of this is in the product yet.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from joulecast.estimator.steps.physical import PHYSICAL_TERMS, physical_work
from scipy.optimize import nnls

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.metered_batches import metered_batches
from joulecast.estimator.validate import find_replays
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.identity import kind_of
from joulecast.measurements.models import load_shape
from joulecast.measurements.replay import SHIPPED, Replay
from joulecast.measurements.table.table import load_table, table_names

GPU = "h100-sxm"


@dataclass(frozen=True)
class Metered:
    """Something that was metered.

    Attributes:
        name: What it was.
        work: What it took, in the order of `PHYSICAL_TERMS`.
        energy_j: Energy [J].
        seconds: Time [s].
    """

    name: str
    work: FloatArray
    energy_j: float
    seconds: float


def is_plain(facts: Mapping[str, object]) -> bool:
    """Whether something is of one GPU of the kind, vLLM, compiled and not quantized."""
    kind = kind_of(facts)
    asked = GPU, "vllm", 1, None, False
    return asked == tuple(
        kind[key] for key in ("gpu", "engine", "gpu_count", "quantization", "eager")
    )


def batches() -> dict[str, list[Metered]]:
    """Model -> what its tables hold."""
    metered = defaultdict(list)
    for name in table_names():
        table = load_table(name)
        by_hand = table.metadata["measured_by"] == "hand"
        if by_hand or table.is_of_traffic or not is_plain(table.metadata):
            continue
        shape = load_shape(table.config)
        for batch in metered_batches(table):
            work = physical_work(batch.steps, shape, table.metadata["dtype"])
            about = f"{name} {batch.batch}"
            metered[shape.name].append(Metered(about, work, batch.energy_j, batch.seconds))
    return metered


def replays() -> dict[str, list[Metered]]:
    """Model -> its replays."""
    metered = defaultdict(list)
    for path in find_replays(SHIPPED):
        replay = Replay.load(path)
        if not is_plain(replay.facts):
            continue
        shape = load_shape(replay.facts["model"])
        scheduler = ContinuousBatching.from_settings(replay.facts["engine_settings"], str(path))
        steps = scheduler.schedule(np.array(replay.lengths))
        (run,) = replay.valid_runs
        work = physical_work(steps, shape, replay.facts["dtype"])
        about = str(path.relative_to(SHIPPED).with_suffix(""))
        metered[shape.name].append(Metered(about, work, run.energy_j, run.seconds))
    return metered


def fit(groups: Iterable[list[Metered]], quantity: str) -> FloatArray:
    """Non-negative prices, least squares of relative errors; each group counts as much as any."""
    rows, weights = [], []
    for group in groups:
        for each in group:
            rows.append(each.work / getattr(each, quantity))
            weights.append(1 / math.sqrt(len(group)))
    relative, weight = np.array(rows), np.array(weights)
    highest = relative.max(axis=0)
    prices, _ = nnls(relative / highest * weight[:, None], weight)
    return np.asarray(prices / highest)


def main() -> None:
    """Print the error of each replay."""
    of_tables, of_replays = batches(), replays()
    dense = [model for model in of_replays if not load_shape(model).layers[0].experts]
    errors: dict[str, list[float]] = {"energy_j": [], "seconds": []}
    for model, forecast in of_replays.items():
        others = [name for name in dense if name != model]
        groups = [group[name] for name in others for group in (of_tables, of_replays)]
        prices = {quantity: fit(groups, quantity) for quantity in errors}
        for each in forecast:
            off = {
                quantity: 100 * (float(each.work @ prices[quantity]) / getattr(each, quantity) - 1)
                for quantity in errors
            }
            print(f"{each.name:<52s} {off['energy_j']:+6.1f} % {off['seconds']:+6.1f} % of time")
            if model in dense:
                for quantity, value in off.items():
                    errors[quantity].append(abs(value))
    for quantity, values in errors.items():
        print(
            f"dense, {quantity}: {len(values)} replays, {statistics.median(values):.1f} % in the "
            f"median, {max(values):.1f} % at worst"
        )
    prices_j = fit([group[name] for name in dense for group in (of_tables, of_replays)], "energy_j")
    for term, price_j in zip(PHYSICAL_TERMS, prices_j.tolist(), strict=True):
        print(f"{term:<16s} {price_j:.4g} J each")


if __name__ == "__main__":
    main()
