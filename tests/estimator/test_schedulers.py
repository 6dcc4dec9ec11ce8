"""Who is fed what in which step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.in_time import advance as loop
from joulecast.estimator.steps.in_time import replica, scheduling
from joulecast.estimator.steps.in_time.state import FREE, PARTIAL, Requests, Rules, State
from joulecast.estimator.steps.progress import part_of
from joulecast.estimator.steps.static_batching import StaticBatching
from joulecast.estimator.steps.work import PrefixReads, StepCounts
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, Grid
from tests.estimator.slow_scheduler import SlowScheduler

VLLM = "h100-sxm/llama-3.1-8b/vllm"


def rules_of_vllm() -> ContinuousBatching:
    return ContinuousBatching.from_settings(load_table(VLLM).metadata["engine_settings"], VLLM)


def test_the_settings_come_from_the_table() -> None:
    assert rules_of_vllm() == ContinuousBatching(
        token_budget=16384, most_requests=1024, cache_blocks=28242, block_tokens=16
    )


def test_two_requests_by_hand() -> None:
    """A budget of 8: the first prompt whole, three of the second; then its rest and one token."""
    rules = ContinuousBatching(8, 4, 100, 4, steps_to_release=0)
    steps = rules.schedule(np.array([[5, 3], [6, 2]]))
    assert steps.prompt_tokens.tolist() == [8, 3, 0]
    assert steps.decoding.tolist() == [0, 1, 2]
    assert steps.context.tolist() == [0, 6, 7 + 7]
    assert steps.pairs.tolist() == [25 / 2 + 9 / 2, (36 - 9) / 2, 0]
    assert steps.sampled.tolist() == [1, 2, 2]
    alone = StepCounts.of_lengths(np.array([[5, 3], [6, 2]]))
    assert steps.counts == replace(alone, steps=3)


def test_a_batch_of_the_table_by_hand() -> None:
    """1,024 prompts of 32 tokens fill two budgets; then everyone decodes to the end."""
    counts = rules_of_vllm().schedule_batch(32, 8, 1024).counts
    # 512 prompts, then 496 (512 tokens are decoded), then 16; the last one begins in step 3.
    assert counts.steps == 3 + 7
    assert counts.tokens == 1024 * 39
    assert counts.outputs == 1024 * 8


def test_who_outgrows_the_memory_makes_way_for_the_older() -> None:
    """Two requests of 4 + 5 tokens in three blocks of 4: the second is fed again afterwards."""
    rules = ContinuousBatching(64, 4, 3, 4, steps_to_release=0)
    steps = rules.schedule(np.array([[4, 5], [4, 5]]))
    # Step 1 feeds both, step 2 has one block for two: the second makes way with one token made,
    # and is fed its 5 tokens when the first has ended.
    assert steps.decoding.tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1]
    assert steps.prompt_tokens.tolist() == [8, 0, 0, 0, 0, 5, 0, 0, 0]
    assert steps.sampled.sum() == 10


@pytest.mark.parametrize("lag", [0, 1])
@settings(max_examples=150)
@given(data=st.data())
def test_it_does_what_each_request_would_see(lag: int, data: st.DataObject) -> None:
    """Against a scheduler that follows every request on its own, in memories that are too small."""
    block = data.draw(st.sampled_from([1, 2, 4, 16]))
    most = data.draw(st.integers(1, 6))
    lengths = data.draw(
        st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=14)
    )
    needed = max(-(-(i + o - 1) // block) for i, o in lengths)
    rules = ContinuousBatching(
        token_budget=data.draw(st.integers(most, 60)),
        most_requests=most,
        cache_blocks=needed + data.draw(st.integers(0, 3 * needed)),
        block_tokens=block,
        steps_to_release=lag,
    )
    cached = [data.draw(st.integers(0, i) | st.just(0)) for i, _ in lengths]
    one_by_one = SlowScheduler(rules, lengths, cached)
    slow = np.array(one_by_one.run()).T
    steps = rules.schedule(np.array(lengths), cached=np.array(cached))
    fast = [steps.decoding, steps.prompt_tokens, steps.context, steps.pairs, steps.sampled]
    assert np.array_equal(np.array(fast), slow)
    assert (steps.decoding + steps.prompt_tokens).max() <= rules.token_budget
    assert steps.decoding.max() <= most
    assert steps.counts.outputs == sum(o for _, o in lengths)
    fewest = StepCounts.of_lengths(np.array(lengths), np.array(cached))
    assert steps.counts.tokens >= fewest.tokens
    reads = steps.prefixes or PrefixReads(*np.zeros((3, len(steps.decoding))))
    assert np.array_equal([reads.prompts, reads.tokens, reads.pairs], np.array(one_by_one.reads).T)


def test_a_prompt_that_may_not_be_cut_waits() -> None:
    rules = ContinuousBatching(8, 4, 100, 4, chunked_prefill=False, steps_to_release=0)
    assert rules.schedule(np.array([[5, 1], [6, 1]])).prompt_tokens.tolist() == [5, 6]


def test_a_request_that_never_fits_is_refused() -> None:
    rules = ContinuousBatching(64, 4, 10, 4)
    with pytest.raises(InputError, match="tokens does not fit into the engine"):
        rules.schedule(np.array([[4, 4], [30, 12]]))


def stricter(patch: pytest.MonkeyPatch) -> None:
    """Ask for a block more than a prompt needs before it is taken in."""
    own = loop.feed_prompts

    def feed_prompts(rules: Rules, requests: Requests, state: State, *rest: Any) -> Any:
        state.counts[FREE] -= 1
        fed = own(rules, requests, state, *rest)
        state.counts[FREE] += 1
        return fed

    patch.setattr(loop, "feed_prompts", feed_prompts)


def idle(patch: pytest.MonkeyPatch) -> None:
    """Say that a prompt is fed, and do not feed it."""

    def feed(rules: Rules, requests: Requests, state: State, request: int, after: int) -> float:
        state.counts[PARTIAL] = request
        return 0.0

    patch.setattr(scheduling, "_feed", feed)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "lengths", "named"),
    [
        # The third request needs the whole cache, so that the stricter rules serve two alone.
        (stricter, [[4, 5], [8, 2], [37, 4], [4, 1]], "request 3 of 4, of 41 tokens"),
        (idle, [[4, 5]], "request 1 of 1, of 9 tokens"),
    ],
)
def test_rules_that_never_serve_a_request_end_with_one_line(
    spoil: Callable[[pytest.MonkeyPatch], None],
    lengths: list[list[int]],
    named: str,
    lag: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = ContinuousBatching(64, 4, 10, 4, steps_to_release=lag)
    assert rules.schedule(np.array(lengths)).requests == len(lengths)
    spoil(monkeypatch)
    with pytest.raises(InputError) as refusal:
        rules.schedule(np.array(lengths))
    line = str(refusal.value)
    assert named in line
    assert "KV cache of 40 tokens" in line
    assert "--method binned" in line
    assert "\n" not in line


def test_progress_is_told_up_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    rules = ContinuousBatching(8, 4, 100, 4, steps_to_release=0)
    monkeypatch.setattr(replica, "_ROWS", 100)
    lengths = np.random.default_rng(3).integers(1, 9, (400, 2))
    rules.schedule(lengths, told.append)
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == 1
    told.clear()
    halves = part_of(told.append, 0.5, 1.0)
    rules.schedule(np.array([[5, 3], [6, 2], [3, 9]]), halves)
    assert told == [1.0]
    assert part_of(None, 0.0, 1.0) is None


def test_compiled_code_serves_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code and plain Python do the very same, where memory is short, too."""
    pytest.importorskip("numba")
    lengths = np.random.default_rng(5).integers(1, 400, (600, 2))
    rules = replace(rules_of_vllm(), cache_blocks=300, most_requests=40)
    plain = rules.schedule(lengths)
    monkeypatch.setattr(replica, "fewest_to_compile", lambda: 1)
    fast = rules.schedule(lengths)
    assert plain.counts.tokens > StepCounts.of_lengths(lengths).tokens  # some made way
    for name in ("decoding", "prompt_tokens", "context", "pairs", "sampled", "is_launched"):
        assert np.array_equal(getattr(plain, name), getattr(fast, name))


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"max_num_seqs": "many"},
        {"max_num_batched_tokens": 0},
        {"kv_cache_tokens": -1},
        {"kv_block_tokens": 0},
        {"max_num_batched_tokens": 100},
    ],
)
def test_a_table_without_settings_is_named(settings_: dict[str, object]) -> None:
    complete = {"max_num_batched_tokens": 16384, "max_num_seqs": 1024, "kv_cache_tokens": 4096}
    spoilt = complete | settings_ if settings_ else {}
    with pytest.raises(InputError, match=r"own/table: its engine_settings .* --method binned"):
        ContinuousBatching.from_settings(spoilt, "own/table")


