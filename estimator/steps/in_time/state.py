"""What a simulation of a replica knows, as plain numbers in lists.

All of this package runs as plain Python on lists and, compiled (`compiled.py`), on arrays, with the
same numbers; so it is functions and tuples of lists, and no classes.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

Counts = MutableSequence[int]
"""Or an array of 64 bits each, which no type of Python's covers."""

Numbers = MutableSequence[float]

# What `State.counts` holds.
NOW, DECODING, CACHED, FREE, RUNNING, PARTIAL, HEAD, TAIL, WAITING, COMING, ADMITTED = range(11)
HEAP, ENDED, RELEASED, COMPLETED, COUNT, DONE, LAST_END = range(11, 18)
IS_BUSY, IS_STUCK, PREEMPTED, COMING_LAST = range(18, 22)
READERS, REUSED, REUSED_PAIRS, TOLD = range(22, 26)
COUNTERS = 26

# What `State.times` holds [s]: when the last step ended, when it began, until when a thread was at
# its launch; and by how much the next one that is launched may undercut the power limit.
CLOCK, BEGIN, LAUNCHED, CREDIT = range(4)
TIMERS = 4

# What a row holds: how many equal steps; of each, requests that decode, prompt tokens, cached
# tokens read (their mean over the steps), prompt pairs, tokens sampled; of all, when they begin and
# how long they last [s]; requests that run and that wait; prompts fed whose prefix is read from a
# cache, tokens of these prefixes, and pairs of theirs with what is fed.
STEPS, DECODE, PROMPT, CONTEXT, PAIRS, SAMPLED, BEGIN_S, SECONDS, RUN, WAIT = range(10)
READ_BY, READ, READ_PAIRS = range(10, 13)
WIDTH = 13

NONE = -1
"""Stands for no request."""


class Rules(NamedTuple):
    """Settings of a scheduler, as `ContinuousBatching` has them.

    `longest_wait`: steps after which some request must have ended, or the rules serve it never.
    """

    token_budget: int
    most_requests: int
    block_tokens: int
    is_chunked: bool
    lag: int
    longest_wait: int


class StepTimes(NamedTuple):
    """How long a step lasts [s], and what it takes beside idle power [J].

    Arrays by the tokens of a step, 0 to the budget: `reading` and `products`, of which the longer
    counts, `other`, what the host needs to `launch` it (0 for a recorded graph), and `token_j`; by
    the requests that decode, how many times as long reading their caches takes since they are
    `uneven`. By kind of layer: `context` and `pair`, with `context_j` and `pair_j`, each for at
    most `window` tokens of a request. `output` and `head` (with the products), `output_j` a token
    sampled, and what it takes the host in a step that is launched (`launch_output`); a
    `thread_share` of these the thread that launches is at it. A graph that feeds prompts is
    launched in `pieces`, and its products take `clock` times as long. `spare_w`:
    power beside idle power that the limit leaves [W]. `recovery`: share of the time that steps last
    beyond what the limit asks for, by which a launched one may undercut it later; by
    `most_credit_s` at most [s]. `is_shared`: whether several GPUs share the work.
    """

    reading: Numbers
    products: Numbers
    other: Numbers
    launch: Numbers
    token_j: Numbers
    uneven: Numbers
    context: Numbers
    pair: Numbers
    context_j: Numbers
    pair_j: Numbers
    window: Numbers
    output: float
    head: float
    output_j: float
    launch_output: float
    thread_share: float
    pieces: float
    clock: float
    spare_w: float
    recovery: float
    most_credit_s: float
    is_shared: bool


class Requests(NamedTuple):
    """What is asked and what becomes of it, by request.

    `arrival` [s]; `prompt` to be fed before decoding, longer when fed once more; `cached` of it
    that need not be computed; `left` to be produced from there on [tokens]; `fed` of the prompt;
    the steps in which decoding `began` and `ends`; `admitted` in which order; `link` to the one
    behind it; times of the `first` and `last` token [s], NaN so far; how often `preempted`.
    """

    arrival: Numbers
    prompt: Counts
    cached: Counts
    left: Counts
    fed: Counts
    began: Counts
    ends: Counts
    admitted: Counts
    link: Counts
    first: Numbers
    last: Numbers
    preempted: Counts


class State(NamedTuple):
    """Where a replica is.

    `counts` and `times` as named above; by the step modulo the block size, how many requests are
    `outgrowing` their last block; a heap of the steps in which requests end; a ring of those that
    have ended and hold their cache; those whose prompt was `completed` in the step before, and
    behind them those of this step.
    """

    counts: Counts
    times: Numbers
    outgrowing: Counts
    heap_step: Counts
    heap_request: Counts
    ended_step: Counts
    ended_request: Counts
    completed: Counts
