"""Requests that come over time: who is fed in which step, and when it ends."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time import replica
from joulecast.estimator.steps.in_time.replica import ServedTimes, serve_replica
from joulecast.estimator.steps.in_time.state import (
    BEGIN_S,
    PROMPT,
    READ,
    SECONDS,
    STEPS,
    StepTimes,
)
from tests.estimator.online.slow_server import SlowServer

GRAPH_TOKENS, PIECES_S, CLOCK, THREAD_SHARE = 3, 4e-4, 0.8, 0.75
WINDOW = 24.0
RECOVERY, MOST_CREDIT_S = 0.3, 1.2e-3


def law(*work: float) -> float:
    """What `times_of` says, of one step that waits for no other, and has no credit."""
    parts_s, limit_s, host_s = parts_limit_host(*work)
    return max(on_gpus(2)(*work[:2], parts_s, host_s), limit_s)


def on_gpus(gpus: int) -> Callable[[float, float, float, float], float]:
    """How long steps take of GPUs that wait for each other's launches, and for a graph's pieces."""

    def together(decoding: float, prompt: float, parts_s: float, host_s: float) -> float:
        is_launched = decoding + prompt > GRAPH_TOKENS
        waits_often = gpus > 1 if is_launched else prompt > 0
        return math.hypot(parts_s, max(0, host_s)) if waits_often else max(parts_s, host_s)

    return together


def at_launch(decoding: float, prompt: float, launch_s: float) -> float:
    """How long the thread is at a launch."""
    return launch_s * (THREAD_SHARE if decoding + prompt > GRAPH_TOKENS else 1)


def parts_limit_host(
    decoding: float,
    prompt: float,
    context: float,
    pairs: float,
    sampled: float,
    readers: float = 0,
    prefix: float = 0,
) -> tuple[float, float, float]:
    """How long its parts take, how long the power limit has it, and its host to launch it."""
    tokens = decoding + prompt
    read, paired = min(context, WINDOW * decoding), min(pairs, WINDOW * prompt)
    uneven = 1.2 if decoding > 1 else 1.0
    lasting_s = uneven * (2e-6 * context + 1e-6 * read)
    lasting_s += 2e-6 * prefix + 1e-6 * min(prefix, WINDOW * readers)
    context, read = context + prefix, read + min(prefix, WINDOW * readers)
    is_launched = tokens > GRAPH_TOKENS
    is_pieced = prompt > 0 and not is_launched
    products = (CLOCK if is_pieced else 1) * 2e-5 * tokens + 1e-5 * sampled
    seconds = max(4e-5, products) + 1e-4 + 1e-6 * tokens + 3e-6 * sampled
    seconds += lasting_s + 1e-7 * pairs + 5e-7 * paired
    energy_j = 0.1 + 0.01 * tokens + 0.002 * sampled + 3e-3 * context + 1e-3 * read
    host_s = 3e-3 + 1e-5 * sampled if is_launched else PIECES_S if is_pieced else 0.0
    return seconds, energy_j / 200, host_s


def times_of(budget: int) -> StepTimes:
    """The law above as the simulation takes it."""
    tokens = np.arange(budget + 1.0)
    parts: dict[str, Any] = {
        "reading": 4e-5 + 0 * tokens,
        "products": 2e-5 * tokens,
        "other": 1e-4 + 1e-6 * tokens,
        "launch": np.where(tokens > GRAPH_TOKENS, 3e-3, 0.0),
        "token_j": 0.1 + 0.01 * tokens,
        "uneven": np.where(tokens > 1, 1.2, 1.0),
        "context": np.array([2e-6, 1e-6]),
        "pair": np.array([1e-7, 5e-7]),
        "context_j": np.array([3e-3, 1e-3]),
        "pair_j": np.array([0.0, 0.0]),
        "window": np.array([math.inf, WINDOW]),
    }
    return StepTimes(
        **parts,
        output=3e-6,
        head=1e-5,
        output_j=0.002,
        launch_output=1e-5,
        thread_share=THREAD_SHARE,
        pieces=PIECES_S,
        clock=CLOCK,
        spare_w=200.0,
        recovery=RECOVERY,
        most_credit_s=MOST_CREDIT_S,
        is_shared=True,
    )


def serve(
    rules: ContinuousBatching,
    arrivals: list[float],
    lengths: list[tuple[int, int]],
    times: StepTimes | None = None,
    cached: Any = None,
) -> tuple[np.ndarray, ServedTimes]:
    rows: list[np.ndarray] = []
    asked = np.array(lengths)
    served = serve_replica(
        rules.rules_for(asked),
        rules.cache_blocks,
        times_of(rules.token_budget) if times is None else times,
        np.array(arrivals),
        asked,
        rows.append,
        cached,
    )
    return np.concatenate(rows), served


@pytest.mark.parametrize(("lag", "gpus"), [(0, 1), (0, 2), (1, 1), (1, 2)])
@settings(max_examples=60)
@given(data=st.data())
def test_it_serves_as_one_that_follows_every_request(
    lag: int, gpus: int, data: st.DataObject
) -> None:
    """In memories that are too small, with arrivals in the middle of steps and long pauses."""
    block = data.draw(st.sampled_from([1, 2, 4, 16]))
    most = data.draw(st.integers(1, 6))
    inputs = st.integers(1, GRAPH_TOKENS) | st.integers(1, 60)
    lengths = data.draw(st.lists(st.tuples(inputs, st.integers(1, 50)), min_size=1, max_size=12))
    # No sum of these is a sum of steps, which rounding would put before or after an arrival.
    gaps = st.sampled_from([0.0, 1.0137e-4, 7.0193e-4, 3.0411e-3, 0.0200719, 0.3001373])
    arrivals = np.cumsum(
        data.draw(st.lists(gaps, min_size=len(lengths), max_size=len(lengths)))
    ).tolist()
    needed = max(-(-(i + o - 1) // block) for i, o in lengths)
    rules = ContinuousBatching(
        token_budget=data.draw(st.integers(most, 90)),
        most_requests=most,
        cache_blocks=needed + data.draw(st.integers(0, 3 * needed)),
        block_tokens=block,
        steps_to_release=lag,
    )
    cached = [data.draw(st.integers(0, i) | st.just(0)) for i, _ in lengths]
    credit = RECOVERY, MOST_CREDIT_S
    work = parts_limit_host, on_gpus(gpus), at_launch
    slow = SlowServer(rules, lengths, arrivals, work, credit, cached, is_one_thread=gpus == 1)
    log = np.array(slow.serve())
    times = times_of(rules.token_budget)._replace(is_shared=gpus > 1)
    rows, served = serve(rules, arrivals, lengths, times, np.array(cached))
    steps = rules.steps_of(rows, len(lengths))
    fast = [steps.decoding, steps.prompt_tokens, steps.context, steps.pairs, steps.sampled]
    assert np.array_equal(np.array(fast), log[:, :5].T)
    assert rows[:, SECONDS].sum() == pytest.approx(log[:, 6].sum(), rel=1e-9)
    assert rows[-1, BEGIN_S] + rows[-1, SECONDS] == pytest.approx(slow.clock, rel=1e-9)
    places = range(len(lengths))
    assert served.first_s == pytest.approx([slow.first[k] for k in places], rel=1e-9)
    assert served.last_s == pytest.approx([slow.last[k] for k in places], rel=1e-9)


def test_a_request_alone_waits_for_its_prompt_and_then_for_each_token() -> None:
    rules = ContinuousBatching(64, 4, 100, 4)
    rows, served = serve(rules, [5.0], [(20, 3)])
    prompt_s = law(0, 20, 0, 200, 1)
    tokens_s = law(1, 0, 21, 0, 1) + law(1, 0, 22, 0, 1)
    assert rows[0, BEGIN_S] == 5
    assert served.first_s == pytest.approx([5 + prompt_s], rel=1e-12)
    assert served.last_s == pytest.approx([5 + prompt_s + tokens_s])


def test_a_step_is_scheduled_while_the_one_before_it_runs() -> None:
    """Who comes then is fed in the step after the next; an engine that looks again, in the next."""
    ahead = ContinuousBatching(64, 4, 100, 4, steps_to_release=1)
    lengths, arrivals = [(2, 40), (2, 2)], [0.0, law(0, 2, 0, 2, 1) + 1e-5]
    _, late = serve(ahead, arrivals, lengths)
    _, soon = serve(replace(ahead, steps_to_release=0), arrivals, lengths)
    assert late.first_s[1] - soon.first_s[1] == pytest.approx(law(1, 0, 4, 0, 1), rel=0.05)


def test_a_card_below_its_limit_may_go_above_it_for_a_while() -> None:
    """As far as it has drawn less, in the share that counts: the launch of a small prompt, here."""
    rules = ContinuousBatching(400, 4, 100, 16)
    parts_s, limit_s, _ = parts_limit_host(0, 200, 0, 20_000, 1)
    assert limit_s > parts_s + MOST_CREDIT_S
    small_s = law(0, 4, 0, 8, 1)
    credit_s = RECOVERY * (small_s - parts_limit_host(0, 4, 0, 8, 1)[1])
    assert 0 < credit_s < MOST_CREDIT_S
    rows, _ = serve(rules, [0.0, 1.0, 2.0], [(4, 1), (200, 1), (200, 1)])
    assert rows[:, SECONDS].tolist() == pytest.approx([small_s, limit_s - credit_s, limit_s])
    often, _ = serve(rules, [*np.arange(9.0), 9.0], [*[(4, 1)] * 9, (200, 1)])
    assert often[-1, SECONDS] == pytest.approx(limit_s - MOST_CREDIT_S)
    never = times_of(400)._replace(most_credit_s=0.0)
    rows, _ = serve(rules, [0.0, 1.0], [(4, 1), (200, 1)], never)
    assert rows[-1, SECONDS] == pytest.approx(limit_s)


@pytest.mark.parametrize("is_shared", [False, True])
def test_on_several_gpus_launching_and_computing_overlap_less(is_shared: bool) -> None:
    rules = ContinuousBatching(64, 4, 100, 4)
    rows, _ = serve(rules, [0.0], [(40, 1)], times_of(64)._replace(is_shared=is_shared))
    parts_s, limit_s, host_s = parts_limit_host(0, 40, 0, 40 * 20, 1)
    busy_s = math.hypot(parts_s, host_s) if is_shared else max(parts_s, host_s)
    assert rows[0, SECONDS] == pytest.approx(max(busy_s, limit_s))


def test_a_graph_that_feeds_prompts_is_launched_in_pieces() -> None:
    """From when it is scheduled, beside computing: 0.3 and 0.4 ms take 0.5, on one GPU, too."""
    alone = times_of(64)._replace(
        is_shared=False,
        reading=np.full(65, 1e-4),
        other=np.full(65, 2e-4),
        context=np.zeros(2),
        pair=np.zeros(2),
        output=0.0,
        token_j=np.zeros(65),
        context_j=np.zeros(2),
        output_j=0.0,
    )
    rules = ContinuousBatching(64, 4, 100, 4, steps_to_release=1)
    rows, _ = serve(rules, [0.0], [(3, 2)], alone)
    assert rows[:, SECONDS].tolist() == pytest.approx([5e-4, 3e-4])
    # Scheduled with the step before, which decodes for 0.3 ms, its launch has 0.1 ms left.
    rows, _ = serve(rules, [0.0, 6e-4], [(3, 5), (2, 1)], alone)
    mixed = rows[rows[:, PROMPT] > 0]
    assert mixed[:, SECONDS].tolist() == pytest.approx([5e-4, math.hypot(3e-4, 1e-4)])
    rows, _ = serve(rules, [0.0], [(4, 1)], alone._replace(launch_output=0.0))
    assert rows[:, SECONDS].tolist() == pytest.approx([3e-3])
    # Its products last as long as those of a launched step, whose times by tokens have that.
    bound = alone._replace(pieces=0.0, products=2e-3 * np.arange(65), head=0.0)
    rows, _ = serve(rules, [0.0], [(3, 3)], bound)
    products_s = rows[0, SECONDS] - 2e-4, rows[1, SECONDS] / rows[1, STEPS] - 2e-4
    assert products_s == pytest.approx((3 * CLOCK * 2e-3, 2e-3))


def test_one_thread_launches_a_step_before_it_tells_of_the_one_before() -> None:
    """Prompts of 4 tokens, launched for 3 ms each, of which the second comes after 1 ms.

    A thread is at a launch for three quarters of its time.
    """
    rules = ContinuousBatching(64, 4, 100, 4, steps_to_release=1)
    steps = times_of(64)._replace(launch_output=0.0, token_j=np.zeros(65), is_shared=False)
    rows, served = serve(rules, [0.0, 1e-3], [(4, 2), (4, 1)], steps)
    # The second step is scheduled after 2.25 ms, with the second prompt; its thread is free again
    # after 4.5, when it tells of the first, and its last kernel runs after 5.25.
    assert rows[:, PROMPT].tolist() == [4, 4]
    assert served.first_s == pytest.approx([4.5e-3, 5.25e-3])
    assert served.last_s == pytest.approx([5.25e-3, 5.25e-3])
    # One that only decodes is a recorded graph, and nothing waits for its launch.
    _, served = serve(rules, [0.0], [(4, 2)], steps)
    assert served.first_s == pytest.approx([3e-3])
    # Two GPUs have processes that launch, beside the one that schedules and tells.
    rows, served = serve(rules, [0.0, 1e-3], [(4, 2), (4, 1)], steps._replace(is_shared=True))
    assert rows[:, PROMPT].tolist() == [4, 0, 4]
    assert served.first_s[0] == pytest.approx(rows[0, SECONDS])


def test_what_a_prefix_cache_holds_is_read_and_not_computed() -> None:
    rules = ContinuousBatching(64, 4, 100, 4)
    rows, served = serve(rules, [0.0], [(20, 3)], cached=np.array([16]))
    steps = rules.steps_of(rows, 1)
    assert steps.prompt_tokens.tolist() == [4, 0, 0]
    assert steps.pairs.tolist() == [(400 - 256) / 2, 0, 0]
    assert steps.context.tolist() == [0, 21, 22]
    assert steps.prefixes is not None
    assert steps.prefixes.tokens.tolist() == [16, 0, 0]
    assert steps.prefixes.pairs.tolist() == [16 * 4, 0, 0]
    assert steps.counts.context == 16 + 21 + 22
    assert served.first_s.tolist() == [law(0, 4, 0, 72, 1, 1, 16)]
    everything, _ = serve(rules, [0.0], [(20, 3)], cached=np.array([20]))
    assert rules.steps_of(everything, 1).prompt_tokens.tolist() == [1, 0, 0]


def test_machine_code_serves_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last digit, where memory is short, too."""
    pytest.importorskip("numba")
    generator = np.random.default_rng(4)
    lengths = [(i, o) for i, o in generator.integers(1, 300, (500, 2)).tolist()]
    arrivals = np.sort(generator.random(500)).tolist()
    rules = ContinuousBatching(512, 30, 400, 16)
    cached = generator.integers(0, 200, 500)
    plain, times = serve(rules, arrivals, lengths, cached=cached)
    monkeypatch.setattr(replica, "fewest_to_compile", lambda: 1)
    fast, fast_times = serve(rules, arrivals, lengths, cached=cached)
    assert np.array_equal(plain, fast)
    assert plain[:, READ].sum() > 0
    assert np.array_equal(times.first_s, fast_times.first_s)
    assert np.array_equal(times.last_s, fast_times.last_s)
    assert times.preempted.sum() == fast_times.preempted.sum() > 0


def test_many_equal_steps_are_few_rows() -> None:
    rules = ContinuousBatching(64, 4, 100_000, 16)
    rows, served = serve(rules, [0.0, 1.0], [(4, 50_000), (4, 50_000)])
    assert rules.steps_of(rows, 2).decoding.sum() == 2 * 49_999
    assert len(rows) < 40
    slow = sum(law(1, 0, 4 + k, 0, 1) for k in range(1, 500))
    _, alone_served = serve(rules, [0.0], [(4, 500)])
    assert alone_served.last_s[0] == pytest.approx(law(0, 4, 0, 8, 1) + slow, rel=1e-9)
    assert served.last_s[0] > 0


def test_without_times_all_is_over_at_once() -> None:
    rules = ContinuousBatching(64, 4, 100, 4)
    asked = np.array([(5, 3), (6, 2)])
    rows: list[np.ndarray] = []
    served = serve_replica(
        rules.rules_for(asked), rules.cache_blocks, None, np.zeros(2), asked, rows.append
    )
    assert served.last_s.tolist() == [0, 0]
