"""Prices of plain PyTorch, from the table of one model.

Static batches keep their GPU waiting for the host, so energy is priced beside idle power, as of any
engine, and time comes about by itself (`pace.py`): a step lasts what its work takes, no less than
the host needs to launch it, and longer by a plan of the attention where its shapes are new. Which
steps of a run were new, the order of the runs says.

A single dense model does not tell products from what a token takes besides, since both go by
tokens. Products are the same kernels under every engine: their prices are those of another one, of
which several models were measured, and the rest is memory's.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.pace import Pace
from joulecast.estimator.unit_prices.prices import UnitPrices
from joulecast.estimator.unit_prices.sources import deployment_of, idle_powers_w
from joulecast.estimator.unit_prices.work import TERMS, StepWork
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.identity import require_greedy
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.interpolation import BatchKey
from joulecast.measurements.table.new_shapes import new_shapes
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable

_OWN_TERMS = ("weight_bytes", "cache_bytes", "attention_flops", "layer_tokens", "outputs")
_SHARED_TERMS = ("linear_flops", "head_flops")
"""Work that the table tells the price of; products, whose price is that of another engine."""

_FIRST_PACES = {
    "weight_byte": 3.2e-13,
    "cache_byte": 1.3e-12,
    "attention_flop": 2e-15,
    "layer_token": 2.5e-7,
    "eager_layer": 1e-3,
    "new_shape": 5e-2,
}
_NO_PACES = {"layer": 0.0, "output": 0.0}
"""Where the fit of paces begins; what the launches hold here."""

_STUMBLE = 0.05
_PULL = 0.03
_EXACT = 1e-12


@dataclass(frozen=True)
class TimedRun:
    """A run of a table.

    Attributes:
        batch: (I, O, batch size).
        work: Of the steps of one batch.
        energy_j: Of one batch [J].
        seconds: Of one batch [s].
        idle_power_w: Of its card [W].
        new_steps: Steps of a batch whose shapes the process had not seen, in the mean over the run.
    """

    batch: BatchKey
    work: StepWork
    energy_j: float
    seconds: float
    idle_power_w: float
    new_steps: float

    @property
    def work_j(self) -> float:
        """Energy beside idle power [J]."""
        return self.energy_j - self.idle_power_w * self.seconds


def timed_runs(table: EnergyTable) -> list[TimedRun]:
    """The valid runs of a table, in order; few batches are enough."""
    require_greedy(table.metadata, table.name)
    deployment = deployment_of(table.metadata, table.config)
    scheduler = StaticBatching(table.grid, {})
    timed = []
    for run, new in new_shapes(table.runs):
        if run.valid:
            work = deployment.work_of(scheduler.schedule_batch(*run.batch))
            timed.append(_timed(run, work, table, new))
    return timed


def _timed(run: Run, work: StepWork, table: EnergyTable, new: int) -> TimedRun:
    card = table.metadata.get("cards", {}).get(run.gpu, {})
    return TimedRun(
        batch=run.batch,
        work=work,
        energy_j=run.batch_energy_j,
        seconds=run.seconds / run.batches,
        idle_power_w=float(card.get("idle_power_w") or table.metadata["idle_power_w"]),
        new_steps=new / run.batches,
    )


def fit_pytorch_prices(
    table: EnergyTable,
    shared: UnitPrices,
    replays: Sequence[Replay] = (),
    without: Container[BatchKey] = (),
) -> UnitPrices:
    """Prices and paces of plain PyTorch.

    Args:
        table: Of the engine on one GPU.
        shared: Prices of the same GPU under another engine, whose products these share.
        replays: In no fit; they tell how far off it is.
        without: Batches to leave out.
    """
    runs = [run for run in timed_runs(table) if run.batch not in without]
    deployment = deployment_of(table.metadata, table.config)
    energy_j, covariance = _fit_energies(runs, shared)
    powers_w = idle_powers_w([table])
    (_, longest_input), (_, longest_output) = table.length_ranges
    prices = UnitPrices(
        gpu=deployment.gpu.name,
        engine=deployment.engine,
        energy_j=energy_j,
        covariance=covariance,
        pace=_fit_pace(runs, energy_j, shared.pace, deployment),
        idle_power_w=float(np.mean(powers_w)),
        idle_sd_w=shared.idle_sd_w,
        errors={},
        lengths=(longest_input, longest_output),
        provenance={
            "tables": [table.name],
            "replays": [],
            "models": [table.model],
            "engine_versions": [str(table.metadata["engine_version"])],
            "cards": len(powers_w),
            "products_from": f"{shared.gpu}/{shared.engine}",
            "gpu": deployment.gpu.name,
        },
    )
    errors = [replay_error(prices, table, replay) for replay in replays]
    if not errors:
        return prices
    return replace(prices, errors={"dense": float(np.sqrt(np.mean(np.square(errors))))})


def replay_error(prices: UnitPrices, table: EnergyTable, replay: Replay) -> float:
    """How far a forecast of a replay's energy lies above the metered one, relative."""
    deployment = deployment_of(replay.facts, replay.facts["model"])
    lengths: LengthArray = np.array(replay.lengths)
    scheduler = batched(scheduler_of(table), replay.batching)
    spent = prices.spent(scheduler.schedule(lengths), deployment)
    metered_j = float(np.mean([run.round_j for run in replay.valid_runs]))
    return prices.energy_of(spent, 1) / metered_j - 1


