"""How long the serving host takes to launch a step, and what waiting for it costs.

vLLM records CUDA graphs for steps of up to 512 tokens. Larger steps are launched kernel by kernel;
where the GPU is done sooner than that takes, it waits. How long a launch takes is a property of the
host: four machines with the same card took about 33, 39, 59 and 65 ms. So what a table's runs spend
waiting is taken off before they are priced, and a few runs on another host tell how long the GPU
will wait there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from joulecast.estimator.steps.metered_batches import MeteredBatch
from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray

HOST_SPREAD = 0.32
"""Sd of the logarithm of the time to launch a step, between the hosts of four H100s."""

KNOWN_HOST_SPREAD = 0.05
"""The same where it was measured on the serving host: launched steps of the replay of long outputs
took 57 and 60 ms, where runs of a sweep on that machine say 58."""

WAITING_SHARE_OF_TDP = 0.3
"""Power of a GPU that waits for its host, over its TDP: 200 and 197 W of 700 in the two full tables
of the H100, where energy is fitted to work and time; tables of few batches do not tell it."""

PIECES_S = 0.28e-3
"""What the host needs for a layer of a recorded graph that feeds prompts, which is launched in
pieces, attention apart: the median of nine sets of batches of eight models on H200s, in
steps of up to 200 tokens (0.21 to 0.39). What computing leaves of a launch and computing itself
add up as their squares do, so that such steps last longer in traffic: 0.42 ms a layer after a pause
(0.34 to 0.66, ten logs), 0.46 between decoding steps (0.40 to 0.54, seven), which
`benchmarks/logged_prompts.py` printed on 2026-11-30, too. Both were chosen after a look at 38 logs
of requests served online: from the beginning of the step before, 0.38 in the median, 0.24 (a fast
host) to 0.52, as they have it together."""

_BATCHES_THAT_TELL = 60
_MOST_OF_A_BATCH = 0.9
"""Waiting draws less than any batch as a whole does."""

_TOLERANCE = 0.01
_ROUNDS = 8
_LEAST = 1e-9
_LAUNCHES = np.geomspace(0.004, 1.0, 64)
_FINE = 17
_SHAPE_COLUMNS = 5


@dataclass(frozen=True)
class HostPace:
    """Time of an engine's steps.

    Attributes:
        gpu_seconds: What the GPU needs for each kind of work, in the order of `TERMS` [s each].
        launch_seconds: What the host needs to launch a step without a CUDA graph [s].
        waiting_power_w: Power while the GPU waits, of all GPUs together [W].
        pieces_seconds: What the host needs for a graph that feeds prompts, launched in pieces [s].
    """

    gpu_seconds: FloatArray
    launch_seconds: float
    waiting_power_w: float
    pieces_seconds: float = 0.0

    def waiting_seconds(self, steps: Steps, launch_seconds: float) -> float:
        """How long the GPU waits in steps that take so long to launch [s]."""
        return steps.total(self.waits(steps, [launch_seconds])[0])

    def waits(self, steps: Steps, launches: Sequence[float]) -> FloatArray:
        """How long the GPU waits in each step for hosts that take so long to launch it [s].

        A graph is launched in pieces while the step before runs, which is taken to decode the same
        requests.

        Returns:
            Shape (launches, steps).
        """
        waits = steps.may_wait
        gpu = step_work(steps, waits) @ self.gpu_seconds[:_SHAPE_COLUMNS]
        own = np.where(steps.is_launched[waits], self.launch_seconds, self.pieces_seconds)
        before = decode_work(steps, waits) @ self.gpu_seconds[:_SHAPE_COLUMNS]
        before *= steps.is_pieced[waits]
        waiting = np.zeros((len(launches), len(steps.decoding)))
        for wait, launch_seconds in zip(waiting, launches, strict=True):
            lasting = own * (launch_seconds / self.launch_seconds)
            wait[waits] = np.maximum(0.0, lasting - before - gpu)
        return waiting

    def launch_seconds_on(self, batches: Sequence[MeteredBatch]) -> float | None:
        """What another host needs to launch a step, by batches timed there [s].

        None if none of them has such steps.
        """
        timed = _TimedBatches(batches, self.pieces_seconds)
        if not timed.is_launched.any():
            return None
        return _longest_best(lambda launch: timed.cost(self.gpu_seconds, launch))


def fit_host_pace(
    batches: Sequence[MeteredBatch], tdp_w: float, pieces_seconds: float = 0.0
) -> HostPace | None:
    """The pace of a table's own host; None if all its steps run as CUDA graphs.

    The time of a batch is what the GPU needs, and in launched steps at least as long as the host
    does. Least squares of relative errors, bounded where a batch is far off, since hosts stumble.

    Args:
        batches: Of the table.
        tdp_w: Rated power of all GPUs together, which wait together [W].
        pieces_seconds: What the host needs for a graph that feeds prompts [s].
    """
    timed = _TimedBatches(batches, pieces_seconds)
    if not timed.is_launched.any():
        return None
    launch = _longest_best(lambda launch: timed.cost(timed.fit(launch), launch))
    return HostPace(timed.fit(launch), launch, _waiting_power(batches, tdp_w), pieces_seconds)


def _longest_best(cost: Callable[[float], float]) -> float:
    """The time to launch a step at which a cost is least, first roughly and then finely [s].

    Below some time nothing waits, and all times are equally good: the longest of them.
    """
    launches = _LAUNCHES
    for _ in range(2):
        costs = np.array([cost(float(launch)) for launch in launches])
        best = int(np.flatnonzero(costs <= costs.min() * (1 + 1e-6))[-1])
        low, high = max(best - 1, 0), min(best + 1, len(launches) - 1)
        launch_seconds = float(launches[best])
        launches = np.geomspace(launches[low], launches[high], _FINE)
    return launch_seconds


def step_work(steps: Steps, chosen: npt.NDArray[np.bool_]) -> FloatArray:
    """Work of some steps: steps, tokens, context, pairs, outputs; shape (chosen steps, 5)."""
    return np.stack(
        [
            steps.weights_read[chosen],
            (steps.decoding + steps.prompt_tokens)[chosen],
            steps.tokens_read[chosen],
            steps.pairs[chosen],
            steps.sampled[chosen],
        ],
        axis=1,
    )


def decode_work(steps: Steps, chosen: npt.NDArray[np.bool_]) -> FloatArray:
    """The same of what they decode alone; nothing where they do not."""
    decoding = steps.decoding[chosen]
    weights = steps.weights_read[chosen] * (decoding > 0)
    nothing = np.zeros(len(decoding))
    return np.stack([weights, decoding, steps.context[chosen], nothing, decoding], axis=1)


def _waiting_power(batches: Sequence[MeteredBatch], tdp_w: float) -> float:
    """What a second costs beside the work done in it [W]."""
    from scipy.optimize import nnls

    most = _MOST_OF_A_BATCH * min(batch.energy_j / batch.seconds for batch in batches)
    fallback = min(most, WAITING_SHARE_OF_TDP * tdp_w)
    if len(batches) < _BATCHES_THAT_TELL:
        return fallback
    energies_j = np.array([batch.energy_j for batch in batches])
    work_and_time = np.array([[*batch.counts.array(), batch.seconds] for batch in batches])
    prices, _ = nnls(work_and_time / energies_j[:, None], np.ones(len(batches)))
    return min(most, float(prices[-1])) or fallback


class _TimedBatches:
    """Batches and how long they took, with all their steps that may wait in one array."""

    def __init__(self, batches: Sequence[MeteredBatch], pieces_seconds: float) -> None:
        self._work = np.array([batch.counts.array() for batch in batches])
        self._seconds = np.array([batch.seconds for batch in batches])
        steps = [batch.steps for batch in batches]
        self._steps = np.concatenate([step_work(each, each.may_wait) for each in steps])
        self._is_launched = np.concatenate([each.is_launched[each.may_wait] for each in steps])
        self._pieces_seconds = pieces_seconds
        counts = [int(each.may_wait.sum()) for each in steps]
        self._batch = np.repeat(np.arange(len(batches)), counts)
        self.is_launched = np.array([each.is_launched.any() for each in steps])

    def _launches(self, launch: float) -> FloatArray:
        """What the host needs for each, if a launch takes so long [s]."""
        return np.where(self._is_launched, launch, self._pieces_seconds)

    @cached_property
    def _without_waiting(self) -> FloatArray:
        """What the GPU needs for each kind of work if it never waits [s], where fits begin."""
        from scipy.optimize import nnls

        gpu_seconds, _ = nnls(self._work / self._seconds[:, None], np.ones(len(self._seconds)))
        return np.asarray(gpu_seconds)

    def _sums(self, values: FloatArray) -> FloatArray:
        """Sums over the launched steps of each batch."""
        return np.bincount(self._batch, values, len(self._seconds)).astype(float)

    def fit(self, launch: float) -> FloatArray:
        """What the GPU needs for each kind of work, if a launch takes so long [s], shape (6,).

        Steps that wait count as the launch, the others as their work; which do is found again with
        every round.
        """
        from scipy.optimize import nnls

        gpu_seconds = self._without_waiting
        for _ in range(_ROUNDS):
            launches = self._launches(launch)
            waits = self._steps @ gpu_seconds[:_SHAPE_COLUMNS] < launches
            work = self._work.copy()
            for column in range(_SHAPE_COLUMNS):
                work[:, column] -= self._sums(self._steps[:, column] * waits)
            rest = self._seconds - self._sums(launches * waits)
            errors = (work @ gpu_seconds - rest) / self._seconds / _TOLERANCE
            weights = (1 + errors * errors) ** -0.25 / self._seconds
            gpu_seconds = np.asarray(nnls(work * weights[:, None], rest * weights)[0])
        return gpu_seconds

    def cost(self, gpu_seconds: FloatArray, launch: float) -> float:
        """How badly the batches' times are met."""
        steps = self._steps @ gpu_seconds[:_SHAPE_COLUMNS]
        waiting = self._sums(np.maximum(0.0, self._launches(launch) - steps))
        told = np.maximum(self._work @ gpu_seconds + waiting, _LEAST * self._seconds)
        errors = np.log(told / self._seconds) / _TOLERANCE
        return float((np.sqrt(1 + errors * errors) - 1).sum())
