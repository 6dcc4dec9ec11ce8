"""Steps between two events, which only decode, in closed form; and how long a step lasts."""

import math

from joulecast.estimator.steps.in_time.state import (
    BEGIN,
    BEGIN_S,
    CACHED,
    CLOCK,
    COMING,
    CONTEXT,
    CREDIT,
    DECODE,
    DECODING,
    FREE,
    IS_BUSY,
    LAUNCHED,
    NONE,
    NOW,
    PAIRS,
    PROMPT,
    READ,
    READ_BY,
    READ_PAIRS,
    READERS,
    REUSED,
    REUSED_PAIRS,
    RUN,
    RUNNING,
    SAMPLED,
    SECONDS,
    STEPS,
    WAIT,
    WAITING,
    Numbers,
    Requests,
    Rules,
    State,
    StepTimes,
)

_LINEAR = 1e-9
"""Relative, of the time of the middle one of some steps to the mean of the first and last."""


def scheduled_seconds(rules: Rules, law: StepTimes, state: State) -> float:
    """When the next step is scheduled [s].

    While the one before runs, if the engine schedules ahead and is at work: when that is launched,
    since one thread does all. Of several GPUs each has a process that launches.
    """
    times = state.times
    if not rules.lag or state.counts[IS_BUSY] == 0:
        return times[CLOCK]
    return times[BEGIN] if law.is_shared else max(times[BEGIN], times[LAUNCHED])


def host_seconds(law: StepTimes, decoding: int, prompt: int, sampled: int) -> float:
    """What the host needs to launch a step; nothing for a recorded graph that only decodes [s]."""
    launch_s = law.launch[decoding + prompt]
    if launch_s > 0:
        return float(launch_s + law.launch_output * sampled)
    return law.pieces if prompt > 0 else 0.0


def busy_seconds(law: StepTimes, launch_s: float, parts_s: float, host_s: float) -> float:
    """How long a step takes whose parts last so long, and that is launched no sooner [s].

    Several GPUs wait for each other in every layer, and each for its own launches, so that the two
    overlap less: as the sides of a right triangle make its third. Four logs of traffic on two and
    four GPUs are met by that within 3 %, and exceed the longer of the two by 7 to 16 %. So do the
    pieces of a graph, whose attention waits between them (`PIECES_S` has the logs).
    """
    if (law.is_shared or launch_s == law.pieces) and launch_s > 0 and host_s > 0:
        return math.sqrt(parts_s * parts_s + host_s * host_s)
    return max(parts_s, host_s)


def gpu_seconds(
    law: StepTimes,
    decoding: int,
    prompt: int,
    context: float,
    pairs: float,
    sampled: int,
    reused: int,
    readers: int,
) -> tuple[float, float]:
    """How long the GPU takes for a step [s]: by its parts, and by what the power limit allows.

    Reading the cached prefix of a prompt takes as long as reading the cache while decoding.
    """
    tokens = decoding + prompt
    products = law.products[tokens]
    if prompt > 0 and law.launch[tokens] == 0:
        products *= law.clock
    products += law.head * sampled
    seconds = max(law.reading[tokens], products) + law.other[tokens] + law.output * sampled
    energy_j = law.token_j[tokens] + law.output_j * sampled
    for kind in range(len(law.window)):
        window = law.window[kind]
        read, paired = min(context, window * decoding), min(pairs, window * prompt)
        lasting = law.uneven[decoding] * read
        if readers > 0:
            prefixes = min(reused, window * readers)
            read += prefixes
            lasting += prefixes
        seconds += law.context[kind] * lasting + law.pair[kind] * paired
        energy_j += law.context_j[kind] * read + law.pair_j[kind] * paired
    return seconds, energy_j / law.spare_w


def recover(law: StepTimes, times: Numbers, seconds: float, limit_s: float) -> None:
    """Steps have lasted so long, where the power limit asks for so long [s].

    A card that has drawn less than its limit runs prompts at full clock, at more than its limit,
    for as long as what it draws on average is not above it. Throttled, it is slow to speed up
    again, so that only a share of what it draws less counts.
    """
    beyond_s = seconds - limit_s
    if beyond_s > 0:
        beyond_s *= law.recovery
    times[CREDIT] = max(0.0, min(law.most_credit_s, times[CREDIT] + beyond_s))


def _decode_seconds(law: StepTimes, decoding: int, context: float) -> float:
    """How long a step of a recorded graph lasts that only decodes [s]."""
    parts_s, limit_s = gpu_seconds(law, decoding, 0, context, 0.0, decoding, 0, 0)
    return max(parts_s, limit_s)


