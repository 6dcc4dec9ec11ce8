"""One replica that serves requests: the loop of `advance.py`, and what comes out of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from joulecast.estimator.steps.in_time.advance import advance
from joulecast.estimator.steps.in_time.compiled import (
    Loop,
    compiled,
    fewest_to_compile,
)
from joulecast.estimator.steps.in_time.route import route
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
    TIMERS,
    WIDTH,
    Requests,
    Rules,
    State,
    StepTimes,
)
from joulecast.estimator.steps.progress import Progress
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.requests import StoredLengths

_ROWS = 1 << 13
"""Rows that are handed on at a time."""
_MOST_TOGETHER = 32
"""Replicas whose rows are taken together, so that each take is of many."""


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


@cache
def _no_times(token_budget: int, as_stored: Callable[[Any], Any]) -> Any:
    """The law of steps that take no time, of requests that are all there from the start."""
    by_tokens, by_kind = [np.zeros(token_budget + 1)] * 6, [np.zeros(0)] * 5
    parts: list[Any] = [*by_tokens, *by_kind, *[0.0] * 7, math.inf, 0.0, 0.0, False]
    return as_stored(StepTimes(*parts))


def serve_replica(
    rules: Rules,
    cache_blocks: int,
    law: StepTimes | None,
    arrival_s: FloatArray,
    lengths: StoredLengths,
    take: Callable[[FloatArray], None],
    cached: "np.ndarray[Any, Any] | None" = None,
    progress: Progress | None = None,
) -> ServedTimes:
    """Serve requests by one replica until all have ended.

    Args:
        rules: Of its scheduler.
        cache_blocks: Blocks of its KV cache.
        law: How long steps last; None where it does not matter, since all requests are there.
        arrival_s: When each request comes, ascending [s], shape (n,).
        lengths: (i, o) of each [tokens], 1 or more each, shape (n, 2).
        take: Given rows as `state.py` has them, in their order, shape (rows, WIDTH).
        cached: Tokens of each prompt that are read from a cache of prefixes; none if not given.
            The last token of a prompt is computed even so, as vLLM does.
        progress: Told what share of the requests has ended.
    """
    loop, as_stored = _loop(advance, len(lengths))
    requests = as_stored(_requests(arrival_s, lengths, cached))
    state = as_stored(_state(rules, cache_blocks, len(lengths)))
    budget = rules.token_budget
    times = _no_times(budget, as_stored) if law is None else as_stored(law)
    rows = as_stored([np.zeros(_ROWS * WIDTH)])[0]
    while True:
        filled = loop(rules, times, requests, state, rows, 0, _ROWS, math.inf)
        take(np.array(rows[: filled * WIDTH]).reshape(-1, WIDTH))
        done, is_stuck = int(state.counts[DONE]), bool(state.counts[IS_STUCK])
        if progress is not None:
            progress(done / max(1, len(lengths)))
        if is_stuck or done == len(lengths):
            break
    return _served(requests, _stuck(state) if is_stuck else None)


def serve_by_load(
    rules: Rules,
    cache_blocks: int,
    law: StepTimes,
    arrival_s: FloatArray,
    lengths: StoredLengths,
    takes: Sequence[Callable[[FloatArray], None]],
    cached: "np.ndarray[Any, Any] | None" = None,
    progress: Progress | None = None,
) -> ServedTimes:
    """Serve requests by several replicas, each by the one that has least to do when it comes.

    Args:
        rules: Of each scheduler.
        cache_blocks: Blocks of each KV cache.
        law: How long steps last.
        arrival_s: When each request comes, ascending [s], shape (n,).
        lengths: (i, o) of each [tokens], 1 or more each, shape (n, 2).
        takes: Given the rows of each replica.
        cached: As in `serve_replica`, on whatever replica.
        progress: Told what share of the requests has been assigned.
    """
    loop, as_stored = _loop(route, len(lengths))
    unassigned = _requests(arrival_s, lengths, cached)._replace(link=_whole(len(lengths), NONE))
    requests = as_stored(unassigned)
    each = _state(rules, cache_blocks, 0)
    stacked: list[Any] = [np.tile(part, (len(takes), 1)) for part in each]
    fleet = as_stored(State(*stacked))
    most_rows = _ROWS * min(_MOST_TOGETHER, len(takes))
    position, rows, whose = as_stored(
        [_whole(2, 0), np.zeros(most_rows * WIDTH), _whole(most_rows, 0)]
    )
    followed = as_stored([_whole(len(takes), 0), np.full(len(takes), -np.inf)])
    position[1] = len(takes) - 1
    times, stuck = as_stored(law), None
    while stuck is None and position[0] <= len(lengths):
        filled = loop(rules, times, requests, fleet, position, *followed, rows, whose, most_rows)
        table = np.array(rows[: filled * WIDTH]).reshape(-1, WIDTH)
        replica = np.array(whose[:filled], dtype=np.int64)
        order = np.argsort(replica, kind="stable")
        ends = np.cumsum(np.bincount(replica, minlength=len(takes)))
        for k, (take, of_replica) in enumerate(
            zip(takes, np.split(table[order], ends[:-1]), strict=True)
        ):
            take(of_replica)
            if fleet.counts[k][IS_STUCK]:
                stuck = _stuck(State(*(part[k] for part in fleet)))
        if progress is not None:
            progress(min(1.0, position[0] / max(1, len(lengths))))
    return _served(requests, stuck)


def _loop(function: Loop, requests: int) -> tuple[Loop, Callable[[Any], Any]]:
    """A loop for so many requests, compiled if that is worth it, and what it takes."""
    if requests >= fewest_to_compile():
        return compiled(function), _arrays
    return function, _lists


def _whole(count: int, value: int) -> Any:
    return np.full(count, value, dtype=np.int64)


def _no_moments(count: int) -> Any:
    return np.full(count, np.nan)


def _served(requests: Requests, stuck: int | None) -> ServedTimes:
    return ServedTimes(
        first_s=np.asarray(requests.first),
        last_s=np.asarray(requests.last),
        preempted=np.asarray(requests.preempted),
        stuck=stuck,
    )


def _requests(
    arrival_s: FloatArray, lengths: StoredLengths, cached: "np.ndarray[Any, Any] | None"
) -> Requests:
    count = len(lengths)
    inputs: Any = lengths[:, 0].astype(np.int64)
    outputs: Any = lengths[:, 1].astype(np.int64)
    arrivals: Any = np.ascontiguousarray(arrival_s, dtype=float)
    link: Any = np.arange(1, count + 1)
    link[-1:] = NONE
    return Requests(
        arrival=arrivals,
        prompt=inputs,
        cached=_whole(count, 0)
        if cached is None
        else np.minimum(cached, inputs - 1).astype(np.int64),
        left=outputs,
        fed=_whole(count, 0),
        began=_whole(count, 0),
        ends=_whole(count, 0),
        admitted=_whole(count, 0),
        link=link,
        first=_no_moments(count),
        last=_no_moments(count),
        preempted=_whole(count, 0),
    )


def _state(rules: Rules, cache_blocks: int, count: int) -> State:
    counts, size = np.zeros(COUNTERS, dtype=np.int64), rules.most_requests + 2
    counts[FREE], counts[COUNT], counts[PARTIAL] = cache_blocks, count, NONE
    counts[COMING] = 0 if count else NONE
    many = [np.zeros(size, dtype=np.int64) for _ in range(4)]
    many.append(np.zeros(2 * size, dtype=np.int64))
    outgrowing = np.zeros(rules.block_tokens, dtype=np.int64)
    parts: list[Any] = [counts, np.zeros(TIMERS), outgrowing, *many]
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
