"""A router that gives each request to the replica that has least to do when it comes."""

import math
from typing import Any

from joulecast.estimator.steps.in_time.advance import advance
from joulecast.estimator.steps.in_time.scheduling import assign
from joulecast.estimator.steps.in_time.state import (
    COUNT,
    DONE,
    IS_STUCK,
    Counts,
    Numbers,
    Requests,
    Rules,
    State,
    StepTimes,
)

_NO_LOAD = 1 << 60


def route(
    rules: Rules,
    law: StepTimes,
    requests: Requests,
    fleet: Any,
    position: Counts,
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
        rows: Filled with rows of `WIDTH` numbers.
        whose: Filled with the replica of each row.
        most_rows: As many fit; at least two.

    Returns:
        How many rows were filled; all requests have ended if that is fewer than fit but one.
    """
    count, replicas = len(requests.arrival), len(fleet.counts)
    filled = 0
    while position[0] <= count:
        request = position[0]
        horizon_s = requests.arrival[request] if request < count else math.inf
        best, least = 0, _NO_LOAD
        for turn in range(replicas):
            k = (position[1] + 1 + turn) % replicas
            state = State(
                fleet.counts[k],
                fleet.times[k],
                fleet.outgrowing[k],
                fleet.heap_step[k],
                fleet.heap_request[k],
                fleet.ended_step[k],
                fleet.ended_request[k],
                fleet.completed[k],
            )
            before = filled
            filled = advance(rules, law, requests, state, rows, before, most_rows, horizon_s)
            for row in range(before, filled):
                whose[row] = k
            if filled >= most_rows - 1 or state.counts[IS_STUCK]:
                return filled
            load = state.counts[COUNT] - state.counts[DONE]
            if load < least:
                best, least = k, load
        if request < count:
            assign(requests, fleet.counts[best], request)
            position[1] = best
        position[0] += 1
    return filled
