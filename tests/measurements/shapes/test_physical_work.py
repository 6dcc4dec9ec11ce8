"""What steps take of a model, by its shape."""

import numpy as np
import pytest

from joulecast.estimator.flops import law_of_sizes
from joulecast.estimator.steps.physical import PHYSICAL_TERMS, physical_work
from joulecast.estimator.steps.work import Steps
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.architectures import shape_of
from joulecast.measurements.shapes.shape import ModelShape
from tests.measurements.shapes.test_architectures import MODELS

STEPS = Steps(  # a prompt of 1,000 tokens, then three steps that decode it
    decoding=np.array([0.0, 1, 1, 1]),
    prompt_tokens=np.array([1000.0, 0, 0, 0]),
    context=np.array([0.0, 1001, 1002, 1003]),
    pairs=np.array([500_000.0, 0, 0, 0]),
    sampled=np.array([1.0, 1, 1, 1]),
    is_launched=np.zeros(4, dtype=bool),
    requests=1,
)


def work(shape: ModelShape, dtype: str = "bfloat16", quantization: str | None = None) -> dict:
    return dict(zip(PHYSICAL_TERMS, physical_work(STEPS, shape, dtype, quantization), strict=True))


def test_of_a_dense_model() -> None:
    took = work(load_shape("llama-3.1-8b"))
    layers = 32 * (2 * 4096 * (4096 + 1024) + 3 * 4096 * 14_336)
    head = 128_256 * 4096
    assert took == {
        "weight_bytes": 4 * 2 * (layers + head),
        "linear_flops": 2 * layers * 1003,
        "cache_bytes": 32 * 2 * 8 * 128 * 2 * 3006,
        "attention_flops": 4 * 32 * 4096 * 500_000,
        "head_flops": 2 * head * 4,
        "layer_steps": 32 * 4,
        "layer_tokens": 32 * 1003,
        "outputs": 4,
        "requests": 1,
    }


def test_products_are_those_that_a_request_takes() -> None:
    """But for the causal half of attention, and that of what is decoded."""
    law, took = law_of_sizes("qwen1.5-32b"), work(load_shape("qwen1.5-32b"))
    assert took["linear_flops"] == law.per_token * 1003
    assert took["attention_flops"] == law.per_pair * 500_000
    assert took["head_flops"] == law.per_pass * 4


def test_weights_of_8_bits_are_half_of_what_is_read() -> None:
    plain, fp8 = (
        work(load_shape("llama-3.1-8b")),
        work(load_shape("llama-3.1-8b"), "bfloat16", "fp8"),
    )
    head_bytes = 4 * 2 * 128_256 * 4096
    assert fp8["weight_bytes"] - head_bytes == (plain["weight_bytes"] - head_bytes) / 2
    assert {k: v for k, v in fp8.items() if k != "weight_bytes"} == {
        k: v for k, v in plain.items() if k != "weight_bytes"
    }


def test_a_mixture_reads_the_experts_that_tokens_touch() -> None:
    shape = load_shape("olmoe-1b-7b")
    read = work(shape)["weight_bytes"] / 2
    one, all_of_them = float(shape.parameters_read(1)), float(shape.parameters_read(1000))
    assert read == pytest.approx(3 * one + all_of_them)
    assert work(shape)["linear_flops"] == 2 * shape.active_parameters * 1003


def test_windows_keep_reading_short() -> None:
    """Of four layers every second looks back 128 tokens."""
    config = MODELS["gpt-oss-20b"] | {"num_hidden_layers": 4}
    took, whole = (
        work(shape_of("w", config)),
        work(shape_of("w", config | {"sliding_window": None})),
    )
    assert took["cache_bytes"] == 2 * 2 * 8 * 64 * 2 * (3006 + 3 * 128)
    assert whole["cache_bytes"] == 2 * 2 * 8 * 64 * 2 * 2 * 3006
    assert took["attention_flops"] == 2 * 2 * 2 * 64 * 64 * (500_000 + 128 * 1000)
