"""What steps cost on the very card that will serve."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from joulecast.estimator.attribution.division import Division
from joulecast.estimator.steps.intervals import MOST_CARD_SPREAD
from joulecast.estimator.steps.serving import Service
from joulecast.estimator.steps.spending import OwnCard, Spending
from joulecast.estimator.steps.work import StepCounts, Steps
from joulecast.estimator.stepwise import Law
from joulecast.estimator.unit_prices.carry import OWN_WATTS_SPREAD
from joulecast.measurements.arrays import FloatArray

_ANY_CELLS = 1.0


@dataclass(frozen=True)
class OwnCardLaw:
    """Prices of a kind, and how far the card lies above them.

    What work takes goes by the card; how long it takes does not. Idle power is the card's own.

    Attributes:
        law: Of any card of the kind.
        card: The card that serves.
    """

    law: Law
    card: OwnCard

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what the interval rests on."""
        return self.law.freedom

    @property
    def idle_power_w(self) -> float:
        """Power of all GPUs of the server when it waits [W]."""
        return self.card.idle_power_w

    @property
    def idle_sd_w(self) -> float:
        """Sd of that, from day to day; no more than between cards of the kind [W]."""
        return min(OWN_WATTS_SPREAD * self.card.idle_power_w, self.law.idle_sd_w)

    @property
    def cards(self) -> float:
        """Cards that the prices are of."""
        return self.law.cards

    def gauge(self, steps: Steps) -> FloatArray:
        """What the law of any card asks for."""
        return self.law.gauge(steps)

    def spending(self, service: Service) -> Spending:
        """What the work costs on this card."""
        usual = self.law.spending(service)
        spread = self._spread(service, usual)
        factor = 1 + self.card.deviation * spread
        return replace(
            usual,
            energy_j=factor * usual.energy_j,
            parts_j=_times(usual.parts_j, factor),
            own_card=replace(
                self.card, relative=factor - 1, relative_sd=self.card.deviation_sd * spread
            ),
        )

    def relative_sds(
        self, service: Service, spending: Spending, cells: float, servers: int = 1
    ) -> dict[str, float]:
        """What makes a metered run on this card differ: cause -> relative sd."""
        sds = self.law.relative_sds(service, self.law.spending(service), cells, servers)
        own = self.card if spending.own_card is None else spending.own_card
        told = own.relative_sd / (1 + own.relative)
        return {**sds, "card": math.hypot(told, beside_cards(self.law, sds))}

    def drawn_j(self, service: Service) -> float:
        """Energy of one draw of the requests [J]."""
        return self.law.drawn_j(service) * (1 + self.card.deviation * self._spread_of(service))

    def alone_j(self, counts: StepCounts) -> float:
        """Energy of requests but for what they share [J], to share the whole by."""
        return self.law.alone_j(counts)

    def divided_j(self, steps: Steps) -> FloatArray:
        """What steps take for each of `PHASES` [J], shape (3,), to share the whole by."""
        return self.law.divided_j(steps)

    def own_j(self, requests: Steps) -> Division:
        """What each row takes for its tokens alone [J], to share the whole by."""
        return self.law.own_j(requests)

    def _spread_of(self, service: Service) -> float:
        """Relative sd between cards of the kind in such work."""
        return self._spread(service, self.law.spending(service))

    def _spread(self, service: Service, usual: Spending) -> float:
        """The same, of which it is known what it takes on any card."""
        return spread_of(self.law, self.law.relative_sds(service, usual, _ANY_CELLS))


def spread_of(law: Law, sds: Mapping[str, float]) -> float:
    """Relative sd between cards of a kind, without that of the cards that a law's prices are of.

    No more than cards of a kind were ever seen to lie apart.
    """
    return min(MOST_CARD_SPREAD, sds["card"] / math.sqrt(1 + 1 / law.cards))


def beside_cards(law: Law, sds: Mapping[str, float]) -> float:
    """What a law has for cards beyond that, where it holds hosts and idle power as well."""
    of_cards = spread_of(law, sds) * math.sqrt(1 + 1 / law.cards)
    return math.sqrt(max(0.0, sds["card"] ** 2 - of_cards**2))


def _times(parts_j: Mapping[str, float], factor: float) -> dict[str, float]:
    return {term: factor * part_j for term, part_j in parts_j.items()}
