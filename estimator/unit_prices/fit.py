"""Fitting prices per unit of physical work to everything that was metered on a GPU.

Energy beside idle power: non-negative prices, least squares of relative errors, where each model's
tables count as much as any other's, and so do its replays. Time: the paces, least squares of the
logarithms, bounded where a host stumbled.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.pace import Pace
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.work import TERMS, StepWork
from joulecast.measurements.arrays import FloatArray

_STUMBLE = 0.03
"""Relative error of a time from which on it counts less."""

_ROUNDS = 40
_DIFFERENCE = 0.01
_PULL = 0.03
"""How strongly a pace is drawn to where it begins: as one group of measurements that the double of
it would put off by 2 %. Cards that draw their limit do not tell how fast they could compute."""
_EXACT = 1e-12
_NOWHERE = 1e200

_RESIDUAL = 0.02
"""Relative error of a group of measurements, for weighing what is expected against them."""

_EXPECTED_SPREAD = 0.15
"""Relative sd of prices that were carried over from another GPU (`carry.py`)."""

_FIRST_PACE = Pace(
    weight_byte=3.2e-13,
    cache_byte=3.4e-13,
    wide_cache_byte=5e-14,
    linear_flop=1e-15,
    quantized_flop=6e-16,
    expert_flop=2e-15,
    attention_flop=1.4e-15,
    head_flop=2e-15,
    layer=6e-5,
    layer_token=1e-8,
    output=3e-6,
    expert=1e-7,
    link_byte=2e-12,
    link_call=5e-6,
    host_layer=1.5e-3,
    host_expert_layer=2.3e-3,
    eager_layer=6.5e-4,
)


@dataclass(frozen=True)
class Metered:
    """Something that was metered: a batch of a table, or a replay.

    Attributes:
        name: What it was.
        group: What shares a weight: all batches of a model, or all its replays.
        deployment: What served.
        work: Of its steps.
        energy_j: Energy of all GPUs [J].
        seconds: Time [s].
        idle_power_w: Of all GPUs, loaded and waiting [W].
        lengths: Longest input and output [tokens].
        is_busy: Whether it was at work all the time; a stretch of traffic has pauses, so its time
            tells no paces.
    """

    name: str
    group: tuple[str, ...]
    deployment: Deployment
    work: StepWork
    energy_j: float
    seconds: float
    idle_power_w: float
    lengths: tuple[int, int]
    is_busy: bool = True

    @property
    def work_j(self) -> float:
        """Energy beside idle power [J]."""
        return self.energy_j - self.idle_power_w * self.seconds


def fit_unit_prices(
    metered: Sequence[Metered],
    idle_powers_w: Sequence[float],
    errors: Mapping[str, float] | None = None,
    provenance: Mapping[str, object] | None = None,
    prior: UnitPrices | None = None,
) -> UnitPrices:
    """Fit prices and paces.

    Args:
        metered: What to fit to, of one GPU and engine.
        idle_powers_w: Of loaded cards of the kind [W].
        errors: What held-out data showed, to be kept with the prices.
        provenance: Likewise.
        prior: Prices carried over from another GPU, which hold where nothing here tells otherwise.
    """
    energies_j = np.array([each.energy_j for each in metered])
    targets = np.array([each.work_j for each in metered]) / energies_j
    relative = np.array([each.work.total for each in metered]) / energies_j[:, None]
    weights = _weights(metered)
    expected = None if prior is None else prior.energy_j
    prices_j, covariance = _non_negative(relative, targets, weights, expected)
    first_pace = _FIRST_PACE if prior is None else prior.pace
    idle_w = float(np.mean(idle_powers_w))
    first = metered[0].deployment
    return UnitPrices(
        gpu=first.gpu.name,
        engine=first.engine,
        energy_j=prices_j,
        covariance=covariance,
        pace=fit_pace([each for each in metered if each.is_busy], prices_j, first_pace),
        idle_power_w=idle_w,
        idle_sd_w=float(np.std(idle_powers_w, ddof=1)) if len(idle_powers_w) > 1 else 0.05 * idle_w,
        errors=errors or {},
        lengths=(
            max(each.lengths[0] for each in metered),
            max(each.lengths[1] for each in metered),
        ),
        provenance=provenance or {},
    )


def _weights(metered: Sequence[Metered]) -> FloatArray:
    """So that each group counts as one, shape (metered,)."""
    counts = Counter(each.group for each in metered)
    return np.array([1 / math.sqrt(counts[each.group]) for each in metered])


def _non_negative(
    relative: FloatArray, targets: FloatArray, weights: FloatArray, expected: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Prices, and their covariance.

    Args:
        relative: Work over energy, shape (metered, terms).
        targets: Share of the energy that is the work's.
        weights: Of each row.
        expected: Prices that are expected, within `_EXPECTED_SPREAD`; None where none are.
    """
    from scipy.optimize import nnls

    # In units in which a price of 1 alone would exceed some energy, or is what is expected.
    told = np.zeros(relative.shape[1]) if expected is None else expected
    units = np.where(told > 0, told, 1 / np.maximum(relative.max(axis=0), 1e-300))
    is_there = units < _NOWHERE
    rows = relative * np.where(is_there, units, 0.0) * weights[:, None]
    aims = targets * weights
    pulls = np.diag((told > 0) / _EXPECTED_SPREAD)
    fitted, _ = nnls(
        np.vstack([rows / _RESIDUAL, pulls]), np.concatenate([aims / _RESIDUAL, pulls.sum(axis=1)])
    )
    residuals = rows @ fitted - aims
    groups = float(weights @ weights)
    freedom = max(groups / 2, groups - float((fitted > 0).sum()))
    variance = max(_EXACT, float(residuals @ residuals) / freedom)
    # Of what nothing tells, all that is known is that it alone exceeds no energy.
    information = rows.T @ rows / variance + pulls @ pulls + np.eye(len(units))
    sizes = np.where(is_there, units, 0.0)
    return fitted * sizes, np.linalg.inv(information) * np.outer(sizes, sizes)


