"""What an hour of a GPU and a kilowatt hour cost and emit, as a plan reckons with them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joulecast.estimator.footprint.facility import Facility, Price
from joulecast.estimator.planning.embodied import DEFAULT_LIFETIME_YEARS, embodied_carbon
from joulecast.measurements.hardware import load_gpu
from joulecast.traces.errors import InputError


@dataclass(frozen=True)
class Terms:
    """What a plan reckons with beside energy; nothing of it has to be given.

    Attributes:
        facility: Where the GPUs stand; None if that was not asked for.
        gpu_prices: Short name of a GPU -> what an hour of one costs.
        currency: Of all prices; None where none is named.
        lifetime_years: How long a card is used, where embodied carbon was asked for; else None.
    """

    facility: Facility | None = None
    gpu_prices: Mapping[str, float] = field(default_factory=dict)
    currency: str | None = None
    lifetime_years: float | None = None

    @classmethod
    def of(
        cls,
        facility: Facility | None,
        gpu_prices: Mapping[str, float | str | Price] | None = None,
        with_embodied: bool = False,
        lifetime_years: float | None = None,
    ) -> "Terms":
        """From what people give.

        Args:
            facility: As `Facility.of` makes it.
            gpu_prices: GPU -> what an hour of one costs, as a number or with a currency.
            with_embodied: Whether to reckon with what making the cards emitted.
            lifetime_years: How long a card is used; None for `DEFAULT_LIFETIME_YEARS`.

        Raises:
            InputError: No such GPU, no price, two currencies, or no lifetime.
        """
        prices = {
            load_gpu(name).name: _hour(name, price) for name, price in (gpu_prices or {}).items()
        }
        all_prices = list(prices.values())
        if facility is not None and facility.price is not None:
            all_prices.append(facility.price)
        currencies = {price.currency for price in all_prices}
        if len(currencies) > 1:
            named = " and ".join(sorted(currency or "none" for currency in currencies))
            raise InputError(f"prices are in several currencies ({named}); give all in one")
        if lifetime_years is not None and not with_embodied:
            raise InputError("a lifetime is of cards whose embodied carbon counts; add --embodied")
        years = DEFAULT_LIFETIME_YEARS if lifetime_years is None else lifetime_years
        if not (math.isfinite(years) and 0 < years <= 100):
            raise InputError(f"a lifetime of {years:g} years: give one above 0, 100 at most")
        return cls(
            facility,
            {name: price.per_kwh for name, price in prices.items()},
            next(iter(currencies), None),
            years if with_embodied else None,
        )

    @property
    def has_prices(self) -> bool:
        """Whether anything has a price."""
        return bool(self.gpu_prices) or (self.facility is not None and bool(self.facility.price))

    def rent(self, gpu: str, gpu_hours: float) -> float | None:
        """What the hours of a GPU cost, in `currency`; None where its price is not known."""
        return self.gpu_prices[gpu] * gpu_hours if gpu in self.gpu_prices else None

    def cost(self, gpu: str, gpu_hours: float, electricity: float | None) -> float | None:
        """Rent and electricity together; None without prices, or if only this GPU has none."""
        rent = self.rent(gpu, gpu_hours)
        if self.gpu_prices and rent is None:
            return None
        parts = [part for part in (rent, electricity) if part is not None]
        return sum(parts) if parts else None

    def embodied_g(self, gpu: str, gpu_hours: float) -> float | None:
        """The part of what making the cards emitted [gCO2e]; None if not asked for or not known."""
        figure = embodied_carbon().get(gpu)
        if self.lifetime_years is None or figure is None:
            return None
        return figure.share_g(gpu_hours, self.lifetime_years)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; what the facility is follows with each option."""
        return {
            "gpu_prices": dict(self.gpu_prices),
            "currency": self.currency,
            "embodied_lifetime_years": self.lifetime_years,
        }


def gpu_prices_of(texts: tuple[str, ...]) -> dict[str, str]:
    """From texts such as "h100-sxm=2.5 USD", as `--gpu-price` takes them.

    Raises:
        InputError: One is no such text, or of a GPU that another is of.
    """
    prices: dict[str, str] = {}
    for text in texts:
        gpu, equals, price = (word.strip() for word in text.partition("="))
        if not (gpu and equals and price) or gpu in prices:
            raise InputError(
                f'--gpu-price "{text}": give each GPU once, and what an hour of one costs, such as '
                'h100-sxm=2.5 or "h100-sxm=2.5 USD"'
            )
        prices[gpu] = price
    return prices


def _hour(gpu: str, price: float | str | Price) -> Price:
    """What an hour of a GPU costs; the class calls any amount one per kilowatt hour."""
    try:
        return Price.of(price)
    except InputError as error:
        raise InputError(
            f'{gpu}={price}: is no price of a GPU hour, such as 2.5 or "2.5 USD"'
        ) from error
