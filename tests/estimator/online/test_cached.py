"""Prompts whose prefix is cached: read, not computed."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import joulecast as jc
from joulecast.estimator.estimate import Estimate
from joulecast.estimator.online.online import Plan, Server, estimate_online
from joulecast.estimator.online.wish import server_of
from joulecast.estimator.steps.continuous_batching import graph_padding
from joulecast.estimator.steps.work import CachedSums, StepCounts
from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.unit_prices.model import scaling_on
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.requests import TimedRequests
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

VLLM, PYTORCH = "h100-sxm/llama-3.1-8b/vllm", "h100-sxm/llama-3.1-8b/pytorch"
LONG, KEPT, OUTPUT = 10_000, 9_900, 100


@cache
def model_of(name: str) -> StepModel:
    """The step model of a shipped table, or one of prices that are scaled to another model."""
    if name == "scaled":
        whole = Workload.of_lengths(POWER_OF_TWO_GRID, np.array([[1000, 100]]))
        return scaling_on("h100-sxm", "vllm", "gemma-2-9b").step_model(whole)
    return StepModel.of(load_table(name))


def estimate_of(
    name: str, requests: list[tuple[int, int]], cached: list[int] | None = None
) -> Estimate:
    lengths = np.array(requests)
    tokens = None if cached is None else np.array(cached)
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths, tokens)
    return model_of(name).estimate(workload, "x", lengths, cached=tokens)


def online_of(
    requests: list[tuple[int, int]], cached: list[int] | None = None, gap_s: float = 0.5
) -> Estimate:
    lengths = np.array(requests)
    tokens = None if cached is None else np.array(cached)
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths, tokens)
    timed = TimedRequests.in_order(gap_s * np.arange(len(lengths)), lengths, tokens)
    return estimate_online(server(), workload, timed, "x", Plan(), lengths, cached=tokens)


@cache
def server() -> Server:
    return server_of(load_table(VLLM), model_of(VLLM))


def test_one_request_by_hand() -> None:
    """100 of 10,000 prompt tokens are computed, and attend to all; decoding is as without."""
    model = model_of(VLLM)
    prices = model.law.prices
    lengths, cached = np.array([[LONG, OUTPUT]]), np.array([KEPT])
    work = StepCounts(
        steps=OUTPUT,
        tokens=(LONG - KEPT) + OUTPUT - 1,
        context=KEPT + sum(LONG + k for k in range(1, OUTPUT)),
        pairs=(LONG**2 - KEPT**2) / 2,
        outputs=OUTPUT,
        requests=1,
    )
    assert model.scheduler.schedule(lengths, cached=cached).counts == work
    estimate = estimate_of(VLLM, [(LONG, OUTPUT)], [KEPT])
    padded = replace(work, tokens=work.tokens + 4)  # the 100 by a graph of 104
    assert estimate.energy_j == pytest.approx(prices.total_j(padded), rel=1e-9)
    assert estimate.cached_tokens == KEPT
    assert estimate.uncached_j == estimate_of(VLLM, [(LONG, OUTPUT)]).energy_j
    per_token, per_read, per_pair = prices.energy_j[1:4]
    saved_j = (KEPT - 4) * per_token + KEPT**2 / 2 * per_pair - KEPT * per_read
    assert estimate.uncached_j - estimate.energy_j == pytest.approx(saved_j, rel=1e-9)
    flops = model.roofline.flops
    must = flops.forward(LONG - KEPT, KEPT) + sum(
        flops.forward(1, LONG + k) for k in range(OUTPUT - 1)
    )
    dense_j = model.gpu.tdp_w / model.gpu.peak("bfloat16") * must
    assert estimate.ideal_j["dense"] == pytest.approx(dense_j, rel=1e-9)


@pytest.mark.parametrize("name", [VLLM, "scaled"])
def test_all_but_the_last_token_cached_costs_far_less(name: str) -> None:
    """The last token of a prompt is computed, whatever the cache holds."""
    computed, all_but_one, everything = (
        estimate_of(name, [(LONG // 2, 1)], [c]) for c in (0, LONG // 2 - 1, LONG // 2)
    )
    assert everything.energy_j == all_but_one.energy_j
    assert all_but_one.energy_j < 0.1 * computed.energy_j
    assert all_but_one.ideal_j["roofline"] < 0.1 * computed.ideal_j["roofline"]


@pytest.mark.parametrize("name", [VLLM, "scaled"])
@settings(max_examples=25)
@given(
    i=st.integers(2, 7000),
    o=st.integers(1, 300),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    n=st.integers(1, 40),
)
def test_more_cached_never_costs_more(
    name: str, i: int, o: int, shares: tuple[float, float], n: int
) -> None:
    less, more = (
        estimate_of(name, [(i, o)] * n, [int(share * i)] * n).energy_j for share in sorted(shares)
    )
    assert more <= less * (1 + 1e-9)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 200)), min_size=1, max_size=20))
def test_nothing_cached_is_as_before_to_the_last_digit(requests: list[tuple[int, int]]) -> None:
    nothing = [0] * len(requests)
    for name in (VLLM, "scaled"):
        before, after = estimate_of(name, requests), estimate_of(name, requests, nothing)
        document = after.to_dict()
        assert document.pop("cached")["saved_j"] == 0
        assert document == before.to_dict()
    document = online_of(requests, nothing).to_dict()
    assert document.pop("cached")["saved_j"] == 0
    assert document == online_of(requests).to_dict()


def test_online_prompts_are_read_and_their_first_token_comes_sooner() -> None:
    requests = [(4000 + 10 * k, 50) for k in range(40)]
    cached = [i - 60 for i, _ in requests]
    with_cache, without = online_of(requests, cached), online_of(requests)
    assert with_cache.uncached_j == without.energy_j
    assert with_cache.energy_j < without.energy_j
    assert with_cache.serving is not None
    assert without.serving is not None
    first, later = (each.serving.latencies["ttft"] for each in (with_cache, without))
    assert first.p50 < 0.25 * later.p50
    assert with_cache.serving.offline_j < without.serving.offline_j
    slices = with_cache.serving.timeline.energy_j
    assert slices.sum() == pytest.approx(with_cache.energy_j, rel=1e-9)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded"])
def test_replicas_read_what_is_cached_for_their_requests(router: str) -> None:
    lengths = np.array([[2000, 20]] * 30)
    cached = np.arange(30) * 60
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths, cached)
    timed = TimedRequests.in_order(np.arange(30) / 3, lengths, cached)
    plan = Plan(replicas=3, router=router)
    made = estimate_online(server(), workload, timed, "x", plan, lengths, cached=cached)
    fed = StepCounts.of_lengths(lengths, cached).tokens
    fed += graph_padding(2000.0 - cached, 512).sum()  # each alone in its steps
    per_token = model_of(VLLM).law.prices.energy_j[1]
    assert made.parts_j["tokens"] == pytest.approx(per_token * fed, rel=1e-9)


def test_a_workload_stands_for_its_requests() -> None:
    """By the share of each cell; the sums of what is drawn are those of the cells."""
    generator = np.random.default_rng(5)
    lengths = generator.integers((200, 20), (6000, 400), (3000, 2))
    cached = (0.8 * lengths[:, 0]).astype(int)
    workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths, cached)
    known = model_of(VLLM).estimate(workload, "x", lengths, cached=cached)
    drawn = model_of(VLLM).estimate(workload, "x")
    assert drawn.cached_tokens == known.cached_tokens == cached.sum()
    assert drawn.energy_j == pytest.approx(known.energy_j, rel=0.005)
    assert drawn.uncached_j == pytest.approx(known.uncached_j, rel=0.005)
    assert drawn.ideal_j["dense"] == pytest.approx(known.ideal_j["dense"], rel=0.005)
    assert model_of(VLLM).estimate(workload, "x", lengths).energy_j == pytest.approx(
        known.energy_j, rel=0.001
    )
    sums, told = CachedSums.of_cells(workload), CachedSums.of_lengths(lengths, cached)
    assert np.array(sums) == pytest.approx(np.array(told), rel=0.01)


def test_static_batches_and_the_binned_method_compute_them(run_cli: RunCli, tmp_path: Path) -> None:
    requests = [(2000, 64)] * 50
    lengths, cached = np.array(requests), np.full(50, 1500)
    path = tmp_path / "w.json"
    Workload.of_lengths(POWER_OF_TWO_GRID, lengths, cached).save(path)
    static = estimate_of(PYTORCH, requests, [1500] * 50)
    assert static.energy_j == static.uncached_j == estimate_of(PYTORCH, requests).energy_j
    told = run_cli("estimate", path, "--table", PYTORCH).stdout
    assert "which plain PyTorch does not have: they are computed" in " ".join(told.split())
    told = run_cli("estimate", path, "--table", VLLM, "--method", "binned").stdout
    assert "of which the binned method knows nothing" in " ".join(told.split())
    binned = jc.estimate(path, VLLM, "binned").to_dict()["cached"]
    assert (binned["tokens"], binned["is_read"], binned["saved_j"]) == (75_000, False, 0)


def test_the_saving_is_shown(run_cli: RunCli, tmp_path: Path) -> None:
    path, page = tmp_path / "w.json", tmp_path / "page.html"
    lengths, cached = np.array([[LONG, OUTPUT]]), np.array([KEPT])
    Workload.of_lengths(POWER_OF_TWO_GRID, lengths, cached).save(path)
    shown = run_cli("estimate", path, "--table", VLLM, "--html", page)
    text = " ".join(shown.stdout.split())
    assert "9,900 of 10,000 input tokens (99.0 %); were none, it would take 512.1 J" in text
    assert "No server with such a cache was metered" in text
    assert "saved by cached prompts" in page.read_text()
    assert "No server with such a cache was metered" in page.read_text()
    document = json.loads(run_cli("estimate", path, "--table", VLLM, "--format", "json").stdout)
    told = document["cached"]
    assert told["tokens"] == KEPT
    assert told["share_of_input"] == 0.99
    assert told["saved_j"] == pytest.approx(told["uncached_j"] - document["energy_j"])
    compared = run_cli("compare", path, "--table", VLLM, "--table", PYTORCH)
    text = " ".join(compared.stdout.split())
    assert "they are read and not computed" in text
    assert "which plain PyTorch does not have" in text


def test_requests_beyond_the_model_take_their_cached_tokens_along() -> None:
    requests, cached = [(140_000, 10), (500, 10)], [100_000, 200]
    estimate = estimate_of(VLLM, requests, cached)
    assert estimate.requests["estimated"] == 1
    assert estimate.cached_tokens == 200
