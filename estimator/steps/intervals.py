"""The interval around an estimate: what makes a metered run differ from it."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.estimator.steps.prices import Prices
from joulecast.estimator.steps.work import StepCounts

_WIDE = 0.5
"""Half an interval, relative, from which on its ends are no longer as far away."""

_OF_FIT = "coefficients", "shape", "model"
"""What may be off by as much as the residuals of a fit tell."""

_LITTLE = 1e-3
"""Share of the whole sd below which what residuals tell is too little to count."""

CARD_SPREAD, MOST_CARD_SPREAD = 0.006, 0.055
"""Relative sd between cards of a kind at their power limit, and at most."""

SPREAD_BELOW, OTHER_SPREAD_BELOW = {"h100-sxm": 0.06, "h200-sxm": 0.38}, 0.38
"""How much it grows below that, along a line, for each kind, and for those of which several cards
were not metered: as for the wider. From the same batches on two to six cards each, and the same
requests as they came on six to eight (docs/accuracy.md, "Cards of a kind"): of the H200 the
likeliest line, on 2026-11-30, by thirty batches and four such loads. (0.18 and 6.5 % at most, drawn
the day before, was too narrow from 0.8 to 0.95 of the limit for the cards metered since.) Idle
watts, which differ as well, are in it; price lists, which have them apart, add their spread."""


@dataclass(frozen=True)
class Spread:
    """How far equal work lies apart under the meter.

    Attributes:
        repeat_sd: Relative sd between equal runs, pooled; 0 if none was repeated.
        inverse_runs: Mean of 1 / runs over the batches: 1 if none was repeated.
        card_sd: Relative sd between the cards of the table; 0 for one card.
        cards: Cards that the table was measured on; as many as its prices are as sure as a mean
            over, where more is told of them.
    """

    repeat_sd: float
    inverse_runs: float
    card_sd: float
    cards: float

    @classmethod
    def of(cls, batches: Sequence[MeteredBatch]) -> "Spread":
        """As a table's batches tell it."""
        return cls(
            repeat_sd=_repeat_sd(batches),
            inverse_runs=statistics.fmean(1 / len(batch.runs) for batch in batches),
            card_sd=_card_sd(batches),
            cards=len({run.gpu for batch in batches for run in batch.runs}),
        )


def card_spread(gpu: str, load: float, gpus: int = 1) -> float:
    """Relative sd between servers of so many cards of a kind, in what the same work takes.

    Args:
        gpu: Short name of the kind.
        load: Share of their power limit that the work draws.
        gpus: Cards that share the model, whose differences average out.
    """
    below = SPREAD_BELOW.get(gpu, OTHER_SPREAD_BELOW)
    spread = min(MOST_CARD_SPREAD, CARD_SPREAD + below * max(0.0, 1 - load))
    return spread / math.sqrt(gpus)


def relative_sds(
    prices: Prices, spread: Spread, counts: StepCounts, of_cards: float, servers: int = 1
) -> dict[str, float]:
    """What makes a metered run of that much work differ from its price: relative sds.

    Args:
        prices: Of a table.
        spread: Likewise.
        counts: The work.
        of_cards: Relative sd between cards of the kind.
        servers: That share the work, each on cards of its own.

    Returns:
        `coefficients`: prices rest on so many runs. `shape`: what the law misses, which differs
        from one mix of lengths to another; the residuals that tell it also hold what ticks and
        single runs add. `repeat`: equal runs differ, as far as the residuals do not hold that.
        `card`: so do equal cards, the table's and the one that will serve.
    """
    return {
        "coefficients": prices.relative_sd(counts),
        "shape": prices.residual_sd,
        "repeat": spread.repeat_sd * math.sqrt(1 - spread.inverse_runs),
        "card": max(spread.card_sd, of_cards) * math.sqrt(1 / servers + 1 / spread.cards),
    }


def sampling_sd(energies_j: Sequence[float], shorter_j: float | None) -> float:
    """Relative sd of what the requests come to, around the mean of some draws of them.

    Args:
        energies_j: Of the draws [J].
        shorter_j: Of a draw whose longest requests are shorter [J], if that matters: the truth is
            taken to lie anywhere between the two.
    """
    draws, mean_j = len(energies_j), float(np.mean(energies_j))
    spread_j = float(np.std(energies_j, ddof=1)) * math.sqrt(1 + 1 / draws) if draws > 1 else 0.0
    between_j = 0.0 if shorter_j is None else (shorter_j - mean_j) / math.sqrt(3)
    return math.hypot(spread_j, between_j) / mean_j


def interval_j(energy_j: float, sds: Mapping[str, float], freedom: int) -> tuple[float, float]:
    """The 95 % interval around an estimate [J]; it does not reach 0.

    Student's t, since the spread of the fit's residuals is itself only known from so many; with the
    degrees of freedom of Welch and Satterthwaite, since that of cards, hosts and draws is not.

    Args:
        energy_j: The estimate [J].
        sds: What it may be off by -> relative sd, as `relative_sds` has them.
        freedom: Degrees of freedom of the fit.
    """
    from scipy.special import stdtrit

    sd = math.hypot(*sds.values())
    of_fit = math.hypot(*(sds.get(cause, 0.0) for cause in _OF_FIT))
    effective = freedom * (sd / of_fit) ** 4 if of_fit > _LITTLE * sd else math.inf
    half = float(stdtrit(effective, 0.975)) * sd
    # Where little is known, the lower end nears 0 as the upper end goes up: work costs something.
    low = 1 - half if half < _WIDE else _WIDE * math.exp(1 - half / _WIDE)
    return energy_j * low, energy_j * (1 + half)


def _repeat_sd(batches: Sequence[MeteredBatch]) -> float:
    """Relative sd between equal runs, pooled over the batches that have several."""
    squares, freedom = 0.0, 0
    for batch in batches:
        energies_j = [run.batch_energy_j for run in batch.runs]
        squares += sum((energy_j / batch.energy_j - 1) ** 2 for energy_j in energies_j)
        freedom += len(energies_j) - 1
    return math.sqrt(squares / freedom) if freedom else 0.0


def _card_sd(batches: Sequence[MeteredBatch]) -> float:
    """Relative sd between the table's own cards."""
    differences: dict[str | None, list[float]] = {}
    for batch in batches:
        cards = {run.gpu for run in batch.runs}
        for card in cards if len(cards) > 1 else ():
            energies_j = [run.batch_energy_j for run in batch.runs if run.gpu == card]
            difference = statistics.fmean(energies_j) / batch.energy_j - 1
            differences.setdefault(card, []).append(difference)
    means = [statistics.fmean(values) for values in differences.values()]
    return statistics.stdev(means) if len(means) > 1 else 0.0
