"""What serving a workload costs, whichever law says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OwnCard:
    """The card that will serve, as far as replays that were metered on it tell.

    Attributes:
        card: UUID of the GPU; of all, joined by +, where several share the model.
        replays: Names of the replays.
        idle_power_w: What it draws with the model loaded and nothing to do [W]; of all.
        deviation: How far it lies above what the prices are of, in standard deviations between
            cards of its kind.
        deviation_sd: Sd of that, with what is still not known.
        relative: How much more some work takes on it than the prices say, relative.
        relative_sd: Sd of that.
    """

    card: str
    replays: tuple[str, ...]
    idle_power_w: float
    deviation: float
    deviation_sd: float
    relative: float = 0.0
    relative_sd: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "card": self.card,
            "replays": list(self.replays),
            "idle_power_w": self.idle_power_w,
            "deviation": self.deviation,
            "deviation_sd": self.deviation_sd,
            "above_its_kind_percent": 100 * self.relative,
            "above_its_kind_sd_percent": 100 * self.relative_sd,
        }


@dataclass(frozen=True)
class Spending:
    """What a service costs.

    Attributes:
        energy_j: All of it [J].
        seconds: Time on the GPU [s].
        parts_j: Term -> its part [J].
        least_parts_j: The same at the chip's peaks [J].
        host_sd: Relative sd from the pace of the host; None where it does not matter.
        own_card: The card that it is of; None for any of its kind.
    """

    energy_j: float
    seconds: float
    parts_j: Mapping[str, float]
    least_parts_j: Mapping[str, float]
    host_sd: float | None
    own_card: OwnCard | None = None
