"""What making a card emitted, of cards of which a figure is published; in embodied.json."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

HOURS_A_YEAR = 8766.0
DEFAULT_LIFETIME_YEARS = 4.0
"""A convention, which is said beside every figure: servers are written off in about so many."""


@dataclass(frozen=True)
class EmbodiedCarbon:
    """A published figure of what making a card emitted.

    Attributes:
        kg_co2e: Of one card [kgCO2e].
        scope: What is in it.
        source: Who published it.
        address: Where.
        how: How it was found.
    """

    kg_co2e: float
    scope: str
    source: str
    address: str
    how: str

    def share_g(self, gpu_hours: float, lifetime_years: float) -> float:
        """The part of some hours of use [gCO2e], in proportion to the time.

        Args:
            gpu_hours: Cards, times how long they serve [h].
            lifetime_years: How long a card is used in all, day and night.
        """
        return 1000 * self.kg_co2e * gpu_hours / (lifetime_years * HOURS_A_YEAR)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@cache
def embodied_carbon() -> dict[str, EmbodiedCarbon]:
    """Short name of a GPU -> its figure [kgCO2e]; cards without a published one are not in it."""
    text = (files("joulecast.estimator.planning") / "embodied.json").read_text(encoding="utf-8")
    return {name: EmbodiedCarbon(**figure) for name, figure in json.loads(text).items()}
