"""Estimates held against the meter: what a replay took, and what each method says of it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from joulecast.estimator.binned import estimate_binned
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.kinds.cards import load_kind
from joulecast.estimator.method import METHODS, Method
from joulecast.estimator.steps.batching import batched
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.stepwise import StepModel
from joulecast.measurements.batching import Batching
from joulecast.measurements.identity import Difference, differences, kind_differences
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import EnergyTable, load_table, table_names
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload


@dataclass(frozen=True)
class CheckedEstimate:
    """One method's estimate of one replay, against the meter.

    Attributes:
        estimate: The estimate.
        error_percent: How far it lies above the metered energy [%].
        is_within: Whether its interval holds the metered energy; None without an interval.
    """

    estimate: Estimate
    error_percent: float
    is_within: bool | None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "requests": self.estimate.requests["estimated"],
            "energy_j": self.estimate.energy_j,
            "interval_j": self.estimate.interval_j and list(self.estimate.interval_j),
            "seconds": self.estimate.seconds,
            "error_percent": self.error_percent,
            "is_within": self.is_within,
        }


@dataclass(frozen=True)
class Validation:
    """One replay, and what was estimated of it.

    Attributes:
        name: Of the replay file.
        replay: What was metered.
        table: The table that the estimates rest on.
        host: The table that tells the pace of the host, if any was measured there.
        metered_j: Mean energy of its valid runs [J].
        metered_seconds: Mean time of these [s].
        checked: Method -> estimate against meter; a method that cannot estimate is missing.
        ideal_j: The dense ideal of the true lengths [J].
        simulated: What our scheduler makes of the requests.
        differences: In which conditions the replay was run that are not the table's.
    """

    name: str
    replay: Replay
    table: str
    host: str | None
    metered_j: float
    metered_seconds: float
    checked: Mapping[Method, CheckedEstimate]
    ideal_j: float
    simulated: Steps
    differences: Sequence[Difference] = ()

    @property
    def difference_texts(self) -> list[str]:
        """The differences in words."""
        return _texts(self.differences)

    @property
    def has_other_batches(self) -> bool:
        """Whether it was run in other static batches than the table would have it run in."""
        batches = self.replay.batches
        if batches is None or self.replay.batching.static is not None:
            return False
        return sum(outputs for _, _, outputs in batches) != len(self.simulated.decoding)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        counts, steps = self.simulated.counts, self.replay.engine_steps
        return {
            "replay": self.name,
            "trace": self.replay.facts["trace"],
            "requests": len(self.replay.lengths),
            "runs": len(self.replay.valid_runs),
            "table": self.table,
            "host": self.host,
            "differences": self.difference_texts,
            "metered_j": self.metered_j,
            "metered_seconds": self.metered_seconds,
            "ideal_j": self.ideal_j,
            **{method: checked.to_dict() for method, checked in self.checked.items()},
            "steps": {
                "simulated": len(self.simulated.decoding),
                "engine": None if steps is None else steps.steps,
            },
            "tokens": {
                "simulated": counts.tokens,
                "engine": None if steps is None else steps.tokens,
            },
        }


def find_replays(path: Path) -> list[Path]:
    """A replay file, or those of a folder, in order of their names.

    Raises:
        InputError: There is none.
    """
    paths = sorted(path.glob("**/*.json")) if path.is_dir() else [path]
    if not paths:
        raise InputError(f"{path}: holds no replay (*.json); make one with: joulecast replay")
    return paths


def without_card(table: EnergyTable, host: EnergyTable | None, card: str) -> StepModel:
    """The step model of a table, where nothing that one card took tells how cards lie among a kind.

    A table of that very card alone is taken as it is: its prices are those of the card.

    Args:
        table: As for `TableLaw.of`.
        host: Likewise.
        card: UUID of the card that is to be forecast.
    """
    return StepModel.of(table, host, load_kind(table.gpu.name, without=card))


Fit = Callable[[EnergyTable, EnergyTable | None, str], StepModel]
"""A step model of a table, of one that tells the pace of the serving host, for a card."""


def fitting_once() -> Fit:
    """A fit that remembers, for several replays; tables of one name are the same table."""
    models: dict[tuple[str, str | None, str], StepModel] = {}

    def fit(table: EnergyTable, host: EnergyTable | None, card: str) -> StepModel:
        names = table.name, None if host is None else host.name, card
        if names not in models:
            models[names] = without_card(table, host, card)
        return models[names]

    return fit


def validate(
    name: str,
    replay: Replay,
    tables: Sequence[EnergyTable],
    hosts: Sequence[EnergyTable] = (),
    fit: Fit = without_card,
    takes_other_conditions: bool = False,
) -> Validation:
    """Hold the estimates of a replay's requests against what they took.

    Args:
        name: What to call the replay.
        replay: Metered; none of its runs is in any fit.
        tables: The first of the same kind and conditions is taken.
        hosts: Tables that may have been measured where the replay was; the first that was tells
            how fast the host launches steps.
        fit: How the step model is made.
        takes_other_conditions: Whether a table of the same kind will do, if there is none of the
            same conditions; the differences are told then.

    Raises:
        InputError: No table fits, or no run of the replay is valid.
    """
    runs = replay.valid_runs
    if not runs:
        raise InputError(
            f"{name}: has no valid run: {replay.runs[0].reason}; make it again, or take it away"
        )
    table = _table_of(name, replay, tables, takes_other_conditions)
    host = _host_of(replay, table, hosts)
    lengths = np.array(replay.lengths, dtype=np.int64)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    metered_j = statistics.fmean(run.round_j for run in runs)
    try:
        model = _served_so(fit(table, host, runs[0].card), replay.batching)
        stepwise = model.estimate(workload, name, lengths)
        simulated = model.scheduler.schedule(lengths)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    estimates: dict[Method, Estimate] = {"stepwise": stepwise}
    if not replay.batching.is_limited:  # its batches are the largest
        with suppress(InputError):  # of requests beyond the grid, or few cells, it says nothing
            estimates["binned"] = estimate_binned(workload, table, name)
    return Validation(
        name=name,
        replay=replay,
        table=table.name,
        host=None if host is None else host.name,
        metered_j=metered_j,
        metered_seconds=statistics.fmean(run.round_seconds for run in runs),
        checked={
            method: _checked(estimates[method], metered_j)
            for method in METHODS
            if method in estimates
        },
        ideal_j=stepwise.ideal_j["dense"],
        simulated=simulated,
        differences=differences(table.metadata, replay.facts),
    )


def shipped_tables_for(replay: Replay) -> list[EnergyTable]:
    """Shipped tables of a replay's GPU, model and engine; the one of most runs first."""
    prefix = f"{replay.facts['gpu']}/{replay.facts['model']}/{replay.facts['engine']}"
    tables = [load_table(name) for name in table_names() if name.startswith(prefix)]
    return sorted(tables, key=lambda table: -sum(run.valid for run in table.runs))


