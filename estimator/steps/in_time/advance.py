"""The loop of a replica: which step feeds what, and when it ends.

A step is scheduled when the one before it begins and is launched, if the engine schedules ahead,
and sees what has come by then; its host launches it kernel by kernel from then on, unless it is a
recorded graph, and it cannot end before it is launched. Only then the host of one GPU fetches what
the step before put out. Equal steps between two events (an arrival, an end, a prompt fed) are one
row.
"""

import math
from typing import Any

from joulecast.estimator.steps.in_time.equal_steps import (
    busy_seconds,
    gpu_seconds,
    host_seconds,
    recover,
    run_equal_steps,
    scheduled_seconds,
    write_row,
)
from joulecast.estimator.steps.in_time.scheduling import (
    end_step,
    feed_prompts,
    let_in,
    make_room,
    release,
    tell_at,
    wait,
)
from joulecast.estimator.steps.in_time.state import (
    BEGIN,
    CACHED,
    CLOCK,
    COMPLETED,
    COUNT,
    CREDIT,
    DECODING,
    DONE,
    ENDED,
    IS_BUSY,
    IS_STUCK,
    LAST_END,
    LAUNCHED,
    NOW,
    READERS,
    RELEASED,
    REUSED,
    REUSED_PAIRS,
    WIDTH,
    Numbers,
    Requests,
    Rules,
    State,
    StepTimes,
)


def advance(
    rules: Rules,
    law: StepTimes,
    requests: Requests,
    state: State,
    rows: Numbers,
    filled: int,
    most_rows: int,
    horizon_s: float,
) -> int:
    """Serve until all that are assigned have ended, or as far as is known what comes.

    Args:
        rules: Of the scheduler.
        law: How long steps last.
        requests: Of which some are assigned to this replica.
        state: Of the replica; goes on from there.
        rows: Filled with rows of `WIDTH` numbers.
        filled: So many rows are there already.
        most_rows: As many fit; at least two.
        horizon_s: Nothing is known of what comes from then on [s].

    Returns:
        How many rows are there now. `IS_STUCK` is set if some request is never served.
    """
    counts, times = state.counts, state.times
    while filled < most_rows - 1 and counts[DONE] < counts[COUNT]:
        seen_s = scheduled_seconds(rules, law, state)
        if seen_s >= horizon_s:
            break
        let_in(requests, counts, seen_s)
        counts[NOW] += 1
        release(rules, requests, state)
        has_preempted = make_room(rules, requests, state)
        decoding, context = counts[DECODING], counts[CACHED] + counts[DECODING]
        counts[READERS] = counts[REUSED] = counts[REUSED_PAIRS] = 0
        prompt, pairs = feed_prompts(rules, requests, state, decoding, has_preempted)
        if decoding + prompt == 0:
            if counts[ENDED] > counts[RELEASED]:
                counts[IS_BUSY] = 0  # looks again once their caches are free
            elif not wait(requests, counts, times, horizon_s):
                break
            continue
        sampled = decoding + counts[COMPLETED]
        row = filled * WIDTH
        seconds = _step_seconds(law, state, seen_s, decoding, prompt, context, pairs)
        if rules.lag and counts[IS_BUSY] and not law.is_shared and times[LAUNCHED] > times[CLOCK]:
            tell_at(requests, state, times[LAUNCHED])
        write_row(rows, row, 1, decoding, prompt, context, pairs, sampled, seconds, state)
        filled += 1
        times[BEGIN], times[CLOCK] = times[CLOCK], times[CLOCK] + seconds
        counts[IS_BUSY] = 1
        has_ended = end_step(rules, requests, state)
        if not has_ended and counts[NOW] - counts[LAST_END] > rules.longest_wait:
            counts[IS_STUCK] = 1
            break
        if prompt == 0 and not has_preempted and counts[ENDED] == counts[RELEASED]:
            filled += run_equal_steps(rules, law, requests, state, rows, filled * WIDTH, horizon_s)
    return filled


def _step_seconds(
    law: StepTimes,
    state: State,
    seen_s: float,
    decoding: int,
    prompt: int,
    context: float,
    pairs: float,
) -> float:
    """How long a step lasts that was scheduled at a moment [s].

    One that is launched may undercut what the power limit asks for.
    """
    counts, times = state.counts, state.times
    sampled = decoding + counts[COMPLETED]
    parts_s, limit_s = gpu_seconds(
        law, decoding, prompt, context, pairs, sampled, counts[REUSED], counts[READERS]
    )
    launch_s = host_seconds(law, decoding, prompt, sampled)
    begin_s = max(times[LAUNCHED], seen_s)
    share = law.thread_share if law.launch[decoding + prompt] > 0 else 1.0
    times[LAUNCHED] = begin_s + share * launch_s
    credit_s = times[CREDIT] if launch_s > 0 else 0.0
    busy_s = busy_seconds(law, launch_s, parts_s, begin_s + launch_s - times[CLOCK])
    seconds = max(busy_s, limit_s - credit_s)
    recover(law, times, seconds, limit_s)
    return seconds


def next_end_s(rules: Rules, state: State, shortest_s: float) -> float:
    """When the step in which a replica's next request ends may be scheduled, at the earliest [s].

    Args:
        rules: Of its scheduler.
        state: Of the replica.
        shortest_s: What a step takes at least [s].
    """
    counts, times = state.counts, state.times
    load = counts[COUNT] - counts[DONE]
    if load == 0:
        return math.inf
    scheduled_s = float(times[BEGIN] if rules.lag and counts[IS_BUSY] else times[CLOCK])
    if counts[DECODING] < load:  # a prompt may be fed at once, and end with its first token
        return scheduled_s
    return scheduled_s + (state.heap_step[0] - counts[NOW] - 1) * shortest_s


def replica_of(fleet: Any, k: int) -> State:
    """Where one replica of a fleet is; what changes in it changes in the fleet."""
    return State(
        fleet.counts[k],
        fleet.times[k],
        fleet.outgrowing[k],
        fleet.heap_step[k],
        fleet.heap_request[k],
        fleet.ended_step[k],
        fleet.ended_request[k],
        fleet.completed[k],
    )