def write_row(
    rows: Numbers,
    row: int,
    steps: int,
    decoding: int,
    prompt: int,
    context: float,
    pairs: float,
    sampled: int,
    seconds: float,
    state: State,
) -> None:
    """Note some equal steps, from number `row` of the rows on; see `state.py` for what is in it."""
    rows[row + STEPS] = steps
    rows[row + DECODE] = decoding
    rows[row + PROMPT] = prompt
    rows[row + CONTEXT] = context
    rows[row + PAIRS] = pairs
    rows[row + SAMPLED] = sampled
    rows[row + BEGIN_S] = state.times[CLOCK]
    rows[row + SECONDS] = seconds
    rows[row + RUN] = state.counts[RUNNING]
    rows[row + WAIT] = state.counts[WAITING]
    rows[row + READ_BY] = state.counts[READERS]
    rows[row + READ] = state.counts[REUSED]
    rows[row + READ_PAIRS] = state.counts[REUSED_PAIRS]


def run_equal_steps(
    rules: Rules,
    law: StepTimes,
    requests: Requests,
    state: State,
    rows: Numbers,
    row: int,
    horizon_s: float,
) -> int:
    """Steps that only decode, up to the next event, in closed form; 1 if there are any, else 0.

    Of recorded graphs, that is: others may wait for their host. Their time grows evenly with what
    is cached, as long as no other part of the law comes to matter; where one does, they are fewer.
    """
    counts, times = state.counts, state.times
    decoding = counts[DECODING]
    steps = state.heap_step[0] - counts[NOW] - 1 if decoding > 0 else 0
    steps = min(steps, _steps_with_room(rules, state))
    if steps < 1 or law.launch[decoding] > 0:
        return 0
    context = float(counts[CACHED] + decoding)
    first_s = _decode_seconds(law, decoding, context)
    growth_s = 0.0
    while steps > 1:
        last = context + decoding * (steps - 1.0)
        last_s = _decode_seconds(law, decoding, last)
        middle_s = _decode_seconds(law, decoding, (context + last) / 2)
        if abs(first_s + last_s - 2 * middle_s) <= _LINEAR * middle_s:
            growth_s = (last_s - first_s) / (steps - 1)
            break
        steps = (steps + 1) // 2
    if counts[WAITING] == 0:
        arrival_s = horizon_s
        if counts[COMING] != NONE:
            arrival_s = min(arrival_s, requests.arrival[counts[COMING]])
        if arrival_s < math.inf:
            seen_s = scheduled_seconds(rules, law, state)
            if seen_s >= arrival_s:
                return 0
            until = _steps_until(first_s, growth_s, arrival_s - times[CLOCK])
            steps = min(steps, until + rules.lag)
    seconds = _sum(first_s, growth_s, steps)
    mean = context + decoding * (steps - 1) / 2
    write_row(rows, row, steps, decoding, 0, mean, 0.0, decoding, seconds, state)
    _, limit_s = gpu_seconds(law, decoding, 0, mean, 0.0, decoding, 0, 0)
    recover(law, times, seconds, steps * limit_s)
    times[BEGIN] = times[CLOCK] + _sum(first_s, growth_s, steps - 1)
    times[CLOCK] += seconds
    counts[FREE] -= _outgrown(rules, state, steps)
    counts[NOW] += steps
    counts[CACHED] += decoding * steps
    return 1


def _steps_with_room(rules: Rules, state: State) -> int:
    """So many steps at least until the decoding requests outgrow the free blocks."""
    counts = state.counts
    cycles = counts[FREE] // max(1, counts[DECODING])  # of as many steps as a block has tokens
    if cycles > 0:
        return cycles * rules.block_tokens
    left, steps = counts[FREE], 0
    while steps < rules.block_tokens:
        left -= state.outgrowing[(counts[NOW] + steps + 1) % rules.block_tokens]
        if left < 0:
            break
        steps += 1
    return steps


def _outgrown(rules: Rules, state: State, steps: int) -> int:
    """Blocks that the decoding requests take in so many steps."""
    counts = state.counts
    blocks = counts[DECODING] * (steps // rules.block_tokens)
    for k in range(steps % rules.block_tokens):
        blocks += state.outgrowing[(counts[NOW] + k + 1) % rules.block_tokens]
    return blocks


def _sum(first_s: float, growth_s: float, steps: int) -> float:
    """Time of so many steps, each longer than the one before by the growth [s]."""
    return steps * first_s + growth_s * steps * (steps - 1) / 2


def _steps_until(first_s: float, growth_s: float, seconds: float) -> int:
    """The fewest such steps that take at least so long."""
    if seconds <= 0:
        return 0
    slope = first_s - growth_s / 2
    steps = int(seconds / first_s) + 1
    if growth_s > 0:
        steps = int((math.sqrt(slope * slope + 2 * growth_s * seconds) - slope) / growth_s) + 1
    while steps > 1 and _sum(first_s, growth_s, steps - 1) >= seconds:
        steps -= 1
    while _sum(first_s, growth_s, steps) < seconds:
        steps += 1
    return steps
