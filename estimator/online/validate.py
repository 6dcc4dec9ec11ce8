"""Estimates of requests that came over time, held against what the meter and the clock said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecast.estimator.estimate import Estimate
from joulecast.estimator.online.online import Plan, Server, estimate_online
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.over_time.serving import Quantiles, latencies_of
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import Scaling, Served
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.estimator.validate import without_card
from joulecast.measurements.identity import differences
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.requests import TimedRequests
from joulecast.traces.workload import Workload

HELD = (("ttft", "p50"), ("ttft", "p99"), ("tpot", "p50"), ("e2e", "mean"))
"""Which latencies are held against the clock."""


@dataclass(frozen=True)
class OnlineValidation:
    """One replay whose requests came over time, and the estimate of it.

    Attributes:
        name: Of the replay file.
        replay: What was metered.
        estimate: Of the same requests at the same moments, from their first arrival on.
        metered_j: Energy from the first arrival to the last token [J].
        latencies: As the clock had them; a key of `LATENCIES` -> how long requests waited [s].
    """

    name: str
    replay: Replay
    estimate: Estimate
    metered_j: float
    latencies: Mapping[str, Quantiles | None]

    @property
    def error_percent(self) -> float:
        """How far the estimate lies above the metered energy [%]."""
        return 100 * (self.estimate.energy_j / self.metered_j - 1)

    @property
    def is_within(self) -> bool:
        """Whether its interval holds the metered energy."""
        low, high = self.estimate.interval_j or (0.0, 0.0)
        return low <= self.metered_j <= high

    @property
    def steps_percent(self) -> float | None:
        """How many more steps are simulated than the engine took [%]; None if it does not say."""
        steps, serving = self.replay.engine_steps, self.estimate.serving
        if steps is None or serving is None:
            return None
        return 100 * (serving.steps / steps.steps - 1)

    def latency_percent(self, name: str, quantile: str) -> float | None:
        """How far a latency lies above the clock's [%]; None where there is none."""
        told = None if self.estimate.serving is None else self.estimate.serving.latencies[name]
        timed = self.latencies[name]
        if told is None or timed is None:
            return None
        return 100 * (told.to_dict()[quantile] / timed.to_dict()[quantile] - 1)

    @property
    def latencies_within(self) -> Mapping[tuple[str, str], bool | None]:
        """Of `HELD`, whether the interval holds what the clock had; None where there is none."""
        serving = self.estimate.serving
        intervals = {} if serving is None else serving.latency_intervals_s()
        within: dict[tuple[str, str], bool | None] = {}
        for name, quantile in HELD:
            interval, timed_s = intervals.get(name), self._timed_s(name, quantile)
            within[name, quantile] = None
            if interval is not None and timed_s is not None:
                low_s, high_s = interval[quantile]
                within[name, quantile] = low_s <= timed_s <= high_s
        return within

    def _timed_s(self, name: str, quantile: str) -> float | None:
        """A latency by the clock [s]."""
        timed = self.latencies[name]
        return None if timed is None else timed.to_dict()[quantile]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        serving, within = self.estimate.serving, self.latencies_within
        return {
            "replay": self.name,
            "trace": self.replay.facts["trace"],
            "requests": len(self.replay.lengths),
            "stands_on": self.estimate.table,
            "basis": None if self.estimate.basis is None else self.estimate.basis.kind,
            "metered_j": self.metered_j,
            "energy_j": self.estimate.energy_j,
            "interval_j": self.estimate.interval_j and list(self.estimate.interval_j),
            "error_percent": self.error_percent,
            "is_within": self.is_within,
            "busy_share": serving and serving.busy_share,
            "steps": {
                "simulated": serving and serving.steps,
                "engine": self.replay.engine_steps and self.replay.engine_steps.steps,
            },
            "latencies": {
                f"{name}_{quantile}": {
                    "metered_s": self._timed_s(name, quantile),
                    "error_percent": self.latency_percent(name, quantile),
                    "is_within": within[name, quantile],
                }
                for name, quantile in HELD
            },
        }


def validate_online(
    name: str, replay: Replay, tables: Sequence[EnergyTable], server: Server | None = None
) -> OnlineValidation:
    """Hold the estimate of requests that came over time against what they took.

    Args:
        name: What to call the replay.
        replay: Metered; it is in no fit.
        tables: The first of the same conditions is taken; without, prices per unit of work.
        server: What serves, in place of what `server_for` makes of these.

    Raises:
        InputError: No estimate can be made, or its run is not valid.
    """
    if replay.served is None or not replay.valid_runs:
        raise InputError(
            f"{name}: has no valid run: {replay.runs[0].reason}; make it again, or take it away"
        )
    lengths = np.array(replay.lengths, dtype=np.int64)
    workload = Workload.of_lengths(PAPER_GRID, lengths)
    arrival_s, first_s, last_s = np.array(replay.served).T
    requests = TimedRequests.in_order(arrival_s, lengths)
    try:
        server = server_for(replay, tables) if server is None else server
        estimate = estimate_online(
            server, workload, requests, name, Plan(how="as metered"), lengths
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    (run,) = replay.valid_runs
    before_j = run.idle_power_w * float(arrival_s[0])
    return OnlineValidation(
        name=name,
        replay=replay,
        estimate=estimate,
        metered_j=run.energy_j - before_j,
        latencies=latencies_of(arrival_s, first_s, last_s, lengths[:, 1]),
    )


def served_for(replay: Replay, tables: Sequence[EnergyTable]) -> Served:
    """What served a replay: the first table of the same conditions; without, prices."""
    alike = [table for table in tables if not differences(table.metadata, replay.facts)]
    return alike[0] if alike else Scaling(deployment_of(replay.facts, replay.facts["model"]))


def model_for(served: Served, replay: Replay) -> StepModel:
    """The step model of what served a replay; `without_card` says what of its card is in it."""
    if isinstance(served, EnergyTable):
        return without_card(served, None, replay.valid_runs[0].card)
    lengths = np.array(replay.lengths, dtype=np.int64)
    return served.step_model(Workload.of_lengths(PAPER_GRID, lengths))


def server_for(replay: Replay, tables: Sequence[EnergyTable]) -> Server:
    """What served the requests of a replay as they came; arguments as for `served_for`.

    Raises:
        InputError: No times of it are known, or no prices.
    """
    served = served_for(replay, tables)
    return server_of(served, model_for(served, replay))
