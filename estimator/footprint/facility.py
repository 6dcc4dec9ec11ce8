"""What the server, the data centre, the grid and the bill make of an energy of GPUs.

Three energies are told apart: of the GPUs, which joulecast forecasts; of the IT, which is the
GPUs and the rest of their servers; of the facility, which is the IT and the building (PUE).
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from joulecast.estimator.footprint.carbon import CarbonIntensity, intensity_of
from joulecast.estimator.footprint.money import currency_code, read_price
from joulecast.estimator.footprint.server import ServedTime, ServerOverhead
from joulecast.measurements.gpu.meter import JOULES_PER_KWH
from joulecast.traces.errors import InputError

_MOST_PUE = 100
_MOST_PER_KWH = 1_000_000

Boundary = Literal["GPU", "IT", "facility"]
"""What an energy is of."""


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
        if self.currency is not None and self.currency != currency_code(self.currency):
            raise InputError(f'currency "{self.currency}" is written in capitals')

    @classmethod
    def of(cls, price: "float | str | Price") -> "Price":
        """A price from a number, or from a text as `read_price` takes it: "0.18 EUR", "$0.12".

        Raises:
            InputError: It is neither, below 0, or in a currency that ISO 4217 does not know.
        """
        if isinstance(price, Price):
            return price
        return cls(*read_price(str(price)))


@dataclass(frozen=True)
class Facility:
    """Where the GPUs stand; whatever is None was not asked for.

    Attributes:
        pue: Facility energy over IT energy, 1 or more (power usage effectiveness). Where no
            server overhead is given, IT is the GPUs alone.
        carbon: Carbon intensity of the electricity.
        price: Price of the electricity.
        server_overhead: What the servers draw beside their GPUs.
        time: How long the servers were there; None if that is not known.
    """

    pue: float | None = None
    carbon: CarbonIntensity | None = None
    price: Price | None = None
    server_overhead: ServerOverhead | None = None
    time: ServedTime | None = None

    def __post_init__(self) -> None:
        """Refuse what is no PUE."""
        if self.pue is not None and not 1 <= self.pue <= _MOST_PUE:
            raise InputError(
                f"a PUE of {self.pue:,.7g}: it is facility over IT energy, from 1 to {_MOST_PUE}"
            )

    @classmethod
    def of(
        cls,
        pue: float | None = None,
        carbon: float | str | CarbonIntensity | None = None,
        price: float | str | Price | None = None,
        server_overhead: str | ServerOverhead | None = None,
    ) -> "Facility | None":
        """From what people give; None if that is nothing.

        Args:
            pue: Facility energy over IT energy, 1 or more.
            carbon: Carbon intensity [gCO2e/kWh], or a region as `find_region` takes it.
            price: As `Price.of` takes it.
            server_overhead: As `ServerOverhead.of` takes it.

        Raises:
            InputError: A number out of its range, or an unknown region or currency.
        """
        if pue is None and carbon is None and price is None and server_overhead is None:
            return None
        return cls(
            pue,
            None if carbon is None else intensity_of(carbon),
            None if price is None else Price.of(price),
            None if server_overhead is None else ServerOverhead.of(server_overhead),
        )

    def during(self, seconds: float | None, servers: int, gpus: int) -> "Facility":
        """The same for servers that were there for a time.

        Args:
            seconds: How long each was there [s]; None if that is not known.
            servers: How many, each with one replica of the model.
            gpus: GPUs of each.

        Raises:
            InputError: A server overhead in watts needs the time.
        """
        time = None if seconds is None else ServedTime(seconds * servers * gpus, seconds * servers)
        facility = replace(self, time=time)
        facility.it_energy_j(0.0)
        return facility

    @property
    def boundary(self) -> Boundary:
        """What the widest energy is of that is told."""
        if self.pue is not None:
            return "facility"
        return "GPU" if self.server_overhead is None else "IT"

    def it_energy_j(self, gpu_energy_j: float) -> float:
        """Energy of GPUs and the rest of their servers [J]; of GPUs alone without an overhead."""
        if self.server_overhead is None:
            return gpu_energy_j
        return gpu_energy_j + self.server_overhead.energy_j(gpu_energy_j, self.time)

    def energy_j(self, gpu_energy_j: float) -> float:
        """Energy of the facility [J]; of what is told of it."""
        return self.it_energy_j(gpu_energy_j) * (1.0 if self.pue is None else self.pue)

    def energy_kwh(self, gpu_energy_j: float) -> float:
        """Energy of the facility [kWh]."""
        return self.energy_j(gpu_energy_j) / JOULES_PER_KWH

    def carbon_g(self, gpu_energy_j: float) -> float | None:
        """Emissions of the facility's electricity [g of the intensity's gas]."""
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

        overhead = self.server_overhead
        document: dict[str, Any] = {"boundary": self.boundary}
        document["server_overhead"] = None if overhead is None else overhead.to_dict()
        if overhead is not None:
            document |= both("it_energy_j", "it_interval_j", self.it_energy_j)
            document["it_energy_kwh"] = self.it_energy_j(energy_j) / JOULES_PER_KWH
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
