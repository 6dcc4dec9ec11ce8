"""Where each card lies among its kind, by the same work that several have done.

    E of some work on a card = E on a mean one x (1 + z x spread)

Each card has a z of its own, drawn from N(0, 1); `spread` is `card_spread` at the share of the
power limit that the work draws, so that work at the limit, where cards hardly differ, tells little.
What the work takes on a mean card is not known but for what the cards took, and no law of steps has
a say: the z are of cards alone. Prices that a table's runs tell are those of a mean card once each
run is divided by what its own card lies above it.
"""

import json
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from joulecast.estimator.steps.intervals import card_spread
from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.measurements.arrays import FloatArray

NOISE = 0.007
"""Relative sd of equal work on one card, besides what cards differ by: hosts, temperatures and the
order of requests. Taken from how far cards lie apart at their limit (docs/accuracy.md)."""

_ROUNDS = 8
_MOST = 0.5
"""Share of the steps that decode."""

_UNRELATED = 1e-12
"""Covariance of cards that share no work, but for rounding."""


@dataclass(frozen=True)
class Comparison:
    """The same work on several cards, in the same time.

    Attributes:
        work: What it was, in words.
        load: Share of the power limit that it draws, mean over the cards.
        energy_j: UUID of a card -> what it took there [J].
    """

    work: str
    load: float
    energy_j: Mapping[str, float]


@dataclass(frozen=True)
class Kind:
    """The cards of a kind, as far as they are told.

    Attributes:
        gpu: Short name.
        idle_w: UUID of a card -> power with a model loaded and nothing to do [W].
        cards: UUIDs of those that share some work with others.
        deviations: z of each, shape (cards,).
        covariance: Of these, shape (cards, cards).
    """

    gpu: str
    idle_w: Mapping[str, float] = field(default_factory=dict)
    cards: Sequence[str] = ()
    deviations: FloatArray = field(default_factory=lambda: np.zeros(0))
    covariance: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(cls, gpu: str, idle_w: Mapping[str, float], comparisons: Sequence[Comparison]) -> "Kind":
        """The posterior of a normal law.

        Args:
            gpu: Short name.
            idle_w: As for the class.
            comparisons: What cards have done alike.
        """
        cards = sorted({card for each in comparisons for card in each.energy_j})
        precision: FloatArray = np.eye(len(cards))
        told = np.zeros(len(cards))
        for each in comparisons:
            rows = [cards.index(card) for card in each.energy_j]
            spread = card_spread(gpu, each.load)
            logarithms = np.log(list(each.energy_j.values()))
            above = (logarithms - logarithms.mean()) * spread / NOISE**2
            # What a mean card takes is free, which takes the mean over the cards out.
            between = np.eye(len(rows)) - 1 / len(rows)
            precision[np.ix_(rows, rows)] += between * (spread / NOISE) ** 2
            told[rows] += above
        covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        return cls(gpu, idle_w, cards, covariance @ told, covariance)

    def idle_power_w(self, cards: Collection[str]) -> float | None:
        """Mean over the kind [W]; None if it does not know these cards."""
        if not cards or any(card not in self.idle_w for card in cards):
            return None
        return statistics.fmean(self.idle_w.values())

    def centred(self, batches: Sequence[MeteredBatch], limit_w: float) -> "OnMeanCard":
        """What a table's batches would take on a mean card.

        Those that decode by steps which are launched kernel by kernel, of more than 512 requests,
        are left as they are: below the limit the card waits for its host there, and how cards lie
        among their kind is no longer seen in them.

        Args:
            batches: Of one table.
            limit_w: Power limit of all GPUs that share the model [W].
        """
        weights: dict[str | None, float] = {}
        centred = []
        for batch in batches:
            if _waits_for_host(batch):
                centred.append(batch)
                continue
            runs = []
            for run in batch.runs:
                load = run.power_w / limit_w
                factor = self._factor(run.gpu, load)
                spread = card_spread(self.gpu, load / factor)
                weights[run.gpu] = weights.get(run.gpu, 0.0) + spread / len(batch.runs)
                runs.append(replace(run, energy_j=run.energy_j / factor))
            centred.append(replace(batch, runs=runs))
        changes = [
            mean.energy_j / batch.energy_j - 1 for mean, batch in zip(centred, batches, strict=True)
        ]
        cards = {run.gpu for batch in batches for run in batch.runs}
        return OnMeanCard(
            batches=centred,
            cards=1 / self._variance(weights, len(cards)),
            changes=changes,
            among=self._compared_with(weights),
        )

    def _compared_with(self, cards: Iterable[str | None]) -> int:
        """How many cards share some work with some, directly or by others; these included."""
        rows = [self.cards.index(card) for card in cards if card in self.cards]
        return int((np.abs(self.covariance[rows]).max(axis=0) > _UNRELATED).sum()) if rows else 0

    def _deviation(self, card: str | None) -> float:
        """Its z; 0 if nothing tells."""
        return float(self.deviations[self.cards.index(card)]) if card in self.cards else 0.0

    def _factor(self, card: str | None, load: float) -> float:
        """How far a card's work lies above a mean one's, by the load on that very card."""
        deviation, factor = self._deviation(card), 1.0
        for _ in range(_ROUNDS):  # a card that takes more works nearer to its limit
            factor = 1 + deviation * card_spread(self.gpu, load / factor)
        return factor

    def _variance(self, weights: Mapping[str | None, float], cards: int) -> float:
        """Of the weighted mean of z over some cards; as of so many where none has a weight."""
        total = math.fsum(weights.values())
        if not total:
            return 1 / max(1, cards)
        told = np.array([weights.get(card, 0.0) / total for card in self.cards])
        untold = [weight / total for card, weight in weights.items() if card not in self.cards]
        return float(told @ self.covariance @ told) + math.fsum(weight**2 for weight in untold)


