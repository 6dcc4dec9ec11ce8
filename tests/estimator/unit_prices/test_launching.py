"""Which steps are recorded graphs, and how long the host takes to launch the others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.host_pace import PIECES_S
from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.in_time import (
    FULL_CLOCK,
    MOST_CREDIT_S,
    THREAD_SHARE,
    UNEVEN,
    UNEVEN_CACHES,
    step_times,
)
from joulecast.estimator.unit_prices.pace import EXPERT_LAUNCH_S, LAUNCH_S
from joulecast.estimator.unit_prices.shipped import load_unit_prices
from joulecast.estimator.unit_prices.sources import steps_of_log
from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.table.table import load_table

SETTINGS = load_table("h200-sxm/llama-3.1-8b/vllm").metadata["engine_settings"]
DECODING = np.array([0, 5, 17, 100, 300])
PROMPT = np.array([40, 0, 0, 200, 0])


def log() -> StepLog:
    """Steps of 40, 5, 17, 300 and 300 tokens."""
    steps = len(DECODING)
    times = np.arange(4.0 * steps).reshape(4, steps)
    counts: Any = np.zeros(steps, dtype=np.int64)
    columns = [DECODING, PROMPT, 100 * DECODING, 20.0 * PROMPT, DECODING + (PROMPT > 0)]
    return StepLog({}, *times, *columns, *[counts] * 5)


@pytest.mark.parametrize(
    ("settings", "padding", "is_launched", "is_pieced"),
    [
        ({}, [0, 3, 7, 4, 4], [False] * 5, [True, False, False, True, False]),
        (
            {"max_cudagraph_capture_size": 256},
            [0, 3, 7, 0, 0],
            [False, False, False, True, True],
            [True] + [False] * 4,
        ),
        ({"eager": True}, [0] * 5, [True] * 5, [False] * 5),
    ],
)
def test_a_log_has_the_graphs_of_its_settings(
    settings: dict[str, Any], padding: list[int], is_launched: list[bool], is_pieced: list[bool]
) -> None:
    steps = steps_of_log(log(), np.ones(5, dtype=bool), {**SETTINGS, **settings})
    assert steps.padded.tolist() == padding
    assert steps.is_launched.tolist() == is_launched
    assert steps.is_pieced.tolist() == is_pieced
    assert not replace(steps, padding=None).is_pieced.any()  # an engine that records no graphs
    some = steps_of_log(log(), np.array([False, True, False, False, True]), SETTINGS)
    assert (some.decoding.tolist(), some.padded.tolist()) == ([5, 300], [3, 4])


def test_few_requests_are_launched_no_slower_than_logs_show() -> None:
    pace = load_unit_prices("h200-sxm", "vllm").pace
    slow = replace(pace, host_layer=2e-3, host_expert_layer=3e-3)
    few = slow.with_few_requests
    assert (few.host_layer, few.host_expert_layer) == (LAUNCH_S, EXPERT_LAUNCH_S)
    kept = replace(few, host_layer=slow.host_layer, host_expert_layer=slow.host_expert_layer)
    assert kept == slow
    fast = replace(pace, host_layer=2e-4, host_expert_layer=1e-3)
    assert fast.with_few_requests == fast


def test_graphs_that_feed_prompts_are_launched_in_pieces() -> None:
    """A layer with experts as any other; an engine without graphs launches all steps alike."""
    prices, gpu = load_unit_prices("h200-sxm", "vllm"), load_gpu("h200-sxm")
    steps = steps_of_log(log(), np.ones(5, dtype=bool), SETTINGS)
    for model, layers in (("llama-3.1-8b", 32), ("qwen3-30b-a3b", 48)):
        work = Deployment.of(model, gpu).work_of(steps)
        launch_s = np.array([1, 0, 0, 1, 0]) * layers * PIECES_S
        assert prices.pace.launch_seconds(work, is_eager=False) == pytest.approx(launch_s)
        launch = prices.pace.launch_seconds(work, is_eager=True)
        assert launch == pytest.approx(layers * prices.pace.eager_layer)
        seconds = prices.pace.step_seconds(work, np.zeros(5), 100.0)
        whole = replace(work, is_pieced=np.zeros(5, dtype=bool))
        computing = prices.pace.step_seconds(whole, np.zeros(5), 100.0)
        assert seconds == pytest.approx(np.maximum(computing, launch_s))
        assert (seconds[0] > computing[0]) == (model == "llama-3.1-8b")  # else experts are read


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b", "qwen1.5-moe-a2.7b"])
@pytest.mark.parametrize("gpu", ["h100-sxm", "h200-sxm"])
def test_a_thousand_requests_are_launched_in_the_lists_time(gpu: str, model: str) -> None:
    prices, deployment = load_unit_prices(gpu, "vllm"), Deployment.of(model, load_gpu(gpu))
    times = step_times(prices, deployment, token_budget=2048, graph_tokens=512)
    launch = np.asarray(times.launch)
    assert not launch[:513].any()
    pace, shape = prices.pace, deployment.shape
    experts = sum(count for layer, count in shape.kinds.items() if layer.experts)
    dense = len(shape.layers) - experts
    of_list = pace.host_layer * dense + pace.host_expert_layer * experts
    few = pace.with_few_requests
    assert launch[513:] == pytest.approx(few.host_layer * dense + few.host_expert_layer * experts)
    assert times.pieces == pytest.approx(PIECES_S * len(shape.layers))
    assert times.launch_output >= 0
    assert launch[513:] + MAX_BATCH_SIZE * times.launch_output == pytest.approx(of_list)


def test_eager_steps_are_launched_alike_for_few_and_many() -> None:
    prices = load_unit_prices("h200-sxm", "vllm")
    plain = Deployment.of("llama-3.1-8b", load_gpu("h200-sxm"))
    deployment = replace(plain, is_eager=True)
    scheduler = ContinuousBatching(2048, 64, 1000, 16, graph_tokens=0)
    times = step_times(prices, deployment, scheduler.token_budget, scheduler.graph_tokens)
    assert times.launch_output == times.pieces == 0
    assert times.launch[1] == pytest.approx(32 * prices.pace.eager_layer)
    assert times.thread_share == 1
    assert step_times(prices, plain, 2048, 512).thread_share == THREAD_SHARE


def test_prompts_of_dense_models_in_sixteen_bits_run_at_full_clock() -> None:
    prices, gpu = load_unit_prices("h100-sxm", "vllm"), load_gpu("h100-sxm")
    kinds: list[dict[str, Any]] = [
        {"model": "llama-3.1-8b"},
        {"model": "llama-3.1-8b", "dtype": "fp8"},
        {"model": "olmoe-1b-7b"},
    ]
    for kind, share in zip(kinds, (FULL_CLOCK, 1.0, 1.0), strict=True):
        deployment = Deployment.of(kind.pop("model"), gpu, **kind)
        times = step_times(prices, deployment, token_budget=2048, graph_tokens=512)
        products = np.asarray(times.products)  # that of 512 tokens, a graph, has no padding
        assert products[2048] == pytest.approx(share * 4 * products[512])
        assert times.clock == share
        assert times.most_credit_s == (MOST_CREDIT_S if share < 1 else 0.0)


def test_caches_of_a_few_uneven_requests_take_longer() -> None:
    prices = load_unit_prices("h100-sxm", "vllm")
    deployment = Deployment.of("llama-3.1-8b", load_gpu("h100-sxm"))
    uneven = np.asarray(step_times(prices, deployment, 2048, 512).uneven)
    assert uneven[:2].tolist() == [1, 1]
    assert uneven[2:17] == pytest.approx(1 + UNEVEN)
    assert uneven[[32, 64, 1024]] == pytest.approx(1 + UNEVEN * np.array([1 / 2, 1 / 4, 1 / 64]))


def test_uneven_caches_count_by_their_heads_on_a_gpu() -> None:
    prices, gpu = load_unit_prices("h200-sxm", "vllm"), load_gpu("h200-sxm")
    heads = {("llama-2-7b", 1): 32, ("qwen2.5-7b", 1): 4, ("qwen1.5-32b", 4): 2}
    for (model, gpus), each in heads.items():
        deployment = Deployment.of(model, gpu, gpus=gpus)
        uneven = np.asarray(step_times(prices, deployment, 2048, 512).uneven)
        full = round(UNEVEN_CACHES / each)
        assert uneven[2 : full + 1] == pytest.approx(1 + UNEVEN)
        assert uneven[4 * full] == pytest.approx(1 + UNEVEN / 4)
