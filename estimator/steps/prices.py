"""The step model: what a run costs, as a sum over the work that its steps do.

    E = e_step S + e_token T + e_context K + e_pair P + e_output O + e_request R

S steps (reading the weights, launching kernels), T tokens fed (linear layers), K cached tokens read
while decoding, P prompt query-key pairs, O tokens sampled (output head, scheduling) and R requests
taken in. The coefficients are fitted to a table's runs at all batch sizes, non-negative, by least
squares of the relative errors. docs/stepwise.md says why six and what they reach.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.host_pace import TimedBatch
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import TERMS, LengthArray, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError

CARD_SPREAD = 0.005
"""Relative sd between cards of a kind: two H100s differ by 0.7 % on average (docs/measure.md)."""

_UNIFORM = 3**-0.5
_EXACT = 1e-12
"""Least variance of residuals, so that runs made up without noise can be fitted to."""


class Scheduler(Protocol):
    """How an engine serves requests that are all there from the start."""

    def schedule(self, lengths: LengthArray) -> Steps:
        """What every step feeds.

        Args:
            lengths: (i, o) per request, in their order [tokens], shape (n, 2).
        """

    def clip(self, lengths: LengthArray) -> LengthArray:
        """Requests that were drawn, shortened to what the engine holds."""

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """The same for a table's run: one batch of equal requests."""


def scheduler_of(table: EnergyTable) -> Scheduler:
    """The scheduler of a table's engine, with the settings that it was measured with.

    Raises:
        InputError: The table lacks settings that matter.
    """
    if table.engine == "pytorch":
        sizes = {cell: energy.batch_size for cell, energy in table.cells.items()}
        return StaticBatching(table.grid, sizes)
    if table.engine != "vllm":
        raise InputError(
            f"{table.name}: how {table.engine} schedules requests is not known; use --method binned"
        )
    return ContinuousBatching.from_settings(table.metadata["engine_settings"], table.name)


def kind_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What two tables, or a table and a replay, must share for one to speak for the other.

    Args:
        facts: Of table.json or of a replay.
    """
    settings = facts["engine_settings"]
    named = {key: facts[key] for key in ("gpu", "model", "engine", "dtype")}
    return {
        **named,
        "gpu_count": facts.get("gpu_count", 1),
        "eager": settings.get("eager", False),
        "compiled": settings.get("compiled", False),
    }


@dataclass(frozen=True)
class Point:
    """The valid runs of one batch, together.

    Attributes:
        batch: (I, O, batch size).
        steps: What one batch makes the engine do.
        runs: The runs, one or more.
        waiting_j: Part of a batch's energy that the GPU spent waiting for its host [J]; prices are
            of the rest.
    """

    batch: tuple[int, int, int]
    steps: Steps
    runs: Sequence[Run]
    waiting_j: float = 0.0

    @cached_property
    def counts(self) -> StepCounts:
        """Sums over the steps."""
        return self.steps.counts

    @cached_property
    def energy_j(self) -> float:
        """Mean energy of a batch [J]."""
        return statistics.fmean(run.batch_energy_j for run in self.runs)

    @cached_property
    def seconds(self) -> float:
        """Mean time of a batch [s]."""
        return statistics.fmean(run.seconds / run.batches for run in self.runs)


def table_points(table: EnergyTable) -> list[Point]:
    """A table's valid runs, one point per batch.

    Raises:
        InputError: Too few to fit to, or settings that the scheduler needs are not there.
    """
    groups: dict[tuple[int, int, int], list[Run]] = {}
    for run in table.runs:
        if run.valid:
            groups.setdefault(run.batch, []).append(run)
    if len(groups) <= len(TERMS):
        raise InputError(
            f"{table.name}: has valid runs of {len(groups)} different batches, and the step model "
            f"needs {len(TERMS) + 1}; measure more, or use --method binned"
        )
    scheduler = scheduler_of(table)
    return [Point(batch, scheduler.schedule_batch(*batch), runs) for batch, runs in groups.items()]


def timed_batches(points: Sequence[Point]) -> list[TimedBatch]:
    """Points as what the pace of their host is found from."""
    return [
        TimedBatch(point.steps, point.counts.array(), point.seconds, point.energy_j)
        for point in points
    ]


@dataclass(frozen=True)
class StepModel:
    """Coefficients, and how far they can be trusted.

    Attributes:
        energy_j: Coefficients in the order of `TERMS` [J each], shape (6,).
        seconds: The same for time [s each], shape (6,).
        covariance: Of the energy coefficients [J^2], shape (6, 6).
        residual_sd: Relative sd of a batch's mean energy around the fit.
        freedom: Degrees of freedom of that.
        repeat_sd: Relative sd between equal runs, pooled; 0 if none was repeated.
        repeats: Mean of 1 / runs over the batches: 1 if none was repeated.
        tick_sd: Relative sd from the meter's ticks, over the runs.
        card_sd: Relative sd between cards of one kind.
        cards: Cards that the table was measured on.
    """

    energy_j: FloatArray
    seconds: FloatArray
    covariance: FloatArray
    residual_sd: float
    freedom: int
    repeat_sd: float
    repeats: float
    tick_sd: float
    card_sd: float
    cards: int

    def predict_j(self, counts: StepCounts) -> float:
        """Energy of that much work [J]."""
        return float(counts.array() @ self.energy_j)

    def parts_j(self, counts: StepCounts) -> Mapping[str, float]:
        """Term -> its share of the energy [J]."""
        return dict(zip(TERMS, (counts.array() * self.energy_j).tolist(), strict=True))

    def predict_seconds(self, counts: StepCounts) -> float:
        """Time of that much work [s]."""
        return float(counts.array() @ self.seconds)

    def relative_sds(self, counts: StepCounts) -> Mapping[str, float]:
        """What makes a metered run of that much work differ from the prediction: relative sds.

        Returns:
            `coefficients`: they rest on so many runs. `shape`: what the law misses, which differs
            from one mix of lengths to another; the residuals that tell it also hold what ticks and
            single runs add. `repeat`: equal runs differ, as far as the residuals do not hold that.
            `card`: so do equal cards, the table's and the one that will serve.
        """
        work = counts.array()
        variance = float(work @ self.covariance @ work) / self.predict_j(counts) ** 2
        return {
            "coefficients": math.sqrt(variance),
            "shape": self.residual_sd,
            "repeat": self.repeat_sd * math.sqrt(1 - self.repeats),
            "card": self.card_sd * math.sqrt(1 + 1 / self.cards),
        }


def interval_j(
    energy_j: float, relative_sds: Mapping[str, float], freedom: int
) -> tuple[float, float]:
    """The 95 % interval around an estimate [J]; it does not reach below 0.

    Student's t with the degrees of freedom that the fit's residuals have, since their spread is
    itself only known from so many.
    """
    from scipy.special import stdtrit

    quantile = float(stdtrit(freedom, 0.975))
    half = quantile * sum(sd**2 for sd in relative_sds.values()) ** 0.5
    return max(0.0, energy_j * (1 - half)), energy_j * (1 + half)


def fit_step_model(points: Sequence[Point]) -> StepModel:
    """Fit the step model to a table's points, more than there are terms."""
    work = np.array([point.counts.array() for point in points])
    energies_j = np.array([point.energy_j for point in points])
    waiting = np.array([point.waiting_j for point in points]) / energies_j
    coefficients = _fit(work, energies_j, waiting)
    relative = work / energies_j[:, None]
    active = coefficients > 0
    freedom = len(energies_j) - int(active.sum())
    residuals = relative @ coefficients + waiting - 1
    variance = float(residuals @ residuals) / freedom
    # Where the runs do not tell terms apart, all that is known of a price is that it is not below 0
    # and that no run's energy is exceeded by that term alone.
    highest = 1 / relative.max(axis=0)
    scaled = relative * highest
    known = scaled.T @ scaled / max(variance, _EXACT) + np.eye(len(TERMS))
    covariance = np.linalg.inv(known) * np.outer(highest, highest)
    return StepModel(
        energy_j=coefficients,
        seconds=_fit(work, np.array([point.seconds for point in points])),
        covariance=covariance,
        residual_sd=math.sqrt(variance),
        freedom=freedom,
        repeat_sd=_repeat_sd(points),
        repeats=statistics.fmean(1 / len(point.runs) for point in points),
        tick_sd=_tick_sd(points),
        card_sd=_card_sd(points),
        cards=len({run.gpu for point in points for run in point.runs}),
    )


