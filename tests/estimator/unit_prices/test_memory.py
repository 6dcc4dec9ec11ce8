"""What is left to the KV cache, and the engine's defaults, where nobody measured."""

from dataclasses import replace

import pytest

from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.memory import (
    bytes_per_token,
    cache_tokens,
    default_limits,
    does_not_fit_text,
    scheduler_for,
)
from joulecast.estimator.unit_prices.sources import deployment_of
from joulecast.measurements.hardware import load_gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import load_table, table_names
from joulecast.traces.errors import InputError


def vllm_tables() -> list[str]:
    return [
        name
        for name in table_names()
        if "/vllm" in name and load_table(name).metadata["measured_by"] != "hand"
    ]


@pytest.mark.parametrize("name", vllm_tables())
def test_the_cache_is_as_large_as_vllm_said(name: str) -> None:
    table = load_table(name)
    deployment = deployment_of(table.metadata, table.config)
    told = table.metadata["engine_settings"]["kv_cache_tokens"]
    if any(layer.window for layer in deployment.shape.kinds):
        told //= 2  # of a pool that layers with and without a window share
    assert cache_tokens(deployment) == pytest.approx(told, rel=0.05)


@pytest.mark.parametrize("name", vllm_tables())
def test_defaults_are_those_that_vllm_chose(name: str) -> None:
    table = load_table(name)
    settings = table.metadata["engine_settings"]
    deployment = replace(
        deployment_of(table.metadata, table.config), max_num_seqs=None, max_num_batched_tokens=None
    )
    limits = default_limits(deployment)
    asked = (settings["max_num_seqs"], settings["max_num_batched_tokens"])
    assert (limits.requests, limits.tokens) == asked


def test_smaller_cards_and_a100s_take_fewer_at_a_time() -> None:
    for gpu in ("l4", "a100-sxm4-80gb", "rtx-4090"):
        limits = default_limits(Deployment.of("llama-3.2-1b", load_gpu(gpu)))
        assert (limits.requests, limits.tokens) == (256, 8192)


def test_a_window_keeps_a_long_request_short() -> None:
    shape = load_shape("gemma-3-27b")
    short, long = (bytes_per_token(shape, "bfloat16", tokens) for tokens in (100, 100_000))
    assert short == shape.kv_bytes_per_token("bfloat16")
    assert long < 0.2 * short
    whole = load_shape("llama-3.1-8b")
    assert bytes_per_token(whole, "bfloat16", 100_000) == whole.kv_bytes_per_token("bfloat16")


def test_what_does_not_fit_says_how_many_would() -> None:
    large = Deployment.of("llama-3.1-70b", load_gpu("h100-sxm"))
    with pytest.raises(InputError, match=r"141 GB.*2 could: --gpus 2"):
        scheduler_for(large, 1000)
    assert scheduler_for(large.on(2), 1000).cache_blocks > 0
    huge = Deployment.of("deepseek-v3", load_gpu("l4"))
    assert "64 could" in does_not_fit_text(huge) or "nor can 64" in does_not_fit_text(huge)


def test_more_gpus_and_smaller_weights_leave_more() -> None:
    one = Deployment.of("qwen2.5-14b", load_gpu("a100-sxm4-80gb"))
    fp8 = Deployment.of("qwen2.5-14b", load_gpu("h100-sxm"), dtype="fp8")
    int4 = Deployment.of("qwen2.5-14b", load_gpu("h100-sxm"), dtype="int4")
    assert cache_tokens(one.on(2)) > 2 * cache_tokens(one)
    assert cache_tokens(int4) > cache_tokens(fp8) > 0
