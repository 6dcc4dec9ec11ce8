"""Serving requests over time by some replicas behind a router."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from joulecast.estimator.method import Router
from joulecast.estimator.over_time.timeline import Spread
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time.replica import ServedTimes, serve_by_load, serve_replica
from joulecast.estimator.steps.in_time.state import (
    BEGIN_S,
    CONTEXT,
    DECODE,
    PAIRS,
    PROMPT,
    READ,
    READ_BY,
    RUN,
    SAMPLED,
    SECONDS,
    STEPS,
    WAIT,
    StepTimes,
)
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.serving import Gauge, Service
from joulecast.estimator.steps.work import TERMS, StepCounts
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.binning.cluster import Cluster
from joulecast.traces.requests import TimedRequests

_Kept = tuple[int | None, int, "_Tally"]
"""A request that is never served, how often caches were given back, and the sums of a replica."""


@dataclass(frozen=True)
class FleetRun:
    """What serving took, of all replicas together.

    Attributes:
        service: Work, and what the gauge says of its steps.
        steps: Engine steps of all replicas.
        first_s: When each request had its first token, shape (n,) [s].
        last_s: When each had its last [s].
        busy_s: Time in which a step ran, summed over the replicas [s].
        idle_s: Time in which a replica waited and drew idle power, from the first arrival to the
            last token of all, summed likewise [s].
        idle_root_s: Root of the sum over the replicas of the squares of that [s].
        running_s: Requests that ran, times how long [s].
        waiting_s: Requests that waited to be let in, times how long [s].
        preempted: How often a request had to give its cache back.
        over_time: By slices: "energy" beside idle power, as the law of time has it [J], "awake",
            "running" and "waiting" [s].
    """

    service: Service
    steps: int
    first_s: FloatArray
    last_s: FloatArray
    busy_s: float
    idle_s: float
    idle_root_s: float
    running_s: float
    waiting_s: float
    preempted: int
    over_time: Spread

    @property
    def end_s(self) -> float:
        """When the last token of all came [s]."""
        return float(self.last_s.max())


@dataclass(frozen=True)
class Fleet:
    """Replicas that are all alike.

    Attributes:
        scheduler: Of each.
        times: How long its steps last.
        gauge: What to add up over the steps beside their work.
        replicas: How many.
        router: How requests are shared out.
        scale_to_zero_s: After so long with nothing to do a replica draws nothing [s]; None: never.
        slice_s: Length of a slice of time [s].
        cluster: The Spark whose workers simulate replicas that do not depend on one another; None
            for threads here.
    """

    scheduler: ContinuousBatching
    times: StepTimes
    gauge: Gauge
    replicas: int
    router: Router
    scale_to_zero_s: float | None
    slice_s: float
    cluster: Cluster | None = None

    def serve(self, requests: TimedRequests, progress: Progress | None = None) -> FleetRun:
        """Serve requests until all have ended.

        Raises:
            InputError: A request is one that these rules never serve.
        """
        if self.router == "least-loaded" and self.replicas > 1:
            return self._serve_by_load(requests, progress)
        shares = [requests.dealt(k, self.replicas) for k in range(self.replicas)]
        first_s, last_s = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
        tallies = []
        preempted = 0

        def keep(k: int, served: ServedTimes, tally: _Tally) -> _Kept:
            first_s[k :: self.replicas] = served.first_s
            last_s[k :: self.replicas] = served.last_s
            return served.stuck, int(served.preempted.sum()), tally

        for k, (stuck, times, tally) in enumerate(self._serve_shares(shares, keep, progress)):
            if stuck is not None:
                raise self.scheduler.never_served(stuck, shares[k].lengths)
            preempted += times
            tallies.append(tally)
            if progress is not None:
                progress((k + 1) / self.replicas)
        return _together(tallies, first_s, last_s, preempted, self.slice_s)

    def _serve_shares(
        self,
        shares: Sequence[TimedRequests],
        keep: "Callable[[int, ServedTimes, _Tally], _Kept]",
        progress: Progress | None,
    ) -> "Iterable[_Kept]":
        """What is kept of what each replica makes of its share, in their order."""
        if self.cluster is not None:
            results = self.cluster.map(partial(_serve, replace(self, cluster=None)), shares)
            for k, result in enumerate(results):
                yield keep(k, *result)
            return
        serve = partial(_serve, self, progress=progress if self.replicas == 1 else None)
        # Each thread keeps its own: what waits to be kept in turn takes memory.
        with ThreadPoolExecutor(min(self.replicas, os.cpu_count() or 1)) as pool:
            yield from pool.map(lambda k: keep(k, *serve(shares[k])), range(self.replicas))

    def _serve_by_load(self, requests: TimedRequests, progress: Progress | None) -> FleetRun:
        """Each request by the replica that has least to do when it comes."""
        tallies = [_Tally.of(self) for _ in range(self.replicas)]
        served = serve_by_load(
            self.scheduler.rules_for(requests.lengths),
            self.scheduler.cache_blocks,
            self.times,
            requests.arrival_s,
            requests.lengths,
            [partial(tally.add, self) for tally in tallies],
            requests.cached,
            progress,
        )
        if served.stuck is not None:
            raise self.scheduler.never_served(served.stuck, requests.lengths)
        preempted = int(served.preempted.sum())
        return _together(tallies, served.first_s, served.last_s, preempted, self.slice_s)


def _serve(
    fleet: Fleet, share: TimedRequests, progress: Progress | None = None
) -> "tuple[ServedTimes, _Tally]":
    """Serve a share of the requests by one replica, wherever that is simulated."""
    tally = _Tally.of(fleet)
    served = serve_replica(
        fleet.scheduler.rules_for(share.lengths),
        fleet.scheduler.cache_blocks,
        fleet.times,
        share.arrival_s,
        share.lengths,
        partial(tally.add, fleet),
        share.cached,
        progress=progress,
    )
    return served, tally


@dataclass
class _Tally:
    """Adds up the rows of one replica."""

    scale_to_zero_s: float | None
    over_time: Spread
    counts: FloatArray = field(default_factory=lambda: np.zeros(len(TERMS)))
    gauged: Any = 0.0
    steps: float = 0.0
    busy_s: float = 0.0
    idle_s: float = 0.0
    running_s: float = 0.0
    waiting_s: float = 0.0
    reached_s: float = 0.0

    @classmethod
    def of(cls, fleet: Fleet) -> "_Tally":
        """Nothing so far."""
        return cls(fleet.scale_to_zero_s, Spread(fleet.slice_s, _OVER_TIME))

    def add(self, fleet: Fleet, rows: FloatArray) -> None:
        """The next rows."""
        if not len(rows):
            return
        steps = fleet.scheduler.rows_as_steps(rows, 0)
        self.counts += steps.counts.array()
        self.gauged = self.gauged + fleet.gauge(steps)
        begin_s, seconds = rows[:, BEGIN_S], rows[:, SECONDS]
        running_s, waiting_s = rows[:, RUN] * seconds, rows[:, WAIT] * seconds
        self.steps += float(rows[:, STEPS].sum())
        self.busy_s += float(seconds.sum())
        self.running_s += float(running_s.sum())
        self.waiting_s += float(waiting_s.sum())
        energy_j = row_energy_j(fleet.times, rows)
        self._wait_until(begin_s, begin_s + seconds)
        self.over_time.add(begin_s, seconds, np.stack([energy_j, seconds, running_s, waiting_s]))

    def _wait_until(self, begin_s: FloatArray, end_s: FloatArray) -> None:
        """Time in which nothing was to do, before each row."""
        since_s = np.concatenate([[self.reached_s], end_s[:-1]])
        idle_s = np.maximum(0.0, begin_s - since_s)
        if self.scale_to_zero_s is not None:
            idle_s = np.minimum(idle_s, self.scale_to_zero_s)
        waits = idle_s > 0
        amounts = np.zeros((len(_OVER_TIME), int(waits.sum())))
        amounts[_OVER_TIME.index("awake")] = idle_s[waits]
        self.over_time.add(since_s[waits], idle_s[waits], amounts)
        self.idle_s += float(idle_s.sum())
        self.reached_s = float(end_s[-1])

    def close(self, end_s: float) -> None:
        """Wait until the whole fleet is done."""
        moment = np.array([end_s])
        self._wait_until(moment, moment)


_OVER_TIME = ("energy", "awake", "running", "waiting")


def row_energy_j(times: StepTimes, rows: FloatArray) -> FloatArray:
    """What the steps of each row take beside idle power, by the law of time [J], shape (rows,)."""
    decoding, prompt = rows[:, DECODE], rows[:, PROMPT]
    token_j = np.asarray(times.token_j)[(decoding + prompt).astype(int)]
    energy_j = token_j + times.output_j * rows[:, SAMPLED]
    kinds = zip(times.window, times.context_j, times.pair_j, strict=True)
    for window, context_j, pair_j in kinds:
        read = np.minimum(rows[:, CONTEXT], _most(window, decoding))
        read = read + np.minimum(rows[:, READ], _most(window, rows[:, READ_BY]))
        energy_j = energy_j + context_j * read
        energy_j = energy_j + pair_j * np.minimum(rows[:, PAIRS], _most(window, prompt))
    return np.asarray(energy_j * rows[:, STEPS])


def _most(window: float, requests: FloatArray) -> FloatArray | float:
    """Most tokens that a window lets so many requests read."""
    return np.inf if window == np.inf else window * requests


def _together(
    tallies: Sequence[_Tally],
    first_s: FloatArray,
    last_s: FloatArray,
    preempted: int,
    slice_s: float,
) -> FleetRun:
    """What all replicas took, each there until the whole fleet is done."""

    def total(name: str) -> float:
        return float(sum(getattr(tally, name) for tally in tallies))

    over_time = Spread(slice_s, _OVER_TIME)
    end_s = float(last_s.max())
    for tally in tallies:
        tally.close(end_s)
        over_time.merge(tally.over_time)
    counts = np.sum([tally.counts for tally in tallies], axis=0)
    counts[TERMS.index("requests")] = len(first_s)
    return FleetRun(
        service=Service(
            StepCounts(*counts.tolist()),
            np.sum([tally.gauged for tally in tallies if tally.busy_s], axis=0),
        ),
        steps=int(total("steps")),
        first_s=first_s,
        last_s=last_s,
        busy_s=total("busy_s"),
        idle_s=total("idle_s"),
        idle_root_s=math.hypot(*(tally.idle_s for tally in tallies)),
        running_s=total("running_s"),
        waiting_s=total("waiting_s"),
        preempted=preempted,
        over_time=over_time,
    )