def _columns(terms: Sequence[str]) -> list[int]:
    return [TERMS.index(term) for term in terms]


def _fit_energies(runs: Sequence[TimedRun], shared: UnitPrices) -> tuple[FloatArray, FloatArray]:
    """Prices beside idle power, non-negative by least squares of relative errors; covariance.

    Returns:
        Shapes (13,) and (13, 13), in the order of `TERMS`.
    """
    from scipy.optimize import nnls

    own, products = _columns(_OWN_TERMS), _columns(_SHARED_TERMS)
    energies_j = np.array([run.energy_j for run in runs])
    relative = np.array([run.work.total for run in runs]) / energies_j[:, None]
    aims = np.array([run.work_j for run in runs]) / energies_j
    aims = aims - relative[:, products] @ shared.energy_j[products]
    rows = relative[:, own]
    units = 1 / rows.max(axis=0)
    fitted, _ = nnls(rows * units, aims)
    residuals = rows * units @ fitted - aims
    variance = float(residuals @ residuals) / (len(runs) - len(own))
    information = (rows * units).T @ (rows * units) / max(variance, _EXACT) + np.eye(len(own))
    energy_j, covariance = np.zeros(len(TERMS)), np.zeros((len(TERMS), len(TERMS)))
    energy_j[own], energy_j[products] = fitted * units, shared.energy_j[products]
    covariance[np.ix_(own, own)] = np.linalg.inv(information) * np.outer(units, units)
    covariance[np.ix_(products, products)] = shared.covariance[np.ix_(products, products)]
    return energy_j, covariance


def _fit_pace(
    runs: Sequence[TimedRun], energy_j: FloatArray, shared: Pace, deployment: Deployment
) -> Pace:
    """Paces that meet the times, least squares of the logarithms, bounded where a host stumbled."""
    from scipy.optimize import least_squares

    names = list(_FIRST_PACES)
    first = np.array([_FIRST_PACES[name] for name in names])
    seconds = np.array([run.seconds for run in runs])
    works_j = [energy_j @ run.work.amounts for run in runs]

    def pace_of(steps: FloatArray) -> Pace:
        values = dict(zip(names, (first * np.exp(steps)).tolist(), strict=True))
        return replace(shared, **_NO_PACES, **values)

    def residuals(steps: FloatArray) -> FloatArray:
        pace = pace_of(steps)
        seen = replace(pace, new_shape=0.0)
        forecast = [
            seen.step_seconds(
                run.work,
                work_j,
                deployment.power_limit_w - run.idle_power_w,
                is_eager=True,
            ).sum()
            + pace.new_shape * run.new_steps
            for run, work_j in zip(runs, works_j, strict=True)
        ]
        return np.concatenate([np.log(np.array(forecast) / seconds), _PULL * steps])

    fitted = least_squares(residuals, np.zeros(len(names)), loss="soft_l1", f_scale=_STUMBLE)
    return pace_of(fitted.x)


def forecast_run(prices: UnitPrices, run: TimedRun, deployment: Deployment) -> tuple[float, float]:
    """Energy [J] and time [s] of a batch of a run."""
    seen = replace(prices.pace, new_shape=0.0)
    spare_w = deployment.power_limit_w - run.idle_power_w
    work_j = prices.energy_j @ run.work.amounts
    seconds = seen.step_seconds(run.work, work_j, spare_w, is_eager=True).sum()
    seconds += prices.pace.new_shape * run.new_steps
    return float(work_j.sum() + run.idle_power_w * seconds), float(seconds)
