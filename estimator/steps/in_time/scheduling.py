"""Who is let in, fed, preempted and released: the scheduler of one replica.

A prompt is taken in when its whole cache fits; when running requests outgrow the memory, the
youngest gives its cache back and starts over, ahead of all that wait.

A request decodes from the step after `began`, in which the last of its prompt was fed, to `ends`.
Before step t its cache holds its prompt and t - 1 - began tokens more. So all that a step needs to
know of the decoding requests is their number, the sum of their caches, and how many of them outgrow
their last block in steps of the same rest modulo the block size.
"""

import math

from joulecast.estimator.steps.in_time.heap import add_to_heap, remove_from_heap
from joulecast.estimator.steps.in_time.state import (
    ADMITTED,
    CACHED,
    CLOCK,
    COMING,
    COMING_LAST,
    COMPLETED,
    COUNT,
    DECODING,
    DONE,
    ENDED,
    FREE,
    HEAD,
    HEAP,
    IS_BUSY,
    IS_STUCK,
    LAST_END,
    NONE,
    NOW,
    PARTIAL,
    PREEMPTED,
    READERS,
    RELEASED,
    REUSED,
    REUSED_PAIRS,
    RUNNING,
    TAIL,
    TOLD,
    WAITING,
    Counts,
    Numbers,
    Requests,
    Rules,
    State,
)


def let_in(requests: Requests, counts: Counts, seen_s: float) -> None:
    """Requests that have come by a moment wait behind the others."""
    request = counts[COMING]
    while request != NONE and requests.arrival[request] <= seen_s:
        counts[COMING] = requests.link[request]
        requests.link[request] = NONE
        if counts[WAITING] == 0:
            counts[HEAD] = request
        else:
            requests.link[counts[TAIL]] = request
        counts[TAIL] = request
        counts[WAITING] += 1
        request = counts[COMING]


def assign(requests: Requests, counts: Counts, request: int) -> None:
    """Give a request to a replica, behind all that it was given before."""
    requests.link[request] = NONE
    if counts[COMING] == NONE:
        counts[COMING] = request
    else:
        requests.link[counts[COMING_LAST]] = request
    counts[COMING_LAST] = request
    counts[COUNT] += 1


def wait(requests: Requests, counts: Counts, times: Numbers, horizon_s: float) -> bool:
    """Go on to the next arrival, since there is nothing to do; False if none is known."""
    if counts[WAITING] > 0:
        counts[IS_STUCK] = 1
        return False
    counts[IS_BUSY] = 0
    counts[LAST_END] = counts[NOW]
    request = counts[COMING]
    if request == NONE:
        return False
    arrival_s = max(times[CLOCK], requests.arrival[request])
    if arrival_s >= horizon_s:
        return False
    times[CLOCK] = arrival_s
    return True


def release(rules: Rules, requests: Requests, state: State) -> None:
    """Give back the caches of the requests that ended long enough ago."""
    counts = state.counts
    size = len(state.ended_step)
    while counts[RELEASED] < counts[ENDED]:
        place = counts[RELEASED] % size
        step = state.ended_step[place]
        if step > counts[NOW] - 1 - rules.lag:
            break
        request = state.ended_request[place]
        tokens = requests.prompt[request] + step - requests.began[request]
        counts[FREE] += _blocks(rules, tokens)
        counts[RUNNING] -= 1
        counts[RELEASED] += 1


def make_room(rules: Rules, requests: Requests, state: State) -> bool:
    """Blocks for the tokens that are decoded now; whether someone had to make way for them."""
    counts = state.counts
    phase = counts[NOW] % rules.block_tokens
    has_preempted = False
    while state.outgrowing[phase] > counts[FREE]:
        _preempt_youngest(rules, requests, state)
        has_preempted = True
    counts[FREE] -= state.outgrowing[phase]
    return has_preempted


def _preempt_youngest(rules: Rules, requests: Requests, state: State) -> None:
    """Take all from the youngest request; what it has produced is fed to it again later."""
    counts = state.counts
    youngest, place = counts[PARTIAL], NONE
    order = NONE if youngest == NONE else requests.admitted[youngest]
    for k in range(counts[HEAP]):
        if requests.admitted[state.heap_request[k]] > order:
            youngest, place = state.heap_request[k], k
            order = requests.admitted[youngest]
    counts[RUNNING] -= 1
    counts[PREEMPTED] += 1
    requests.preempted[youngest] += 1
    requests.link[youngest] = counts[HEAD] if counts[WAITING] > 0 else NONE
    if counts[WAITING] == 0:
        counts[TAIL] = youngest
    counts[HEAD] = youngest
    counts[WAITING] += 1
    if place == NONE:
        counts[PARTIAL] = NONE
        counts[FREE] += _blocks(rules, requests.fed[youngest])
        return
    remove_from_heap(state, place)
    produced = counts[NOW] - requests.began[youngest]
    cached = requests.prompt[youngest] + produced - 1
    counts[FREE] += _blocks(rules, cached)
    _stop_decoding(rules, requests, state, youngest, cached)
    requests.prompt[youngest] += produced
    requests.left[youngest] -= produced


