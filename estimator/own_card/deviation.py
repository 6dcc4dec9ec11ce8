"""How far a card lies above its kind, by what replays on it took.

    E on the card = E by the prices x (1 + (z - z_prices) x spread)

Each card of a kind has a z of its own, drawn from N(0, 1); that of prices is the mean over the
cards that they are of. `spread` is what the law has for the sd between cards, which goes by the
load. A replay tells z - z_prices up to the other errors of its estimate, so that one at the power
limit, where cards hardly differ, tells nothing, and changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Prices(NamedTuple):
    """What a deviation is told over.

    Attributes:
        tables: That they rest on; the same tables are the same prices.
        cards: Cards that they are of; inf for so many that their mean is the kind's.
    """

    tables: tuple[str, ...]
    cards: float

    @property
    def own_variance(self) -> float:
        """Variance of their own mean over cards."""
        return 1 / self.cards


@dataclass(frozen=True)
class Told:
    """What one replay tells.

    Attributes:
        deviation: How far what it took lies above its estimate, in sds between cards.
        sd: Of that, by what else the estimate may be off.
        prices: That the estimate rests on.
    """

    deviation: float
    sd: float
    prices: Prices


def deviation_over(prices: Prices, told: Sequence[Told]) -> tuple[float, float]:
    """How far a card lies above some prices: mean and sd, in sds between cards of the kind.

    The posterior of a normal law: with one replay of the same prices mean y / (1 + v / p), where v
    is the variance of what it tells and p = 1 + 1 / cards that of a card beside the prices'.

    Args:
        prices: Those of the estimate.
        told: What each replay on the card tells; none leaves 0, and what cards differ by.
    """
    prior = 1 + prices.own_variance
    if not told:
        return 0.0, math.sqrt(prior)
    deviations = np.array([each.deviation for each in told])
    errors = np.diag([each.sd**2 for each in told])
    among = np.array([[_covariance(a.prices, b.prices) for b in told] for a in told]) + errors
    beside = np.array([_covariance(each.prices, prices) for each in told])
    weights = np.linalg.solve(among, beside)
    return float(weights @ deviations), math.sqrt(max(0.0, prior - float(weights @ beside)))


def _covariance(prices: Prices, others: Prices) -> float:
    """Of how far one card lies above either.

    Of the same tables, what is not known of the better known is not known of the other, too.
    """
    if prices.tables != others.tables:
        return 1.0
    return 1 + min(prices.own_variance, others.own_variance)
