"""The batches of a table, each with what it took and what it made the engine do."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from joulecast.estimator.steps.schedulers import scheduler_of
from joulecast.estimator.steps.work import TERMS, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.table.interpolation import BatchKey
from joulecast.measurements.table.runs import Run
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError


@dataclass(frozen=True)
class MeteredBatch:
    """The valid runs of one batch, together.

    Attributes:
        batch: (I, O, batch size).
        steps: What one batch makes the engine do.
        runs: The runs, one or more.
        waiting_j: Part of a batch's energy that no price is of [J]: what the GPU spent waiting for
            its host, and what `full_clock.py` adds; prices are of the rest.
    """

    batch: BatchKey
    steps: Steps
    runs: Sequence[Run]
    waiting_j: float = 0.0

    @cached_property
    def counts(self) -> StepCounts:
        """Sums over the steps."""
        return self.steps.counts

    @cached_property
    def work(self) -> FloatArray:
        """What prices are fitted to: the counts, tokens with their padding; shape (6,)."""
        work = self.counts.array()
        work[TERMS.index("tokens")] += self.steps.total(self.steps.padded)
        return work

    @cached_property
    def energy_j(self) -> float:
        """Mean energy of a batch [J]."""
        return statistics.fmean(run.batch_energy_j for run in self.runs)

    @cached_property
    def seconds(self) -> float:
        """Mean time of a batch [s]."""
        return statistics.fmean(run.seconds / run.batches for run in self.runs)


def metered_batches(table: EnergyTable) -> list[MeteredBatch]:
    """A table's valid runs by their batch.

    Raises:
        InputError: Too few to fit prices to, or settings that the scheduler needs are not there.
    """
    runs, scheduler = _runs_by_batch(table), scheduler_of(table)
    return [
        MeteredBatch(batch, scheduler.schedule_batch(*batch), batch_runs)
        for batch, batch_runs in runs.items()
    ]


def batches_of_steps(table: EnergyTable) -> Sequence[MeteredBatch]:
    """What the law of a table's steps is fitted to: its batches; none of a table of traffic.

    Raises:
        InputError: As for `metered_batches`, or the runs do not tell what a step costs.
    """
    if table.is_of_traffic:
        return ()
    require_price_of_step(table)
    return metered_batches(table)


def require_step_model(table: EnergyTable) -> None:
    """Refuse, before any long work, a table that no step model can be made of.

    Raises:
        InputError: As for `metered_batches`.
    """
    if table.is_of_traffic:
        table.require_traffic()
    else:
        _runs_by_batch(table)
    scheduler_of(table)
    require_price_of_step(table)


def require_price_of_step(table: EnergyTable) -> None:
    """Refuse a table whose runs do not tell what a step costs.

    Raises:
        InputError: All its runs are of largest batches.
    """
    if table.is_at_capacity_alone:
        raise InputError(
            f"{table.name}: all its runs are of largest batches, which do not tell what a step "
            "costs; measure --plan quick too, or use --method binned"
        )


def _runs_by_batch(table: EnergyTable) -> Mapping[BatchKey, Sequence[Run]]:
    """Valid runs of more batches than there are prices to fit."""
    runs: dict[BatchKey, list[Run]] = {}
    for run in table.runs:
        if run.valid:
            runs.setdefault(run.batch, []).append(run)
    if len(runs) <= len(TERMS):
        raise InputError(
            f"{table.name}: has valid runs of {len(runs)} different batches, and the step model "
            f"needs {len(TERMS) + 1}; measure more, or use --method binned"
        )
    return runs