def feed_prompts(
    rules: Rules, requests: Requests, state: State, decoding: int, has_preempted: bool
) -> tuple[int, float]:
    """Feed the prompt that is in part, then waiting ones: tokens and pairs."""
    counts, budget = state.counts, rules.token_budget - decoding
    fed, pairs = 0, 0.0
    partial = counts[PARTIAL]
    if partial != NONE:
        before = requests.fed[partial]
        after = min(requests.prompt[partial], before + budget)
        if _blocks(rules, after) - _blocks(rules, before) > counts[FREE]:
            _preempt_youngest(rules, requests, state)
            has_preempted = True
        else:
            pairs += _feed(rules, requests, state, partial, after)
            fed += after - before
    while not has_preempted and counts[WAITING] > 0 and fed < budget:
        request = counts[HEAD]
        prompt, cached = requests.prompt[request], requests.cached[request]
        if (
            counts[RUNNING] == rules.most_requests
            or _blocks(rules, prompt) > counts[FREE]
            or (not rules.is_chunked and prompt - cached > budget - fed)
        ):
            break
        counts[HEAD] = requests.link[request]
        counts[WAITING] -= 1
        counts[RUNNING] += 1
        counts[ADMITTED] += 1
        requests.admitted[request] = counts[ADMITTED]
        requests.fed[request] = cached
        counts[FREE] -= _blocks(rules, cached)
        after = min(prompt, cached + budget - fed)
        pairs += _feed(rules, requests, state, request, after)
        fed += after - cached
    return fed, pairs


def _feed(rules: Rules, requests: Requests, state: State, request: int, after: int) -> float:
    """Feed a prompt up to so many tokens; the rest is fed in the next step. The pairs."""
    counts, before, cached = state.counts, requests.fed[request], requests.cached[request]
    if cached > 0:
        counts[READERS] += 1
        counts[REUSED] += cached
        counts[REUSED_PAIRS] += cached * (after - before)
    counts[FREE] -= _blocks(rules, after) - _blocks(rules, before)
    requests.fed[request] = after
    counts[PARTIAL] = request if after < requests.prompt[request] else NONE
    if counts[PARTIAL] == NONE:
        state.completed[counts[TOLD] + counts[COMPLETED]] = request
        counts[COMPLETED] += 1
    return (float(after) * after - float(before) * before) / 2


def tell_at(requests: Requests, state: State, moment_s: float) -> None:
    """What the step before put out is told at a moment, since the host launched the next first."""
    counts, clock_s = state.counts, state.times[CLOCK]
    for k in range(counts[TOLD]):
        if requests.first[state.completed[k]] == clock_s:
            requests.first[state.completed[k]] = moment_s
    for k in range(counts[RELEASED], counts[ENDED]):
        request = state.ended_request[k % len(state.ended_request)]
        if requests.last[request] == clock_s:
            requests.last[request] = moment_s


def end_step(rules: Rules, requests: Requests, state: State) -> bool:
    """Every decoding request has one token more; whether some request ended."""
    counts = state.counts
    now, clock_s, ended = counts[NOW], state.times[CLOCK], counts[ENDED]
    counts[CACHED] += counts[DECODING]
    while counts[HEAP] > 0 and state.heap_step[0] == now:
        request = state.heap_request[0]
        remove_from_heap(state, 0)
        cached = requests.prompt[request] + now - requests.began[request]
        _stop_decoding(rules, requests, state, request, cached)
        _end(requests, state, request)
    for k in range(counts[COMPLETED]):
        request = state.completed[k] = state.completed[counts[TOLD] + k]
        requests.began[request] = now
        if math.isnan(requests.first[request]):
            requests.first[request] = clock_s
        if requests.left[request] == 1:
            _end(requests, state, request)
            continue
        requests.ends[request] = now + requests.left[request] - 1
        add_to_heap(state, requests.ends[request], request)
        counts[DECODING] += 1
        counts[CACHED] += requests.prompt[request]
        state.outgrowing[_phase(rules, requests, request)] += 1
    counts[TOLD], counts[COMPLETED] = counts[COMPLETED], 0
    return counts[ENDED] > ended


def _end(requests: Requests, state: State, request: int) -> None:
    """A request has its last token, and holds its cache a little longer."""
    counts = state.counts
    place = counts[ENDED] % len(state.ended_step)
    state.ended_step[place] = counts[NOW]
    state.ended_request[place] = request
    requests.last[request] = state.times[CLOCK]
    counts[ENDED] += 1
    counts[DONE] += 1
    counts[LAST_END] = counts[NOW]


def _stop_decoding(
    rules: Rules, requests: Requests, state: State, request: int, cached: int
) -> None:
    state.counts[DECODING] -= 1
    state.counts[CACHED] -= cached
    state.outgrowing[_phase(rules, requests, request)] -= 1


def _phase(rules: Rules, requests: Requests, request: int) -> int:
    """Steps in which a request outgrows its last block, modulo the block size."""
    return (requests.began[request] + 1 - requests.prompt[request]) % rules.block_tokens


def _blocks(rules: Rules, tokens: int) -> int:
    return -(-tokens // rules.block_tokens)
