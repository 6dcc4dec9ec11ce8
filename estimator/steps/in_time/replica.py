"""One replica that serves requests: the loop of `advance.py`, and what comes out of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecast.estimator.steps.in_time.advance import advance
from joulecast.estimator.steps.in_time.compiled import (
    FEWEST_REQUESTS,
    can_compile,
    compiled_advance,
)
from joulecast.estimator.steps.in_time.state import (
    COMING,
    COUNT,
    COUNTERS,
    DONE,
    FREE,
    HEAD,
    HEAP,
    IS_STUCK,
    NONE,
    PARTIAL,
    WIDTH,
    Requests,
    Rules,
    State,
    StepTimes,
)
from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.work import LengthArray
from joulecast.measurements.arrays import FloatArray

_ROWS = 1 << 16
"""Rows that are handed on at a time."""


@dataclass(frozen=True)
class ServedTimes:
    """When requests were served; arrays of shape (requests,).

    Attributes:
        first_s: When each had its first token [s].
        last_s: When each had its last [s].
        preempted: How often each had to give its cache back.
        stuck: A request that these rules never serve; None if there is none.
    """

    first_s: FloatArray
    last_s: FloatArray
    preempted: "np.ndarray[Any, Any]"
    stuck: int | None


def no_times(token_budget: int) -> StepTimes:
    """The law of steps that take no time, of requests that are all there from the start."""
    parts: list[Any] = [*[np.zeros(token_budget + 1)] * 5, *[np.zeros(0)] * 5]
    return StepTimes(*parts, 0.0, 0.0, 0.0, math.inf)  # type: ignore[call-arg]


def serve_replica(
    rules: Rules,
    cache_blocks: int,
    law: StepTimes,
    arrival_s: FloatArray,
    lengths: LengthArray,
    take: Callable[[FloatArray], None],
    cached: "np.ndarray[Any, Any] | None" = None,
    progress: Progress | None = None,
) -> ServedTimes:
    """Serve requests by one replica until all have ended.

    Args:
        rules: Of its scheduler.
        cache_blocks: Blocks of its KV cache.
        law: How long steps last.
        arrival_s: When each request comes, ascending [s], shape (n,).
        lengths: (i, o) of each [tokens], 1 or more each, shape (n, 2).
        take: Given rows as `state.py` has them, in their order, shape (rows, 10).
        cached: Tokens of each prompt that are read from a cache of prefixes; none if not given.
        progress: Told what share of the requests has ended.
    """
    is_compiled = len(lengths) >= FEWEST_REQUESTS and can_compile()
    step = compiled_advance() if is_compiled else advance
    as_stored = _arrays if is_compiled else _lists
    requests = as_stored(_requests(arrival_s, lengths, cached))
    state = as_stored(_state(rules, cache_blocks, len(lengths)))
    times, rows = as_stored(law), as_stored([np.zeros(_ROWS * WIDTH)])[0]
    while True:
        filled = step(rules, times, requests, state, rows, _ROWS, math.inf)
        take(np.array(rows[: filled * WIDTH]).reshape(-1, WIDTH))
        done, is_stuck = int(state.counts[DONE]), bool(state.counts[IS_STUCK])
        if progress is not None:
            progress(done / max(1, len(lengths)))
        if is_stuck or done == len(lengths):
            break
    return ServedTimes(
        first_s=np.asarray(requests.first),
        last_s=np.asarray(requests.last),
        preempted=np.asarray(requests.preempted),
        stuck=_stuck(state) if is_stuck else None,
    )


def _requests(
    arrival_s: FloatArray, lengths: LengthArray, cached: "np.ndarray[Any, Any] | None"
) -> Requests:
    count = len(lengths)
    columns: Any = lengths.astype(np.int64).T
    inputs, outputs = columns
    zeros: Any = np.zeros(count, dtype=np.int64)
    unknown: Any = np.full(count, np.nan)
    arrivals: Any = np.asarray(arrival_s, dtype=float)
    link: Any = np.arange(1, count + 1)
    link[-1:] = NONE
    return Requests(
        arrival=arrivals,
        prompt=inputs.copy(),
        cached=zeros.copy() if cached is None else np.minimum(cached, inputs - 1),
        left=outputs.copy(),
        fed=zeros.copy(),
        began=zeros.copy(),
        ends=zeros.copy(),
        admitted=zeros.copy(),
        link=link,
        first=unknown.copy(),
        last=unknown.copy(),
        preempted=zeros.copy(),
    )


def _state(rules: Rules, cache_blocks: int, count: int) -> State:
    counts, size = np.zeros(COUNTERS, dtype=np.int64), rules.most_requests + 2
    counts[FREE], counts[COUNT], counts[PARTIAL] = cache_blocks, count, NONE
    counts[COMING] = 0 if count else NONE
    many = [np.zeros(size, dtype=np.int64) for _ in range(5)]
    parts: list[Any] = [counts, np.zeros(2), np.zeros(rules.block_tokens, dtype=np.int64), *many]
    return State(*parts)


def _arrays(parts: Any) -> Any:
    return parts


def _lists(parts: Any) -> Any:
    """The same with lists in the place of arrays, which plain Python is quicker with."""
    lists = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
    return type(parts)(*lists) if hasattr(parts, "_fields") else lists


def _stuck(state: State) -> int:
    """A request that makes no progress: the one fed in part, the next to end, or the next fed."""
    counts = state.counts
    if counts[PARTIAL] != NONE:
        return int(counts[PARTIAL])
    return int(state.heap_request[0] if counts[HEAP] else counts[HEAD])
