"""What the cards of each kind have done alike, from everything that ships.

    python -m joulecast.estimator.kinds.shipped

writes it anew (`make kinds`). The same work is a batch of equal requests served alike, or the same
requests of a replay, on one GPU each with vLLM, in times whose sd is below 3 %: beyond that a host
made the difference. Of each card the median of its runs counts. Runs with drafts, and those that
draw tokens by top-p, are left out: windows of theirs hold compilations.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from joulecast.estimator.kinds.cards import Comparison, kind_document, load_kind, path_of
from joulecast.measurements.identity import kind_of
from joulecast.measurements.replay import SHIPPED, SHIPPED_ONLINE, Replay
from joulecast.measurements.table.studies import load_study, study_names
from joulecast.measurements.table.table import EnergyTable, load_table, table_names
from joulecast.traces.files import write_text

ALIKE = 0.03
"""Relative sd of times from which on a host, and not the card, makes the difference."""

BUSY = 0.9
"""Share of the time that requests must be there, where they come over time: idle power, another
trait of cards, makes much of the energy otherwise."""

GRAPHS = 512
"""Requests of a batch whose decoding steps vLLM records as CUDA graphs. Larger ones are launched
kernel by kernel and wait for their hosts: the only two that were compared were 1.1 and 2.8 % apart
once cards had their z, and the others less than one (seen on 2026-11-30)."""

_FEWEST_CARDS = 2


class _Took(NamedTuple):
    """What some work took on a card."""

    energy_j: float
    seconds: float
    load: float


class _Metered(NamedTuple):
    """A run, and what makes another the same work."""

    gpu: str
    work: tuple[str, ...]
    card: str
    took: _Took


def shipped_comparisons(gpu: str) -> list[Comparison]:
    """The same work on several cards of a kind, from all that ships."""
    by_work: dict[tuple[str, ...], dict[str, list[_Took]]] = defaultdict(lambda: defaultdict(list))
    for each in [*_of_tables(), *_of_replays()]:
        if each.gpu == gpu:
            by_work[each.work][each.card].append(each.took)
    comparisons = []
    for work, by_card in sorted(by_work.items()):
        medians = {card: _Took(*np.median(took, axis=0)) for card, took in by_card.items()}
        if len(medians) < _FEWEST_CARDS:
            continue
        if np.log([took.seconds for took in medians.values()]).std(ddof=1) > ALIKE:
            continue
        comparisons.append(
            Comparison(
                work=" ".join(work[:-1]),
                load=round(statistics.fmean(took.load for took in medians.values()), 4),
                energy_j={card: round(took.energy_j, 3) for card, took in sorted(medians.items())},
            )
        )
    return comparisons


def shipped_idle_w(gpu: str) -> dict[str, float]:
    """Idle power of every card of a kind that served alone [W]; of several, the mean."""
    idle_w: dict[str, list[float]] = defaultdict(list)
    for table in _tables():
        if table.metadata["gpu"] == gpu and table.gpu_count == 1:
            for card, facts in table.metadata.get("cards", {}).items():
                if facts.get("idle_power_w") is not None:
                    idle_w[card].append(float(facts["idle_power_w"]))
    for replay in _replays():
        if replay.facts["gpu"] == gpu and replay.facts["gpu_count"] == 1:
            for run in replay.valid_runs:
                if run.idle_power_w is not None:
                    idle_w[run.card].append(run.idle_power_w)
    return {card: round(statistics.fmean(of), 2) for card, of in sorted(idle_w.items())}


def _tables() -> Iterator[EnergyTable]:
    """Tables and studies that ship."""
    yield from map(load_table, table_names())
    yield from map(load_study, study_names())


def _replays() -> Iterator[Replay]:
    """Replays that ship, all at once and over time."""
    for path in sorted([*SHIPPED.rglob("*.json"), *SHIPPED_ONLINE.rglob("*.json")]):
        yield Replay.load(path)


def _of_tables() -> Iterator[_Metered]:
    """Batches of equal requests."""
    for table in _tables():
        kind = kind_of(table.metadata)
        is_top_p = kind["decoding_strategy"].startswith("top-p")
        is_other = is_top_p or kind["speculation"] is not None
        if table.engine != "vllm" or table.gpu_count > 1 or table.is_of_traffic or is_other:
            continue
        limit_w = float(table.metadata["power_limit_w"])
        for run in table.runs:
            if run.valid and run.gpu and run.batch_size <= GRAPHS:
                took = _Took(run.batch_energy_j, run.seconds / run.batches, run.power_w / limit_w)
                lengths = f"{run.batch_size} x {run.input_tokens} + {run.output_tokens}"
                yield _Metered(kind["gpu"], (kind["model"], lengths, str(kind)), run.gpu, took)


def _of_replays() -> Iterator[_Metered]:
    """Requests of traces, one run each."""
    for replay in _replays():
        facts, kind = replay.facts, kind_of(replay.facts)
        if facts["engine"] != "vllm" or facts["gpu_count"] > 1 or _busy_share(replay) < BUSY:
            continue
        limit_w, is_online = float(facts["power_limit_w"]), replay.served is not None
        for run in replay.valid_runs:
            # Requests that come over time take as long as they come.
            seconds = 1.0 if is_online else run.round_seconds
            took = _Took(run.round_j, seconds, run.energy_j / run.seconds / limit_w)
            same = f"{kind} {replay.batching} {replay.lengths}"
            yield _Metered(
                kind["gpu"], (kind["model"], facts["trace"], _pace(replay), same), run.card, took
            )


def _pace(replay: Replay) -> str:
    """How its requests came, in words."""
    if replay.served is None:
        return "at once"
    rate, speed = replay.facts["rate"], replay.facts["speed"]
    return f"{speed:g}x" if rate is None else f"{rate:g} a second"


def _busy_share(replay: Replay) -> float:
    """Share of the time that some request is there; 1 where all are from the start."""
    if replay.served is None:
        return 1.0
    arrival_s, _, last_s = np.array(sorted(replay.served)).T
    until_s = np.maximum.accumulate(last_s)
    waited_s = np.maximum(0.0, arrival_s[1:] - until_s[:-1]).sum() + arrival_s[0]
    return 1 - float(waited_s / until_s[-1])


def main() -> None:
    """Write what ships of every kind of which several cards were metered."""
    for gpu in sorted({table.metadata["gpu"] for table in _tables()}):
        comparisons = shipped_comparisons(gpu)
        if comparisons:
            document = kind_document(shipped_idle_w(gpu), comparisons)
            write_text(path_of(gpu), json.dumps(document, indent=1) + "\n")
    load_kind.cache_clear()


if __name__ == "__main__":
    main()
