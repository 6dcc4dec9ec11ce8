"""What tokens and waiting take of an estimate: rates of its load, which sum to it again.

E = (input - cached) x input rate + cached x cached rate + output x output rate + waiting
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from joulecast.estimator.attribution.division import PHASES, Division
from joulecast.estimator.steps.intervals import interval_j
from joulecast.estimator.steps.spending import Spending
from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray

Interval = tuple[float, float]


@dataclass(frozen=True)
class IdlePower:
    """What a replica draws with nothing to do.

    Attributes:
        power_w: Of all its GPUs [W].
        interval_w: 95 % interval [W].
    """

    power_w: float
    interval_w: Interval

    @classmethod
    def of(cls, power_w: float, sd_w: float, freedom: int) -> "IdlePower | None":
        """From a power and its sd [W]; None of 0, which stands for a power that is not known."""
        if not power_w:
            return None
        return cls(power_w, interval_j(power_w, {"idle": sd_w / power_w}, freedom))


@dataclass(frozen=True)
class TokenShare:
    """What tokens of a kind take together.

    Attributes:
        tokens: How many [tokens].
        energy_j: Of all of them [J].
        interval_j: 95 % interval [J].
    """

    tokens: float
    energy_j: float
    interval_j: Interval

    @property
    def j_per_token(self) -> float | None:
        """Energy of each [J]; None where there are none."""
        return self.energy_j / self.tokens if self.tokens else None

    @property
    def interval_j_per_token(self) -> Interval | None:
        """95 % interval of that [J]; None likewise."""
        low_j, high_j = self.interval_j
        return (low_j / self.tokens, high_j / self.tokens) if self.tokens else None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        each, ends = self.j_per_token, self.interval_j_per_token
        return {
            "tokens": round(self.tokens),
            "energy_j": self.energy_j,
            "interval_j": list(self.interval_j),
            "j_per_1000_tokens": None if each is None else 1000 * each,
            "interval_j_per_1000_tokens": ends and [1000 * end for end in ends],
        }


@dataclass(frozen=True)
class Attribution:
    """What tokens and waiting take of an estimate (docs/rate-card.md).

    Attributes:
        shares: "input" for prompt tokens that are computed, "cached" for those that are read from a
            cache of prefixes, "output" for tokens that come out -> what they take.
        idle_j: Energy of replicas that wait [J].
        idle: What a replica draws meanwhile; None if that is not known.
        own_j: What requests, a row each, take for their tokens alone [J].
        longest: Input and output of the longest request that is estimated [tokens]; None for any.
        is_continuous: Whether requests join others that run, and read cached tokens; static batches
            compute these like all others.
    """

    shares: Mapping[str, TokenShare]
    idle_j: float
    idle: IdlePower | None
    own_j: Callable[[Steps], Division] = field(repr=False, compare=False)
    longest: int | None = None
    is_continuous: bool = True

    @classmethod
    def of(
        cls,
        divided_j: FloatArray,
        spending: Spending,
        relative: Interval,
        tokens: Mapping[str, float],
        *,
        own_j: Callable[[Steps], Division],
        idle_j: float = 0.0,
        idle: IdlePower | None = None,
        longest: int | None = None,
        is_continuous: bool = True,
    ) -> "Attribution":
        """From what a law says of the steps.

        Args:
            divided_j: Of some steps like those that are estimated, in the order of `PHASES` [J].
            spending: What they take, to which the parts are brought.
            relative: 95 % interval of that, over it.
            tokens: How many of each of `PHASES` there are [tokens].
            own_j: As the attribute [J].
            idle_j: Likewise [J].
            idle: Likewise.
            longest: Likewise [tokens].
            is_continuous: Likewise.
        """
        card = 1.0 if spending.own_card is None else 1 + spending.own_card.relative
        parts_j = dict(zip(PHASES, (card * divided_j).tolist(), strict=True))
        parts_j["input"] += spending.parts_j.get("requests", 0.0)  # a prompt is taken in
        scale = spending.energy_j / sum(parts_j.values())
        low, high = relative
        shares = {}
        for phase, part_j in parts_j.items():
            energy_j = scale * part_j
            shares[phase] = TokenShare(tokens[phase], energy_j, (low * energy_j, high * energy_j))
        if spending.own_card is not None:
            own_j = partial(_on_card, own_j, card)
        return cls(shares, idle_j, idle, own_j, longest, is_continuous)

    def energy_of(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        """What tokens take at these rates, beside waiting [J].

        Args:
            input_tokens: Of prompts, cached ones included [tokens].
            cached_tokens: Those of them that are read from a cache of prefixes [tokens].
            output_tokens: That come out [tokens].
        """
        counts = input_tokens - cached_tokens, cached_tokens, output_tokens
        rates = (self.shares[phase].j_per_token or 0.0 for phase in PHASES)
        return sum(count * rate for count, rate in zip(counts, rates, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {phase: share.to_dict() for phase, share in self.shares.items()}
        return {**shares, "idle_j": self.idle_j}


def _on_card(own_j: Callable[[Steps], Division], factor: float, requests: Steps) -> Division:
    """What requests take for their tokens alone on a card that takes so many times as much [J]."""
    usual = own_j(requests)
    return Division(factor * usual.input_j, factor * usual.cached_j, factor * usual.output_j)
