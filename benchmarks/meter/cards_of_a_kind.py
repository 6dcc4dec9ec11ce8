"""How far cards of a kind lie apart in what the same work takes, by how much power it draws.

    python benchmarks/meter/cards_of_a_kind.py        prints the tables of docs/accuracy.md

The same work on several cards is what ships of it (`estimator/kinds`): batches of equal requests,
and requests of traces, served alike on one GPU with vLLM. First the sd of the logarithms of its
energy between cards, pooled over the work of a range of loads, beside it what `card_spread` takes
it to be, and what is left of it once every card has the one number that tells how it lies among its
kind. Then these numbers, and the same requests as they came, on several cards.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from joulecast.estimator.kinds.cards import Comparison, Kind, load_kind
from joulecast.estimator.kinds.shipped import shipped_comparisons
from joulecast.estimator.steps.intervals import SPREAD_BELOW, card_spread

LOADS = (0.6, 0.75, 0.85, 0.94, 0.985, 1.01)
"""Bounds of the ranges, of the share of the power limit."""

comparisons_of = cache(shipped_comparisons)
"""GPU -> the same work on several cards; to gather it, all that ships is read."""

_FEW = 3
"""Cards from which on the same requests are shown one by one."""


def energies_apart(comparison: Comparison, kind: Kind | None = None) -> np.ndarray:
    """Logarithms of what cards took, over their mean; without what `kind` tells of each."""
    logarithms = np.log(list(comparison.energy_j.values()))
    if kind is not None:
        deviations = [kind.deviations[kind.cards.index(card)] for card in comparison.energy_j]
        logarithms -= card_spread(kind.gpu, comparison.load) * np.array(deviations)
    return logarithms - logarithms.mean()


def pooled_sd(apart: Sequence[np.ndarray]) -> float:
    """Sd between cards, over several pieces of work."""
    squares = sum(float(each @ each) for each in apart)
    return math.sqrt(squares / sum(len(each) - 1 for each in apart))


def rows() -> Iterator[str]:
    """The lines of the first table."""
    yield "| GPU | share of the power limit | works | apart in energy | taken to be | left |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for gpu in sorted(SPREAD_BELOW):
        kind, comparisons = load_kind(gpu), comparisons_of(gpu)
        for low, high in pairwise(LOADS):
            inside = [each for each in comparisons if low <= each.load < high]
            if not inside:
                continue
            apart = pooled_sd([energies_apart(each) for each in inside])
            taken = card_spread(gpu, statistics.fmean(each.load for each in inside))
            left = pooled_sd([energies_apart(each, kind) for each in inside])
            told = " | ".join(f"{100 * sd:.1f} %" for sd in (apart, taken, left))
            yield f"| {gpu} | {low:g} to {min(high, 1):g} | {len(inside)} | {told} |"


def card_rows() -> Iterator[str]:
    """The lines of the second: where each card lies among its kind."""
    yield "| GPU | card | z | sd | works | idles at |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for gpu in sorted(SPREAD_BELOW):
        kind = load_kind(gpu)
        works = Counter(card for each in comparisons_of(gpu) for card in each.energy_j)
        sds = np.sqrt(np.diag(kind.covariance))
        for z, sd, card in sorted(zip(kind.deviations, sds, kind.cards, strict=True)):
            told = f"{z:+.2f} | {sd:.2f} | {works[card]} | {kind.idle_w[card]:.0f} W"
            yield f"| {gpu} | {card[:12]} | {told} |"


def served_rows() -> Iterator[str]:
    """The lines of the third: the same requests as they came, on several cards."""
    yield "| the same requests | share of the limit | cards | took | apart | taken to be |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for gpu in sorted(SPREAD_BELOW):
        for each in comparisons_of(gpu):
            is_served = each.work.endswith(("x", " a second"))
            if not is_served or len(each.energy_j) < _FEW:
                continue
            took = ", ".join(
                f"{energy_j / 1000:.2f}" for energy_j in sorted(each.energy_j.values())
            )
            apart, taken = pooled_sd([energies_apart(each)]), card_spread(gpu, each.load)
            yield (
                f"| {each.work} | {each.load:.2f} | {len(each.energy_j)} | {took} kJ "
                f"| {100 * apart:.1f} % | {100 * taken:.1f} % |"
            )


if __name__ == "__main__":
    print("\n".join([*rows(), "", *card_rows(), "", *served_rows()]))