def require_alike(name: str, replay: Replay, tables: Sequence[EnergyTable]) -> None:
    """Refuse tables for requests that came over time, if none is of the same conditions.

    Raises:
        InputError: None is.
    """
    nearest = _table_of(name, replay, tables, takes_other_conditions=True)
    if others := differences(nearest.metadata, replay.facts):
        told = ", ".join(_texts(others))
        raise InputError(
            f"{name}: {told}; requests that came over time are held against a table of the same "
            "conditions: give one with --table, or none"
        )


def _served_so(model: StepModel, batching: Batching) -> StepModel:
    """A step model whose engine is handed the requests as those of a replay were."""
    return replace(model, scheduler=batched(model.scheduler, batching))


def _host_of(
    replay: Replay, table: EnergyTable, hosts: Sequence[EnergyTable]
) -> EnergyTable | None:
    """The first table of the same conditions that has a run on the card of a replay."""
    if table.is_of_traffic:  # whose prices hold the pace of its own host
        return None
    cards = {run.card for run in replay.valid_runs}
    for host in hosts:
        # Traffic tells prices with its host's pace in them, and not the pace alone.
        is_there = not host.is_of_traffic and bool(host.valid_cards & cards)
        if is_there and not any(
            differences(host.metadata, facts) for facts in (replay.facts, table.metadata)
        ):
            return host
    return None


def _checked(estimate: Estimate, metered_j: float) -> CheckedEstimate:
    interval = estimate.interval_j
    return CheckedEstimate(
        estimate,
        100 * (estimate.energy_j / metered_j - 1),
        None if interval is None else interval[0] <= metered_j <= interval[1],
    )


def _table_of(
    name: str, replay: Replay, tables: Sequence[EnergyTable], takes_other_conditions: bool
) -> EnergyTable:
    facts = replay.facts
    alike = [table for table in tables if not kind_differences(table.metadata, facts)]
    if not alike:
        raise _no_table(name, replay, tables)

    def distance(table: EnergyTable) -> tuple[bool, int]:
        # What a hand sweep does not say of its conditions is not the same, only not known.
        is_by_hand = table.metadata["measured_by"] == "hand"
        return is_by_hand, len(differences(table.metadata, facts))

    nearest = min(alike, key=distance)
    others = differences(nearest.metadata, facts)
    if others and not takes_other_conditions:
        told = ", ".join(_texts(others))
        raise InputError(
            f"{name}: {told}; give a table of the same conditions with --table, or take this one "
            f"anyway, with what differs told: --table {nearest.name}"
        )
    return nearest


def _no_table(name: str, replay: Replay, tables: Sequence[EnergyTable]) -> InputError:
    """What to say where no table is of a replay's kind."""
    facts, told = replay.facts, ""
    if len(tables) == 1:
        others = kind_differences(tables[0].metadata, facts)
        told = f"; {tables[0].name} is of another kind: {', '.join(_texts(others))}"
    return InputError(
        f"{name}: no table of {facts['model']} on {facts['gpu']} with {facts['engine']} and the "
        f"same settings{told}; give {'another' if told else 'one'} with --table"
    )


def _texts(others: Sequence[Difference]) -> list[str]:
    """What differs between a table and a replay, in words."""
    return [other.text("in the table", "in the replay") for other in others]