def held_out_errors(points: Sequence[Point]) -> dict[tuple[int, int, int], float]:
    """Relative error of the energy of each batch when its runs are left out of the fit."""
    work = np.array([point.counts.array() for point in points])
    energies_j = np.array([point.energy_j for point in points])
    errors = {}
    for k, point in enumerate(points):
        others = np.arange(len(points)) != k
        predicted_j = float(work[k] @ _fit(work[others], energies_j[others]))
        errors[point.batch] = predicted_j / point.energy_j - 1
    return errors


def _fit(work: FloatArray, values: FloatArray, known: FloatArray | float = 0.0) -> FloatArray:
    """Non-negative coefficients, least squares of relative errors, shape (6,).

    Args:
        work: Counts of each batch, shape (batches, 6).
        values: What they add up to.
        known: Share of these that is none of the work's.
    """
    from scipy.optimize import nnls

    coefficients, _ = nnls(work / values[:, None], np.ones(len(values)) - known)
    return np.asarray(coefficients)


def _repeat_sd(points: Sequence[Point]) -> float:
    """Relative sd between equal runs, pooled over the batches that have several."""
    squares, freedom = 0.0, 0
    for point in points:
        energies_j = [run.batch_energy_j for run in point.runs]
        squares += sum((energy_j / point.energy_j - 1) ** 2 for energy_j in energies_j)
        freedom += len(energies_j) - 1
    return (squares / freedom) ** 0.5 if freedom else 0.0


def _tick_sd(points: Sequence[Point]) -> float:
    """Relative sd from ticks: an error that is equally likely anywhere within its bound."""
    bounds = [
        run.tick_error_j / run.energy_j
        for point in points
        for run in point.runs
        if run.tick_error_j is not None
    ]
    return _UNIFORM * statistics.fmean(b * b for b in bounds) ** 0.5 if bounds else 0.0


def _card_sd(points: Sequence[Point]) -> float:
    """Relative sd between cards: of the kind, or more if the table's own differ by more."""
    by_card: dict[str | None, list[float]] = {}
    for point in points:
        cards = {run.gpu for run in point.runs}
        for card in cards if len(cards) > 1 else ():
            own = [run.batch_energy_j for run in point.runs if run.gpu == card]
            by_card.setdefault(card, []).append(statistics.fmean(own) / point.energy_j - 1)
    means = [statistics.fmean(differences) for differences in by_card.values()]
    return max(CARD_SPREAD, statistics.stdev(means) if len(means) > 1 else 0.0)
