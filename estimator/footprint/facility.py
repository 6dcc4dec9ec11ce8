"""What the data centre, the electricity grid and the bill make of an energy of GPUs."""

import math
import re
from dataclasses import dataclass
from typing import Any

from joulecast.estimator.footprint.carbon import CarbonIntensity, intensity_of
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.traces.errors import InputError

_MOST_PUE = 100
_MOST_PER_KWH = 1_000_000


@dataclass(frozen=True)
class Price:
    """Price of electricity.

    Attributes:
        per_kwh: Price of a kilowatt hour.
        currency: ISO 4217 code; None where the user named none.
    """

    per_kwh: float
    currency: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        if not 0 <= self.per_kwh <= _MOST_PER_KWH:
            raise InputError(
                f"a price of {self.per_kwh:,.7g} per kWh: it is from 0 to {_MOST_PER_KWH:,}"
            )
        if self.currency is not None and self.currency != _currency(self.currency):
            raise InputError(f'currency "{self.currency}" is written in capitals')

    @classmethod
    def of(cls, price: "float | str | Price") -> "Price":
        """A price from a number, or from a text such as "0.18", "0.18 EUR" or "EUR 0.18".

        Raises:
            InputError: It is neither, below 0, or in a currency that ISO 4217 does not know.
        """
        if isinstance(price, Price):
            return price
        words = re.fullmatch(
            r"(?P<before>[A-Za-z]{3})?\s*(?P<number>[\d.]+(?:[eE][+-]?\d+)?)\s*(?P<after>[A-Za-z]{3})?",
            str(price).strip(),
        )
        number = None if words is None else _finite(words["number"])
        if words is None or number is None or (words["before"] and words["after"]):
            raise InputError(
                f'price "{price}" is no price of a kilowatt hour, such as 0.18 or "0.18 EUR"'
            )
        currency = words["before"] or words["after"]
        return cls(number, None if currency is None else _currency(currency))


@dataclass(frozen=True)
class Facility:
    """Where the GPUs stand; whatever is None was not asked for.

    Attributes:
        pue: Facility energy over GPU energy, 1 or more (power usage effectiveness).
        carbon: Carbon intensity of the electricity.
        price: Price of the electricity.
    """

    pue: float | None = None
    carbon: CarbonIntensity | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        """Refuse what is no PUE."""
        if self.pue is not None and not 1 <= self.pue <= _MOST_PUE:
            raise InputError(
                f"a PUE of {self.pue:,.7g}: it is facility over GPU energy, from 1 to {_MOST_PUE}"
            )

    @classmethod
    def of(
        cls,
        pue: float | None = None,
        carbon: float | str | CarbonIntensity | None = None,
        price: float | str | Price | None = None,
    ) -> "Facility | None":
        """From what people give; None if that is nothing.

        Args:
            pue: Facility energy over GPU energy, 1 or more.
            carbon: Carbon intensity [gCO2e/kWh], or a region as `find_region` takes it.
            price: As `Price.of` takes it.

        Raises:
            InputError: A number out of its range, or an unknown region or currency.
        """
        if pue is None and carbon is None and price is None:
            return None
        return cls(
            pue,
            None if carbon is None else intensity_of(carbon),
            None if price is None else Price.of(price),
        )

    def energy_j(self, gpu_energy_j: float) -> float:
        """Energy of the facility [J]."""
        return gpu_energy_j * (1.0 if self.pue is None else self.pue)

    def energy_kwh(self, gpu_energy_j: float) -> float:
        """Energy of the facility [kWh]."""
        return self.energy_j(gpu_energy_j) / JOULES_PER_KWH

    def carbon_g(self, gpu_energy_j: float) -> float | None:
        """Emissions of the facility's electricity [gCO2e]."""
        if self.carbon is None:
            return None
        return self.carbon.g_per_kwh * self.energy_kwh(gpu_energy_j)

    def cost(self, gpu_energy_j: float) -> float | None:
        """What the facility's electricity costs, in the price's currency."""
        return None if self.price is None else self.price.per_kwh * self.energy_kwh(gpu_energy_j)

    def to_dict(self, energy_j: float, interval_j: tuple[float, float] | None) -> dict[str, Any]:
        """What was asked for, as plain JSON values, for a GPU energy and its interval [J]."""

        def both(key: str, interval_key: str, quantity: Any) -> dict[str, Any]:
            ends = None if interval_j is None else [quantity(end) for end in interval_j]
            return {key: quantity(energy_j), interval_key: ends}

        document: dict[str, Any] = {}
        if self.pue is not None:
            document |= {"pue": self.pue}
            document |= both("facility_energy_j", "facility_interval_j", self.energy_j)
            document["facility_energy_kwh"] = self.energy_kwh(energy_j)
        if self.carbon is not None:
            document |= both("carbon_g", "carbon_interval_g", self.carbon_g)
            document["carbon_intensity"] = self.carbon.to_dict()
        if self.price is not None:
            document |= both("cost", "cost_interval", self.cost)
            document |= {"price_per_kwh": self.price.per_kwh, "currency": self.price.currency}
        return document


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _currency(code: str) -> str:
    import pycountry

    if pycountry.currencies.get(alpha_3=code.upper()) is None:
        raise InputError(f'"{code}" is no currency of ISO 4217, such as EUR or USD')
    return code.upper()
