"""Prices of a GPU that nobody measured, by its data sheet.

Memory's work takes time by bandwidth, products by the peak; what either draws beside idle power
goes by the rated power. A host's pace stays as it is. What no data sheet says is a factor with a
spread, which the interval carries and a user can narrow with watts of their own:

    idle power over rated power         0.18, by 40 %
    power while reading memory          as on the H100, over what is not idle power, by 15 %
    bandwidth and peak that is reached  as on the H100, by 5 and 10 %

0.56 to 0.87 of the rated power was seen while decoding alone on five kinds of GPU (docs/prices.md).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.prices import Spent, UnitPrices
from joulecast.estimator.unit_prices.work import TERMS
from joulecast.measurements.hardware import Gpu
from joulecast.traces.errors import InputError

IDLE_SHARE = 0.18
IDLE_SPREAD = 0.4
MEMORY_POWER_SPREAD = 0.15
BANDWIDTH_SPREAD = 0.05
PEAK_SPREAD = 0.10
LINK_SPREAD = 1.0
"""Links differ by ten times between boards; the H100's are NVLink of the fourth generation."""

OWN_WATTS_SPREAD = 0.03
"""Of watts that a user read off the card."""

_MOST_IDLE = 0.75
"""Share of its limit that no card draws with nothing to do: those metered draw 0.15 to 0.2."""

_PRODUCTS = {
    "linear_flops": None,
    "quantized_flops": "float8",
    "expert_flops": None,
    "attention_flops": None,
    "head_flops": None,
}
"""Work that goes by the peak -> of which number format; None for that of 16 bits."""

_LINKS = ("link_bytes", "link_calls")
_MEMORY = tuple(term for term in TERMS if term not in {*_PRODUCTS, *_LINKS})

_PACES = {
    "weight_byte": "memory",
    "cache_byte": "memory",
    "wide_cache_byte": "memory",
    "layer_token": "memory",
    "output": "memory",
    "expert": "memory",
    "linear_flop": "products",
    "expert_flop": "products",
    "attention_flop": "products",
    "head_flop": "products",
    "quantized_flop": "quantized",
}


@dataclass(frozen=True)
class OwnWatts:
    """What a user read off their own card.

    Attributes:
        idle_w: Loaded and waiting [W]; None if not known.
        decode_w: While one request decodes, and nothing else [W]; None likewise.
    """

    idle_w: float | None = None
    decode_w: float | None = None


NO_WATTS = OwnWatts()


@dataclass(frozen=True)
class CarriedPrices:
    """Prices of a GPU, and what is not known of them.

    Attributes:
        prices: Of the GPU.
        from_gpu: Where they are from; None if they are its own.
        memory_sd: Relative sd of what memory's work takes.
        product_sd: Of what products take.
        link_sd: Of what GPUs send each other.
        idle_cards: Cards of the kind that tell its idle power; 0 if it is carried over, or read off
            one card by a user.
    """

    prices: UnitPrices
    from_gpu: str | None = None
    memory_sd: float = 0.0
    product_sd: float = 0.0
    link_sd: float = 0.0
    idle_cards: int = 0

    @property
    def has_spread(self) -> bool:
        """Whether something of the GPU is not known as a measurement would tell it."""
        return any((self.memory_sd, self.product_sd, self.link_sd))

    def relative_sd(self, spent: Spent, energy_j: float) -> float:
        """Relative sd of an energy, since the GPU was not measured."""
        parts = dict(zip(TERMS, (self.prices.energy_j * spent.work).tolist(), strict=True))
        shares = [
            self.memory_sd * sum(parts[term] for term in _MEMORY),
            self.product_sd * sum(parts[term] for term in _PRODUCTS),
            self.link_sd * sum(parts[term] for term in _LINKS),
        ]
        return math.hypot(*shares) / energy_j