def test_static_batches_are_of_one_cell_and_padded_to_their_longest() -> None:
    grid = Grid((8, 64), (4, 16))
    batching = StaticBatching(grid, {(8, 4): 2, (8, 16): 2, (64, 4): 1, (64, 16): 1})
    lengths = np.array([[3, 2], [9, 4], [8, 1], [5, 4], [70, 3]])
    # (8, 4) takes the 1st with the 3rd and the 4th alone; beyond the grid, memory sets the batch.
    assert batching.batches(lengths).tolist() == [[2, 8, 2], [1, 5, 4], [1, 9, 4], [1, 70, 3]]
    steps = batching.schedule(np.array([[3, 2], [8, 3]]))
    assert steps.prompt_tokens.tolist() == [16, 0, 0]
    assert steps.decoding.tolist() == [0, 2, 2]
    assert steps.context.tolist() == [0, 2 * 9, 2 * 10]
    assert steps.pairs.tolist() == [64, 0, 0]
    assert steps.counts.outputs == 6


def test_beyond_the_grid_a_static_batch_holds_as_many_tokens_as_the_last_cell() -> None:
    """10 x (64 + 16) tokens fit; at 144 + 16 half as many requests, at 64 + 336 a fifth."""
    batching = StaticBatching(Grid((8, 64), (4, 16)), {(64, 16): 10.0, (64, 4): 40.0})
    longer_inputs = batching.batches(np.array([[144, 16]] * 12))
    assert longer_inputs.tolist() == [[5, 144, 16], [5, 144, 16], [2, 144, 16]]
    longer_outputs = batching.batches(np.array([[64, 336]] * 5))
    assert longer_outputs.tolist() == [[2, 64, 336], [2, 64, 336], [1, 64, 336]]
    # Beyond the last input alone, the last cell of that output counts: 40 x (64 + 4) tokens.
    assert batching.batches(np.array([[132, 4]] * 21))[:, 0].tolist() == [20, 1]
    assert batching.batches(np.array([[65, 1]] * 41))[:, 0].tolist() == [40, 1]
    assert batching.batches(np.array([[10**6, 4]] * 2))[:, 0].tolist() == [1, 1]


def test_a_static_batch_of_equal_requests_has_as_many_steps_as_outputs() -> None:
    batching = StaticBatching(PAPER_GRID, dict.fromkeys(PAPER_GRID.cells(), 64.0))
    counts = batching.schedule_batch(128, 32, 64).counts
    equal = StepCounts.of_lengths(np.array([[128, 32]] * 64))
    assert counts == replace(equal, steps=32)
