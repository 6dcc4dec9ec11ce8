"""The hosts that matter to an estimate: the table's own, and the one that will serve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.host_pace import (
    HOST_SPREAD,
    KNOWN_HOST_SPREAD,
    PIECES_S,
    HostPace,
    fit_host_pace,
)
from joulecast.estimator.steps.metered_batches import MeteredBatch, metered_batches
from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.identity import differences
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError


@dataclass(frozen=True)
class Hosts:
    """How long hosts take to launch a step of one engine.

    Attributes:
        pace: Of the table's own host.
        serving_seconds: Of the host that will serve [s].
        slow_seconds: Of one that is slower than that by two standard deviations [s].
    """

    pace: HostPace
    serving_seconds: float
    slow_seconds: float

    def without_waiting(self, batches: Sequence[MeteredBatch]) -> list[MeteredBatch]:
        """A table's batches, each with what its GPU spent waiting for the table's host."""
        own_seconds, power_w = self.pace.launch_seconds, self.pace.waiting_power_w
        return [
            replace(batch, waiting_j=power_w * self.pace.waiting_seconds(batch.steps, own_seconds))
            for batch in batches
        ]

    def waiting_seconds(self, steps: Steps) -> FloatArray:
        """How long the GPU waits for the serving host and for the slow one [s], shape (2,)."""
        launches = self.serving_seconds, self.slow_seconds
        return np.array([steps.total(waits) for waits in self.pace.waits(steps, launches)])


def hosts_of(
    table: EnergyTable, batches: Sequence[MeteredBatch], host: EnergyTable | None
) -> Hosts | None:
    """The table's host and the serving one; None if the engine leaves nothing to launch.

    Args:
        table: What an estimate rests on.
        batches: Its batches.
        host: A table measured on the host that will serve; None if that host is not known.

    Raises:
        InputError: The two tables are not of the same kind and conditions, or one does not tell
            its host's pace.
    """
    pace = fit_host_pace(batches, table.tdp_w, PIECES_S * len(load_shape(table.config).layers))
    if host is not None:
        _require_same_conditions(table, host)
    if pace is None:
        if host is not None:
            raise InputError(
                f"{table.name}: tells nothing of its own host's pace, so that of another cannot be "
                "taken into account; leave --host out"
            )
        return None
    if host is None:
        launch_seconds, spread = pace.launch_seconds, HOST_SPREAD
    else:
        launch_seconds, spread = _launch_seconds_on(host, pace), KNOWN_HOST_SPREAD
    return Hosts(pace, launch_seconds, launch_seconds * math.exp(2 * spread))


def _launch_seconds_on(host: EnergyTable, pace: HostPace) -> float:
    launch_seconds = None
    if not host.is_of_traffic:
        launch_seconds = pace.launch_seconds_on(metered_batches(host))
    if launch_seconds is None:
        raise InputError(
            f"{host.name}: has no run that tells how long its host takes to launch a step; "
            "measure --plan quick there"
        )
    return launch_seconds


def _require_same_conditions(table: EnergyTable, host: EnergyTable) -> None:
    others = differences(table.metadata, host.metadata)
    if others:
        told = ", ".join(difference.text(f"in {table.name}", "there") for difference in others)
        raise InputError(
            f"{host.name}: {told}; a host is told by a table of the same GPUs, model, engine, "
            "version and settings"
        )
