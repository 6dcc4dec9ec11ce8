"""Serving a workload: its requests where they are known, else requests drawn with its lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from joulecast.estimator.steps.progress import Progress, part_of
from joulecast.estimator.steps.schedulers import Scheduler
from joulecast.estimator.steps.work import TERMS, CachedSums, LengthArray, StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.requests import TokenArray
from joulecast.traces.sampling import Tail, sample_with_cached
from joulecast.traces.workload import Workload

MOST_SIMULATED = 50_000
"""Larger workloads are simulated in part and scaled."""

MOST_STEPS = 20_000_000
"""So are those that take more steps: following so many takes about a minute and a gigabyte."""

_MOST_STEPS_OF_A_DRAW = 1_000_000

_SEED = 20_251_123
_DRAWS = 4

Gauge = Callable[[Steps], FloatArray]
"""Quantities of a run's steps that add up over the steps, shape (n,)."""


@dataclass(frozen=True)
class Service:
    """What serving a workload takes.

    Attributes:
        counts: Work of the engine.
        gauged: What the gauge says of its steps.
    """

    counts: StepCounts
    gauged: FloatArray


@dataclass(frozen=True)
class Services:
    """A workload served once, or as often as its requests were drawn.

    Attributes:
        draws: One, of requests that are known; or one per draw of them.
        shorter: One more whose longest requests are shorter, where lengths beyond the grid had to
            be drawn: sums do not tell the longest, and static batches last as long as theirs.
    """

    draws: Sequence[Service]
    shorter: Service | None = None

    @property
    def mean(self) -> Service:
        """The mean over the draws."""
        counts = np.mean([draw.counts.array() for draw in self.draws], axis=0)
        gauged = np.mean([draw.gauged for draw in self.draws], axis=0)
        return Service(StepCounts(*counts.tolist()), gauged)


def serve(
    workload: Workload,
    lengths: LengthArray | None,
    scheduler: Scheduler,
    gauge: Gauge,
    progress: Progress | None = None,
    cached: TokenArray | None = None,
) -> Services:
    """Serve the requests if they are known and not too many, else several draws of such requests.

    Args:
        workload: The requests.
        lengths: (i, o) per request in their order [tokens], shape (n, 2); None if not known.
        scheduler: Who is fed when.
        gauge: What to add up over the steps beside their work.
        progress: Told what share of it is done.
        cached: Tokens of each prompt that are in a cache of prefixes, beside `lengths`, shape (n,);
            None for none. Where lengths are drawn, the workload tells.

    Raises:
        InputError: A request is longer than the engine takes.
    """
    requests = _longest(workload) if lengths is None else np.maximum(lengths, 1)
    if lengths is not None and scheduler.fewest_steps(requests) <= MOST_STEPS:
        steps = scheduler.schedule(requests, progress, cached)
        return Services([Service(steps.counts, gauge(steps))])
    scheduler.require_fits(requests)  # what is drawn is shortened to what fits
    tails: list[Tail] = ["gamma"] * _DRAWS
    is_beyond = any(workload.is_beyond(cell) for cell in workload.cells)
    tails += ["uniform"] if is_beyond else []
    services = []
    for draw, tail in enumerate(tails):
        generator = np.random.default_rng([_SEED, draw])
        part = part_of(progress, draw / len(tails), (draw + 1) / len(tails))
        services.append(_serve_drawn(workload, generator, tail, scheduler, gauge, part))
    return Services(services[:_DRAWS], services[_DRAWS] if is_beyond else None)


def _longest(workload: Workload) -> LengthArray:
    """Requests that the sums of a workload tell of, none longer than what is there, shape (n, 2).

    The longest of some lengths x is at least sum x^2 / sum x.
    """
    rows = [(1, 1)]
    for sums in workload.cells.values():
        if sums.input_tokens:
            rows.append((sums.input_tokens_squared // sums.input_tokens, 1))
        if sums.output_tokens:
            rows.append((1, sums.output_tokens_squared // sums.output_tokens))
    return np.maximum(np.array(rows, dtype=np.int64), 1)


def _serve_drawn(
    workload: Workload,
    generator: np.random.Generator,
    tail: Tail,
    scheduler: Scheduler,
    gauge: Gauge,
    progress: Progress | None,
) -> Service:
    count = workload.total.requests
    most = min(count, MOST_SIMULATED)
    sampled, cached = sample_with_cached(workload, most, generator, tail)
    drawn = scheduler.clip(sampled)
    share = _MOST_STEPS_OF_A_DRAW / max(1.0, scheduler.fewest_steps(drawn))
    if share < 1:
        drawn = drawn[: max(2, int(share * len(drawn)))]  # they are in random order
    if cached is not None:
        cached = np.minimum(cached[: len(drawn)], drawn[:, 0])
    is_part = count > len(drawn)
    whole = part_of(progress, 0.0, 2 / 3 if is_part else 1.0)
    surplus = _surplus(drawn, cached, scheduler, gauge, whole)
    if is_part:
        # What each further request adds, once all are running: the start and the end are long
        # in a part and short in the whole.
        half = len(drawn) // 2
        rest = part_of(progress, 2 / 3, 1.0)
        of_half = None if cached is None else cached[:half]
        each = surplus - _surplus(drawn[:half], of_half, scheduler, gauge, rest)
        each /= len(drawn) - half
        surplus += (count - len(drawn)) * each
    terms = len(TERMS)
    needed = StepCounts.of_sums(workload.total, CachedSums.of_cells(workload))
    work = needed.array() + surplus[:terms]
    return Service(StepCounts(*work.tolist()), surplus[terms:])


def _surplus(
    lengths: LengthArray,
    cached: TokenArray | None,
    scheduler: Scheduler,
    gauge: Gauge,
    progress: Progress | None,
) -> FloatArray:
    """What serving takes beyond the sums over the requests, and what the gauge says of it."""
    steps = scheduler.schedule(lengths, progress, cached)
    beyond = steps.counts.array() - StepCounts.of_lengths(lengths, cached).array()
    return np.concatenate([beyond, gauge(steps)])
