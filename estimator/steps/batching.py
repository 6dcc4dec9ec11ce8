"""Schedulers of requests that are handed over so many at a time, continuously or in batches."""

from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.steps.schedulers import Scheduler
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import LengthArray, Steps, joined
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.batching import Batching
from joulecast.traces.errors import InputError
from joulecast.traces.requests import TokenArray


def batched(scheduler: Scheduler, batching: Batching) -> Scheduler:
    """A scheduler that is handed requests as a batching says.

    Args:
        scheduler: Of the engine, left to itself.
        batching: How it is not.

    Raises:
        InputError: The engine has no such batching.
    """
    if not batching.is_limited:
        return scheduler
    if isinstance(scheduler, ContinuousBatching):
        if batching.static is not None:
            return BatchesInTurn(**vars(scheduler), batching=batching)
        most = min(scheduler.most_requests, batching.in_flight or scheduler.most_requests)
        return replace(scheduler, most_requests=most)
    if isinstance(scheduler, StaticBatching) and batching.static is not None:
        return EvenBatches(**vars(scheduler), size=batching.static)
    raise InputError("this engine runs static batches alone, and keeps none in flight")


@dataclass(frozen=True)
class EvenBatches(StaticBatching):
    """Plain PyTorch's batches where their size is given: in order, padded to their longest.

    Attributes:
        size: Requests in each.
    """

    size: int = 1

    def batches(self, lengths: LengthArray) -> FloatArray:
        """As `StaticBatching.batches`, shape (batches, 3)."""
        pairs = [(int(i), int(o)) for i, o in lengths]
        batches = Batching(static=self.size).batches(pairs)
        return np.array(batches, dtype=float).reshape(-1, 3)


@dataclass(frozen=True)
class BatchesInTurn(ContinuousBatching):
    """An engine that batches continuously, and gets the next batch when the last one has ended.

    Attributes:
        batching: Of which size, and whether padded.
    """

    batching: Batching = Batching()  # noqa: RUF009 - it cannot be changed

    def schedule(
        self,
        lengths: LengthArray,
        progress: Progress | None = None,
        cached: TokenArray | None = None,
    ) -> Steps:
        """What every step feeds, batch after batch; arguments and errors as for one of all.

        Raises:
            InputError: Prompts are cached, which nobody metered in batches.
        """
        if cached is not None and cached.any():
            raise InputError("static batches are forecast without a cache of prefixes")
        parts = self.batching.parts([(int(i), int(o)) for i, o in lengths])
        steps = []
        for k, part in enumerate(parts):
            share = part_of(progress, k / len(parts), (k + 1) / len(parts))
            steps.append(super().schedule(np.array(part, dtype=np.int64), share))
        return joined(steps, len(lengths))

    def fewest_steps(self, lengths: LengthArray) -> float:
        """Every batch takes a step for each token of its longest output, and prefills."""
        batches = self.batching.batches([(int(i), int(o)) for i, o in lengths]) or ()
        return float(sum(outputs for _, _, outputs in batches))
