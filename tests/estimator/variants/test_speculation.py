"""Speculation: rounds by luck, what they feed, what they cost, and from when on they pay."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import joulecast as jc
from joulecast.estimator.steps.continuous_batching import GRAPH_TOKENS
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.estimator.variants.break_even import (
    break_even_acceptance,
    equal_requests,
    speculation_saving,
)
from joulecast.estimator.variants.model import Speculated, shared_cache_tokens
from joulecast.estimator.variants.speculation import Passes, SpeculativeBatching, drawn_rounds
from joulecast.estimator.variants.speculative_law import RoundHost, SpeculativeLaw
from joulecast.measurements.engines.decoding import Speculation
from joulecast.measurements.hardware import load_gpu
from joulecast.traces.errors import InputError
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

DRAFT = "llama-3.2-1b"
H200 = Deployment.of("llama-3.1-8b", load_gpu("h200-sxm"))


def speculated(acceptance: float, lookahead: int = 4, host: RoundHost | None = None) -> Speculated:
    return Speculated(H200, speculation=Speculation(DRAFT, lookahead, acceptance), host=host)


def batching_of(serves: Speculated) -> SpeculativeBatching:
    lengths = np.tile([512, 64], (8, 1))
    scheduler = serves.step_model(Workload.of_lengths(POWER_OF_TWO_GRID, lengths)).scheduler
    assert isinstance(scheduler, SpeculativeBatching)
    return scheduler


@pytest.mark.parametrize(("lookahead", "acceptance"), [(1, 0.5), (4, 0.7), (4, 0.95), (7, 0.8)])
def test_a_round_gives_what_leviathan_et_al_say(lookahead: int, acceptance: float) -> None:
    """Equation 1, over outputs so long that the last, cut round matters little."""
    tokens = np.full(400, 4000)
    rounds = drawn_rounds(tokens, Speculation(DRAFT, lookahead, acceptance))
    expected = (1 - acceptance ** (lookahead + 1)) / (1 - acceptance)
    assert tokens.sum() / rounds.sum() == pytest.approx(expected, rel=0.01)
    assert Speculation(DRAFT, lookahead, acceptance).tokens_per_step == pytest.approx(expected)


def test_nothing_accepted_is_a_token_a_round_and_everything_all_of_them() -> None:
    tokens = np.array([0, 1, 4, 5, 6, 63])
    assert drawn_rounds(tokens, Speculation(DRAFT, 4, 0.0)).tolist() == tokens.tolist()
    assert drawn_rounds(tokens, Speculation(DRAFT, 4, 1.0)).tolist() == [0, 1, 1, 1, 2, 13]


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=20),
    st.integers(1, 8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_request_takes_more_rounds_if_more_is_accepted(
    outputs: list[int], lookahead: int, one: float, other: float
) -> None:
    tokens, (low, high) = np.array(outputs), sorted((one, other))
    fewer, more = (drawn_rounds(tokens, Speculation(DRAFT, lookahead, a)) for a in (high, low))
    assert (fewer <= more).all()
    assert (fewer * (lookahead + 1) >= tokens).all()


@pytest.mark.parametrize("acceptance", [0.0, 0.6, 1.0])
def test_what_is_read_of_the_cache_is_that_of_the_true_lengths(acceptance: float) -> None:
    """Worked out from the rounds of each request: its prompt, and what was there before each."""
    serves = speculated(acceptance)
    lengths = np.array([[100, 400]] * 300)
    steps = batching_of(serves).schedule(lengths)
    rounds = drawn_rounds(lengths[:, 1] - 1, serves.proposed)
    each = 399 / rounds
    expected = (rounds * 101 + each * rounds * (rounds - 1) / 2).sum()
    assert steps.total(steps.context) == pytest.approx(expected, rel=0.01)
    assert steps.total(steps.decoding) == rounds.sum()
    assert steps.total(steps.prompt_tokens) == 300 * 100


def test_few_requests_are_the_mean_of_much_luck() -> None:
    steps = batching_of(speculated(0.7)).schedule(np.array([[512, 64]]))
    rounds = drawn_rounds(np.full(20_000, 63), Speculation(DRAFT, 4, 0.7)).mean()
    assert steps.total(steps.decoding) == pytest.approx(rounds, rel=0.03)


def test_passes_feed_what_vllm_feeds() -> None:
    """Two requests that decode beside a prompt of 100 tokens that ends: K + 1 of each verified."""
    rounds = batching_of(speculated(0.0)).schedule(np.array([[512, 2]]))
    one = replace(
        rounds,
        decoding=np.array([2.0]),
        prompt_tokens=np.array([100.0]),
        context=np.array([600.0]),
        pairs=np.array([5000.0]),
        sampled=np.array([3.0]),
        is_launched=np.array([False]),
        seconds=None,
    )
    verified, first, further = Passes.of(one, 4, GRAPH_TOKENS)
    assert (verified.decoding + verified.prompt_tokens).tolist() == [2 * 5 + 100]
    assert verified.sampled.tolist() == [2 * 5 + 1]
    assert (first.decoding + first.prompt_tokens).tolist() == [2 * 5 + 100 + 3]
    assert (further.decoding + further.prompt_tokens).tolist() == [3]
    assert verified.context.tolist() == first.context.tolist() == [600]


def test_more_accepted_never_costs_more_and_nothing_accepted_never_pays() -> None:
    for batch_size in (1, 16):
        told = [equal_requests(speculated(a), batch_size) for a in (0.0, 0.3, 0.6, 0.8, 0.9, 1.0)]
        energies_j = [estimate.energy_j for estimate in told]
        assert energies_j == sorted(energies_j, reverse=True)
        assert energies_j[0] > equal_requests(Scaling(H200), batch_size).energy_j
        assert all(estimate.energy_j > estimate.ideal_j["roofline"] for estimate in told)


@pytest.mark.slow
def test_a_host_that_takes_no_time_makes_it_pay_earlier() -> None:
    waiting, at_once = break_even_acceptance(speculated(0.5), 1), break_even_acceptance(
        speculated(0.5, host=RoundHost(0.0, 0.0)), 1
    )  # fmt: skip
    assert waiting is not None
    assert at_once is not None
    assert 0 < at_once < waiting < 1
    assert abs(speculation_saving(speculated(waiting), 1)) < 0.02
    assert break_even_acceptance(speculated(0.5), 128) is None


def test_another_lookahead_is_known_less_well() -> None:
    one, four = RoundHost.of(1), RoundHost.of(4)
    assert one.seconds == pytest.approx(four.seconds * 2 / 5)
    assert one.log_sd > four.log_sd
    assert one.slow_seconds >= four.seconds  # as if the host took as long whatever K is


def test_a_draft_takes_its_part_of_the_memory() -> None:
    """vLLM had room for 699,872 tokens beside both models on an H200."""
    assert shared_cache_tokens(H200, speculated(0.5).draft, 576) == pytest.approx(699_872, rel=0.03)


def test_the_interval_holds_what_hosts_may_take() -> None:
    estimate = equal_requests(speculated(0.7), 1)
    assert estimate.relative_sds is not None
    assert estimate.relative_sds["host"] > 0.3
    assert {"speculation", "host"} <= set(estimate.relative_sds)
    law = speculated(0.7).step_model(Workload.of_lengths(POWER_OF_TWO_GRID, np.array([[9, 9]]))).law
    assert isinstance(law, SpeculativeLaw)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--engine", "pytorch"), "was measured with vllm alone; for pytorch it takes windows"),
        (("--gpus", 2), "was measured on one GPU; leave --gpus out"),
        (("--eager",), "was not measured eager; leave --eager out"),
        (("--decoding", "sampling"), "with greedy decoding; leave --decoding out"),
        ((), "take --serving offline, or leave --speculate out"),
        (("--rate", 1), "take --serving offline, or leave --speculate out"),
        (("--model", "qwen2.5-7b"), "the draft's 128,256 tokens are not the 152,064"),
        (("--method", "binned"), "is for --method stepwise"),
    ],
)
def test_what_no_window_tells_is_refused_in_a_line(
    words: tuple[object, ...], says: str, run_cli: RunCli
) -> None:
    result = run_cli("estimate", "azure-2023-code", "--speculate", f"{DRAFT},4,0.7", *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_estimate_says_what_speculation_rests_on(run_cli: RunCli) -> None:
    draft = "--speculate", f"{DRAFT},4,0.9"
    result = run_cli(
        *("estimate", "azure-2023-code", *draft, "--serving", "offline", "--format", "json")
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["speculation"] == f"{DRAFT},4,0.9"
    assert told["basis"] == "model scaled"
    assert told["basis_notes"].startswith("speculation: priced by work, host time of vLLM 0.22.0")
    assert told["serving"]["mode"] == "offline"


@pytest.mark.slow
def test_python_and_specs_take_it_too() -> None:
    trace = "azure-2023-code"
    one = jc.estimate(trace, speculate=f"{DRAFT},4,0.8", serving="offline")
    spec = f"model=llama-3.1-8b,speculate={DRAFT}:4:0.8"
    assert jc.compare(trace, [spec]).tables[0].estimate.energy_j == one.energy_j
    with pytest.raises(InputError, match="is not DRAFT,K,ACCEPTANCE"):
        jc.estimate(trace, speculate=DRAFT)
