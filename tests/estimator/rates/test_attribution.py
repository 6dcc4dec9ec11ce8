"""What is divided among tokens, requests and waiting sums to the estimate, and is whose it says."""

from pathlib import Path

import numpy as np
import pytest

import joulecast as jc
from joulecast.estimator.attribution import served
from joulecast.estimator.attribution.division import as_steps, prompt_share
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.steps.host_pace import PIECES_S
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.table_law import TableLaw
from joulecast.traces.errors import InputError

TABLE = "h100-sxm/llama-3.1-8b/vllm"
DEPLOYMENTS = [
    {"table": TABLE},
    {"model": "qwen2.5-14b"},
    {"model": "gemma-2-9b", "gpu": "h200-sxm"},  # windows, wide heads
    {"model": "qwen3-30b-a3b"},  # experts
    {"model": "qwen2.5-32b", "gpu": "a100-sxm4-80gb", "gpus": 2},  # links
]
SERVINGS = [{"serving": "offline"}, {}, {"rate": 5.0}]


def a_log(path: Path, count: int = 400, with_cached: bool = True) -> Path:
    generator = np.random.default_rng(5)
    inputs, outputs = generator.integers(10, 3000, count), generator.integers(1, 400, count)
    cached = np.minimum(inputs, generator.integers(0, 4, count) * 500)
    arrivals = np.cumsum(generator.exponential(0.4, count))
    rows = zip(arrivals.tolist(), inputs.tolist(), outputs.tolist(), cached.tolist(), strict=True)
    names = ["arrival_s", "input_tokens", "output_tokens", "cached_tokens"]
    width = 4 if with_cached else 3
    lines = [",".join(names[:width]), *(",".join(map(str, row[:width])) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def parts_of(estimate: Estimate) -> float:
    attribution = estimate.attribution
    assert attribution is not None
    return sum(share.energy_j for share in attribution.shares.values()) + attribution.idle_j


@pytest.mark.parametrize("on", DEPLOYMENTS, ids=lambda on: next(iter(on.values())))
@pytest.mark.parametrize("how", SERVINGS, ids=["offline", "as it came", "rate"])
def test_tokens_and_waiting_sum_to_the_estimate(tmp_path: Path, on: dict, how: dict) -> None:
    estimate = jc.estimate(a_log(tmp_path / "log.csv"), **on, **how)
    assert parts_of(estimate) == pytest.approx(estimate.energy_j, rel=1e-12)
    shares = estimate.attribution.shares
    tokens = estimate.estimated_tokens
    assert shares["input"].tokens + shares["cached"].tokens == tokens["input"]
    assert shares["output"].tokens == tokens["output"]
    assert 0 < shares["cached"].j_per_token < 0.1 * shares["input"].j_per_token
    told = estimate.attribution.energy_of(
        tokens["input"], shares["cached"].tokens, tokens["output"]
    )
    assert told + estimate.attribution.idle_j == pytest.approx(estimate.energy_j, rel=1e-12)
    frame = estimate.to_frame("requests")
    assert len(frame) == estimate.requests["estimated"]
    assert frame.energy_j.sum() == pytest.approx(estimate.energy_j, rel=1e-9)
    assert frame.idle_j.sum() == pytest.approx(estimate.attribution.idle_j, rel=1e-9)
    for phase, share in shares.items():
        assert frame[f"{phase}_j"].sum() == pytest.approx(share.energy_j, rel=1e-9)
        assert (frame[f"{phase}_j"] >= 0).all()
    low_j, high_j = estimate.interval_j
    assert frame.interval_low_j.sum() == pytest.approx(low_j, rel=1e-9)
    assert frame.interval_high_j.sum() == pytest.approx(high_j, rel=1e-9)


def test_one_request_is_divided_as_worked_out_by_hand() -> None:
    table = jc.load_table(TABLE)
    law = TableLaw.of(table)
    step, token, context, pair, output, request = law.prices.energy_j.tolist()
    estimate = jc.estimate(jc.equal_requests(1, 100, 5), table)
    shares = estimate.attribution.shares
    # One step feeds the prompt, by a graph of 104 tokens; four feed a token each, which read
    # 101 ... 104 tokens. The first is launched in pieces, which takes longer than it computes.
    assert law.hosts is not None
    pace = law.hosts.pace
    computing_s = pace.gpu_seconds[:5] @ [1, 100, 0, 100 * 100 / 2, 1]
    waiting_j = pace.waiting_power_w * (32 * PIECES_S - computing_s)
    assert waiting_j > 0
    by_hand = step + 104 * token + 100 * 100 / 2 * pair + request + waiting_j
    assert shares["input"].energy_j == pytest.approx(by_hand, rel=1e-9)
    by_hand = 4 * step + 4 * token + (101 + 102 + 103 + 104) * context + 5 * output
    assert shares["output"].energy_j == pytest.approx(by_hand, rel=1e-9)


def test_what_a_step_shares_goes_by_the_tokens_that_it_feeds() -> None:
    model = StepModel.of(jc.load_table(TABLE))
    step = model.law.prices.energy_j[0]
    mixed = as_steps(np.array([[30, 11]]))  # 30 prompt tokens and ten that decode, in a row
    assert prompt_share(mixed).tolist() == [0.75]
    own_j = model.law.own_j(mixed).total(mixed)
    shared_j = model.law.divided_j(mixed) - own_j
    assert shared_j == pytest.approx([0.75 * step, 0.0, 0.25 * step])


def test_equal_requests_have_equal_parts_and_longer_ones_larger_ones(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = ["0,100,20", "1,100,20", "50,100,20", "50.1,900,20", "50.2,100,90", "51,100,20"]
    log.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    frame = jc.estimate(log).to_frame("requests")
    assert len(set(frame.energy_j[[0, 1, 2, 5]])) == 1
    assert frame.energy_j[3] > frame.energy_j[0]
    assert frame.energy_j[4] > frame.energy_j[0]
    assert frame.ttft_s.between(0, frame.e2e_s).all()
    assert frame.arrival_s.tolist() == pytest.approx([0, 1, 50, 50.1, 50.2, 51])


def test_requests_that_are_divided_some_at_a_time_have_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = jc.estimate(a_log(tmp_path / "log.csv"))
    at_once = estimate.to_frame("requests")
    monkeypatch.setattr(served, "PIECE", 7)
    by_seven = estimate.to_frame("requests")
    assert by_seven.request.tolist() == list(range(1, 401))
    assert by_seven.energy_j.to_numpy() == pytest.approx(at_once.energy_j.to_numpy(), rel=1e-12)


def test_drawn_workloads_are_divided_too_but_not_into_requests() -> None:
    for how in SERVINGS:
        estimate = jc.estimate("azure-2023-code", **how)
        assert parts_of(estimate) == pytest.approx(estimate.energy_j, rel=1e-12)
        with pytest.raises(InputError, match="are not known one by one; give the file"):
            estimate.to_frame("requests")


def test_static_batches_read_no_cache_and_the_paper_divides_nothing(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log.csv")
    estimate = jc.estimate(log, engine="pytorch", serving="offline")
    assert parts_of(estimate) == pytest.approx(estimate.energy_j, rel=1e-12)
    assert estimate.attribution.shares["cached"].tokens == 0
    frame = estimate.to_frame("requests")
    assert frame.energy_j.sum() == pytest.approx(estimate.energy_j, rel=1e-9)
    binned = jc.estimate(log, TABLE, "binned")
    assert binned.to_dict()["attribution"] is None
    with pytest.raises(InputError, match="take method stepwise"):
        binned.to_frame("requests")


def test_more_load_makes_outputs_cheaper_and_inputs_hardly(tmp_path: Path) -> None:
    requests = jc.equal_requests(500, 500, 100)
    slow, fast = (jc.estimate(requests, rate=rate).attribution for rate in (0.5, 20.0))
    assert slow.shares["output"].j_per_token > 5 * fast.shares["output"].j_per_token
    rates = [each.shares["input"].j_per_token for each in (slow, fast)]
    assert rates[0] == pytest.approx(rates[1], rel=0.3)
    assert slow.idle_j > fast.idle_j
    assert slow.idle.interval_w[0] < slow.idle.power_w < slow.idle.interval_w[1]


def test_requests_without_room_have_no_part(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("input_tokens,output_tokens\n100,20\n200000,20\n0,1\n300,40\n")
    estimate = jc.estimate(log)
    assert estimate.requests["beyond_positions"] == 1
    frame = estimate.to_frame("requests")
    assert frame.input_tokens.tolist() == [100, 0, 300]
    assert frame.energy_j.sum() == pytest.approx(estimate.energy_j, rel=1e-9)