def fit_pace(
    metered: Sequence[Metered],
    prices_j: FloatArray,
    first_pace: Pace,
    names: Collection[str] | None = None,
) -> Pace:
    """Paces that meet the times; those of work that nothing has stay as they were.

    Args:
        metered: Batches and replays that were at work all the time.
        prices_j: Energy of each kind of work, in the order of `TERMS` [J each], shape (13,).
        first_pace: Where the fit begins, and what it is drawn to.
        names: Fields of the pace to fit; None for all.
    """
    from scipy.optimize import least_squares

    if not metered:
        return first_pace
    weights = _weights(metered)
    works_j = [prices_j @ each.work.amounts for each in metered]
    spares_w = [
        each.deployment.gpus * each.deployment.power_limit_w - each.idle_power_w for each in metered
    ]
    seconds = np.array([each.seconds for each in metered])

    first = first_pace.array()
    chosen = np.array([names is None or name in names for name in first_pace.to_dict()])

    def pace_of(steps: FloatArray) -> Pace:
        logarithms = np.zeros(len(first))
        logarithms[chosen] = steps - 1
        return Pace.of_array(first * np.exp(logarithms))

    def residuals(steps: FloatArray) -> FloatArray:
        pace = pace_of(steps)
        told = [
            pace.step_seconds(
                each.work, work_j, spare_w, each.deployment.gpus, each.deployment.is_eager
            ).sum()
            for each, work_j, spare_w in zip(metered, works_j, spares_w, strict=True)
        ]
        met = np.log(np.array(told) / seconds) * weights
        return np.concatenate([met, _PULL * (steps - 1)])

    begin = np.ones(int(chosen.sum()))  # logarithms of the paces over the first ones, and 1
    fitted = least_squares(
        residuals,
        begin,
        loss="soft_l1",
        f_scale=_STUMBLE,
        max_nfev=_ROUNDS,
        diff_step=np.full(len(begin), _DIFFERENCE),
    )
    return pace_of(np.where(_has_work(metered)[chosen], fitted.x, begin))


def _has_work(metered: Sequence[Metered]) -> npt.NDArray[np.bool_]:
    """Which paces something tells, shape (18,)."""
    totals = np.sum([each.work.total for each in metered], axis=0)
    amounts = dict(zip(TERMS, totals.tolist(), strict=True))
    is_eager = any(each.deployment.is_eager for each in metered)
    has_experts = any(each.work.expert_layers for each in metered)
    rows = {
        "quantized_flop": amounts["quantized_flops"] > 0,
        "expert_flop": amounts["expert_flops"] > 0,
        "wide_cache_byte": amounts["wide_cache_bytes"] > 0,
        "expert": amounts["experts_read"] > 0,
        "link_byte": amounts["link_bytes"] > 0,
        "link_call": amounts["link_calls"] > 0,
        "host_expert_layer": has_experts,
        "eager_layer": is_eager,
        "new_shape": False,
    }
    return np.array([rows.get(name, True) for name in _FIRST_PACE.to_dict()])


Key = Callable[[Metered], str]
Choice = Callable[[Metered], bool]


def everything(_: Metered) -> bool:
    """Choose all that was metered."""
    return True


def held_out_errors(
    metered: Sequence[Metered],
    idle_powers_w: Sequence[float],
    key: Key,
    forecast: Choice = everything,
    learn_from: Choice = everything,
    prior: UnitPrices | None = None,
) -> dict[str, tuple[float, float]]:
    """How far prices of all others put what was metered off: name -> of energy, of time.

    Args:
        metered: Everything.
        idle_powers_w: Of loaded cards [W].
        key: What is left out together, such as the model.
        forecast: What to forecast.
        learn_from: What to fit to.
        prior: As for `fit_unit_prices`.
    """
    errors = {}
    for left_out in sorted({key(each) for each in metered if forecast(each)}):
        others = [each for each in metered if key(each) != left_out and learn_from(each)]
        prices = fit_unit_prices(others, idle_powers_w, prior=prior)
        for each in metered:
            if key(each) == left_out and forecast(each):
                errors[each.name] = forecast_error(prices, each)
    return errors


def forecast_error(prices: UnitPrices, each: Metered) -> tuple[float, float]:
    """Relative errors of energy and of time by these prices; the card's idle power is known.

    Of traffic, how long it lasts is known, too.
    """
    gpus, limit_w = each.deployment.gpus, each.deployment.power_limit_w
    seconds = each.seconds
    if each.is_busy:
        seconds = float(
            prices.pace.step_seconds(
                each.work,
                prices.energy_j @ each.work.amounts,
                gpus * limit_w - each.idle_power_w,
                gpus,
                each.deployment.is_eager,
            ).sum()
        )
    energy_j = prices.work_j(each.work.total) + each.idle_power_w * seconds
    return energy_j / each.energy_j - 1, seconds / each.seconds - 1