def _waits_for_host(batch: MeteredBatch) -> bool:
    """Whether most steps that decode are launched kernel by kernel."""
    is_launched = batch.steps.is_launched[batch.steps.decoding > 0]
    return is_launched.size > 0 and float(is_launched.mean()) > _MOST


@dataclass(frozen=True)
class OnMeanCard:
    """What a table's batches would take on a mean card of their kind.

    Attributes:
        batches: They.
        cards: That it is as sure as a mean over, of cards that nothing is known of. Those of the
            table are weighed by how far below the limit their runs draw: there they differ.
        changes: How much more each takes so than on its own cards, relative.
        among: Cards that share work with the table's, these included.
    """

    batches: Sequence[MeteredBatch]
    cards: float
    changes: Sequence[float]
    among: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What an estimate rests on besides, in words."""
        changed = [100 * change for change in self.changes if change]
        if not changed:
            return ()
        by = f"by work that {self.among} cards of the kind share"
        how = f"as on a mean card ({min(changed):+.1f} to {max(changed):+.1f} %), {by}"
        return (f"{len(changed)} of its {len(self.changes)} batches are taken {how}",)


@cache
def load_kind(gpu: str, without: str | None = None) -> Kind:
    """What ships of a kind.

    Args:
        gpu: Short name.
        without: UUID of a card of which nothing may tell.
    """
    path = path_of(gpu)
    if not path.is_file():
        return Kind(gpu)
    document = json.loads(path.read_text(encoding="utf-8"))
    comparisons = [_without(Comparison(**each), without) for each in document["comparisons"]]
    idle_w = {card: power_w for card, power_w in document["idle_w"].items() if card != without}
    return Kind.of(gpu, idle_w, [each for each in comparisons if len(each.energy_j) > 1])


def kind_document(idle_w: Mapping[str, float], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """What `load_kind` reads, as plain JSON values."""
    return {"idle_w": dict(idle_w), "comparisons": [asdict(each) for each in comparisons]}


def path_of(gpu: str) -> Path:
    """Where what ships of a kind lies."""
    return Path(str(files("joulecast.estimator.kinds"))) / f"{gpu}.cards.json"


def _without(comparison: Comparison, card: str | None) -> Comparison:
    energy_j = {uuid: of for uuid, of in comparison.energy_j.items() if uuid != card}
    return replace(comparison, energy_j=energy_j)