def carry(prices: UnitPrices, source: Gpu, target: Gpu) -> CarriedPrices:
    """Prices of another GPU.

    Args:
        prices: Of the GPU that was measured.
        source: Its data sheet.
        target: That of the other.
    """
    idle_w = target.idle_power_w or IDLE_SHARE * target.tdp_w
    watts = (target.tdp_w - idle_w) / (source.tdp_w - prices.idle_power_w)
    slower = {
        "memory": source.memory_bytes_per_s / target.memory_bytes_per_s,
        "products": source.peak(source.half_dtype) / target.peak(target.half_dtype),
        "quantized": 1.0,
    }
    if "float8" in target.peak_flops:
        slower["quantized"] = source.peak("float8") / target.peak("float8")
    by_term = dict.fromkeys(_MEMORY, slower["memory"]) | dict.fromkeys(_LINKS, 1.0)
    for term, number_format in _PRODUCTS.items():
        by_term[term] = slower["products" if number_format is None else "quantized"]
    factors = watts * np.array([by_term[term] for term in TERMS])
    paces = {name: slower[kind] for name, kind in _PACES.items()}
    if not target.plans_attention:
        paces["new_shape"] = 0.0
    return CarriedPrices(
        prices=replace(
            prices,
            gpu=target.name,
            energy_j=prices.energy_j * factors,
            covariance=prices.covariance * np.outer(factors, factors),
            pace=prices.pace.scaled(paces),
            idle_power_w=idle_w,
            idle_sd_w=IDLE_SPREAD * idle_w if target.idle_power_w is None else 0.1 * idle_w,
        ),
        from_gpu=prices.gpu,
        memory_sd=math.hypot(MEMORY_POWER_SPREAD, BANDWIDTH_SPREAD),
        product_sd=PEAK_SPREAD,
        link_sd=LINK_SPREAD,
    )


def with_own_watts(
    carried: CarriedPrices, deployment: Deployment, watts: OwnWatts
) -> CarriedPrices:
    """The same prices, made to agree with what a user read off the card.

    Raises:
        InputError: Watts that no card of the kind can draw.
    """
    limit_w = deployment.power_limit_w
    most = ("idle", watts.idle_w, _MOST_IDLE * limit_w), ("decode", watts.decode_w, limit_w)
    for name, value, most_w in most:
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise InputError(f"{name} watts are {value!r}; give a number")
        if value is not None and not 0 < value < most_w:
            raise InputError(
                f"--{name}-watts {value:g}: a {deployment.gpu.product} of {limit_w:g} W draws more "
                f"than 0 and less than {most_w:g} W so"
            )
    prices = carried.prices
    if watts.idle_w is not None:
        prices = _idling_at(prices, deployment, watts.idle_w)
        carried = replace(carried, prices=prices, idle_cards=0)
    if watts.decode_w is None:
        return carried
    if watts.decode_w <= prices.idle_power_w:
        raise InputError(
            f"--decode-watts {watts.decode_w:g}: no more than the {prices.idle_power_w:.0f} W of "
            "the idle card; give --idle-watts too, or read again"
        )
    spent = prices.spent(_one_decoding(), deployment.on(1))
    asked_j = (watts.decode_w - prices.idle_power_w) * spent.seconds
    by = asked_j / prices.work_j(spent.work)
    factors = np.array([by if term in _MEMORY else 1.0 for term in TERMS])
    prices = replace(
        prices,
        energy_j=prices.energy_j * factors,
        covariance=prices.covariance * np.outer(factors, factors),
    )
    return replace(carried, prices=prices, memory_sd=math.hypot(OWN_WATTS_SPREAD, BANDWIDTH_SPREAD))


def _idling_at(prices: UnitPrices, deployment: Deployment, idle_w: float) -> UnitPrices:
    """The same with another idle power; prices of work go by what is left of the rated power."""
    by = 1.0
    if prices.gpu != prices.provenance.get("gpu", prices.gpu):  # carried over
        by = (deployment.gpu.tdp_w - idle_w) / (deployment.gpu.tdp_w - prices.idle_power_w)
    return replace(
        prices,
        energy_j=prices.energy_j * by,
        covariance=prices.covariance * by * by,
        idle_power_w=idle_w,
        idle_sd_w=OWN_WATTS_SPREAD * idle_w,
    )


def _one_decoding(context: int = 256) -> Steps:
    """A step in which one request decodes."""
    ones = np.ones(1)
    return Steps(ones, 0 * ones, context * ones, 0 * ones, ones, np.zeros(1, dtype=bool), 1)
