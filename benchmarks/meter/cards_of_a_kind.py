"""How far cards of a kind lie apart in what the same batches take, by how much power these draw.

    python benchmarks/meter/cards_of_a_kind.py        prints the tables of docs/accuracy.md

All batches of equal requests that ship and were metered on two cards or more of one kind, served
alike with vLLM on one GPU, in the same time within 3 % (sd): the median of each card's runs, and
the sd of their logarithms between cards, pooled over the batches of a range. Beside it what
`card_spread` takes it to be. Then the same of requests that came over time, of the runs that ship
of the same requests on several cards which were at work nearly all the time.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from joulecast.estimator.online.validate import validate_online
from joulecast.estimator.paper.claims.compare import shipped_tables
from joulecast.estimator.paper.claims.deployments import Way
from joulecast.estimator.steps.intervals import card_spread
from joulecast.measurements.replay import SHIPPED, Replay

LOADS = (0.6, 0.75, 0.85, 0.94, 0.985, 1.01)
"""Bounds of the ranges, of the share of the power limit."""

ALIKE = 0.03
"""Relative sd of times from which on a host, and not the card, makes the difference."""


@dataclass(frozen=True)
class Apart:
    """One batch on several cards.

    Attributes:
        gpu: Kind of the cards.
        load: Share of their power limit that it draws.
        cards: How many they are.
        energy_sd: Of the logarithm of its energy, between cards.
        seconds_sd: Of the logarithm of its time.
    """

    gpu: str
    load: float
    cards: int
    energy_sd: float
    seconds_sd: float


def batches_apart() -> list[Apart]:
    """Every batch that several cards of a kind have run."""
    runs = defaultdict(lambda: defaultdict(list))
    for table in shipped_tables():
        if table.metadata["engine"] != "vllm" or table.is_of_traffic or table.gpu_count > 1:
            continue
        limit_w = float(table.metadata["power_limit_w"])
        for run in table.runs:
            if run.valid and run.gpu:
                told = run.batch_energy_j, run.seconds / run.batches, run.mean_power_w / limit_w
                runs[Way.of(table), table.dtype, run.batch][run.gpu].append(told)
    apart = []
    for (way, _, _), of_cards in runs.items():
        if len(of_cards) < 2 or way.decoding.startswith("top-p") or way.speculation:
            continue  # windows of these hold compilations
        medians = np.array([np.median(told, axis=0) for told in of_cards.values()])
        energy_sd, seconds_sd = np.log(medians[:, :2]).std(axis=0, ddof=1).tolist()
        load = float(medians[:, 2].mean())
        apart.append(Apart(way.gpu, load, len(of_cards), energy_sd, seconds_sd))
    return apart


def rows() -> Iterator[str]:
    """The table's lines."""
    yield "| GPU | share of the power limit | batches | apart in energy | in time | taken to be |"
    yield "| --- | --- | --- | --- | --- | --- |"
    apart = [each for each in batches_apart() if each.seconds_sd < ALIKE]
    for gpu in sorted({each.gpu for each in apart}):
        for low, high in pairwise(LOADS):
            inside = [each for each in apart if each.gpu == gpu and low <= each.load < high]
            if not inside:
                continue
            taken = card_spread(gpu, statistics.fmean(each.load for each in inside))
            sds = (_pooled(inside, name) for name in ("energy_sd", "seconds_sd"))
            told = " | ".join(f"{100 * sd:.1f} %" for sd in (*sds, taken))
            yield f"| {gpu} | {low:g} to {min(high, 1):g} | {len(inside)} | {told} |"


def _pooled(apart: list[Apart], name: str) -> float:
    squares = sum((each.cards - 1) * getattr(each, name) ** 2 for each in apart)
    return math.sqrt(squares / sum(each.cards - 1 for each in apart))


BUSY = 0.9
"""Share of the time that must be work, so that idle power makes little of the energy."""


def online_rows() -> Iterator[str]:
    """The lines of the second table: the same requests as they came, on several cards."""
    yield "| the same requests | share of the limit | cards | took | apart | taken to be |"
    yield "| --- | --- | --- | --- | --- | --- |"
    folder = SHIPPED.parent / "online"
    same_requests: dict[tuple[str, str], list[tuple[str, Replay]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.json")):
        replay = Replay.load(path)
        if replay.facts["gpu_count"] == 1:
            asked = replay.facts["model"], str(replay.lengths)
            same_requests[asked].append((path.stem, replay))
    for (model, _), runs in same_requests.items():
        if len(runs) < 2:
            continue
        name = min((name for name, _ in runs), key=len)
        told = [validate_online(name, replay, []) for _, replay in runs]
        if told[0].estimate.serving.busy_share < BUSY:
            continue
        energies_j = [each.metered_j for each in told]
        run_of = [replay.valid_runs[0] for _, replay in runs]
        powers_w = [run.energy_j / run.seconds for run in run_of]
        facts = runs[0][1].facts
        load = statistics.fmean(powers_w) / facts["power_limit_w"]
        apart, taken = float(np.log(energies_j).std(ddof=1)), card_spread(facts["gpu"], load)
        took = ", ".join(f"{energy_j / 1000:.2f}" for energy_j in sorted(energies_j))
        yield (
            f"| {model}, `{name}` | {load:.2f} | {len(runs)} | {took} kJ | {100 * apart:.1f} % "
            f"| {100 * taken:.1f} % |"
        )


if __name__ == "__main__":
    print("\n".join([*rows(), "", *online_rows()]))
