"""A router that gives each request to the replica that has least to do when it comes.

What a replica has to do gets less when a request ends. So it need not be followed up to every
request that comes, but only from when its next one may end at the earliest.
"""

import math
from typing import Any

from joulecast.estimator.steps.in_time.advance import advance, next_end_s, replica_of
from joulecast.estimator.steps.in_time.equal_steps import gpu_seconds
from joulecast.estimator.steps.in_time.scheduling import assign
from joulecast.estimator.steps.in_time.state import (
    COUNT,
    DONE,
    IS_STUCK,
    Counts,
    Numbers,
    Requests,
    Rules,
    StepTimes,
)

_NO_LOAD = 1 << 60
_SAFELY = 0.999
"""Of the shortest step: sums of times are rounded."""


def route(
    rules: Rules,
    law: StepTimes,
    requests: Requests,
    fleet: Any,
    position: Counts,
    loads: Counts,
    ends_s: Numbers,
    rows: Numbers,
    whose: Counts,
    most_rows: int,
) -> int:
    """Serve by several replicas, each request by the one that has least to do when it comes.

    Args:
        rules: Of each scheduler.
        law: How long steps last.
        requests: None of them assigned, in the order in which they come.
        fleet: A `State` whose parts have a row for each replica; goes on from there.
        position: The request to be assigned next, and the replica that the last was assigned to.
        loads: Requests that each replica had when it was last followed.
        ends_s: When its next one may end, at the earliest; minus infinity at first [s].
        rows: Filled with rows of `WIDTH` numbers.
        whose: Filled with the replica of each row.
        most_rows: As many fit; at least two.

    Returns:
        How many rows were filled; all requests have ended if that is fewer than fit but one.
    """
    count, replicas = len(requests.arrival), len(fleet.counts)
    shortest_s = _SAFELY * max(gpu_seconds(law, 1, 0, 1, 0, 1, 0, 0))
    filled = 0
    while position[0] <= count:
        request = position[0]
        horizon_s = requests.arrival[request] if request < count else math.inf
        best, least = 0, _NO_LOAD
        for turn in range(replicas):
            k = (position[1] + 1 + turn) % replicas
            if ends_s[k] < horizon_s:
                state, before = replica_of(fleet, k), filled
                filled = advance(rules, law, requests, state, rows, before, most_rows, horizon_s)
                for row in range(before, filled):
                    whose[row] = k
                if filled >= most_rows - 1 or state.counts[IS_STUCK]:
                    return filled
                loads[k] = state.counts[COUNT] - state.counts[DONE]
                ends_s[k] = next_end_s(rules, state, shortest_s)
            if loads[k] < least:
                best, least = k, loads[k]
        if request < count:
            assign(requests, fleet.counts[best], request)
            position[1] = best
            loads[best] += 1
            ends_s[best] = -math.inf
        position[0] += 1
    return filled
