"""What steps take of a model, by its shape."""

from dataclasses import replace

import numpy as np
import pytest

from joulecast.estimator.flops import law_of_sizes
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.work import Steps
from joulecast.estimator.unit_prices.work import TERMS, pieces, step_work
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


def work(
    shape: ModelShape, dtype: str = "bfloat16", quantization: str | None = None, gpus: int = 1
) -> dict:
    total = step_work(STEPS, shape, dtype, quantization, gpus).total
    return {term: amount for term, amount in zip(TERMS, total, strict=True) if amount}


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
        "layer_tokens": 32 * 1003,
        "outputs": 4,
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
    assert fp8["quantized_flops"] == plain["linear_flops"]
    same = plain.keys() - {"weight_bytes", "linear_flops"}
    assert {term: fp8[term] for term in same} == {term: plain[term] for term in same}
    int4 = work(load_shape("llama-3.1-8b"), "bfloat16", "int4")
    assert int4["linear_flops"] == plain["linear_flops"]
    read = (int4["weight_bytes"] - head_bytes) / (plain["weight_bytes"] - head_bytes)
    assert read == pytest.approx((0.5 + 2 / 128) / 2)


def test_a_mixture_reads_the_experts_that_tokens_touch() -> None:
    shape = load_shape("olmoe-1b-7b")
    read = work(shape)["weight_bytes"] / 2
    one, all_of_them = float(shape.parameters_read(1)), float(shape.parameters_read(1000))
    assert read == pytest.approx(3 * one + all_of_them)
    flops = work(shape)["linear_flops"] + work(shape)["expert_flops"]
    assert flops == 2 * shape.active_parameters * 1003
    assert work(shape)["experts_read"] == pytest.approx(16 * (3 * 8 + 64))


def test_a_graph_reads_the_experts_of_its_padding() -> None:
    """Five requests in a graph of eight take a mixture what eight do, but for caches and heads."""
    shape, rules = load_shape("olmoe-1b-7b"), ContinuousBatching(512, 64, 1000, 16)

    def decoded(requests: int, graph_tokens: int = 512) -> dict[str, float]:
        scheduled = replace(rules, graph_tokens=graph_tokens).schedule(
            np.array([[40, 2]] * requests)
        )
        amounts = step_work(scheduled, shape, "bfloat16").amounts[:, -1]
        return dict(zip(TERMS, amounts.tolist(), strict=True))

    five, eight, eager = decoded(5), decoded(8), decoded(5, graph_tokens=0)
    (layer,) = shape.kinds
    assert five["experts_read"] == pytest.approx(16 * float(layer.experts_touched(8)))
    assert eager["experts_read"] == pytest.approx(16 * float(layer.experts_touched(5)))
    assert eager["weight_bytes"] == 2 * float(shape.parameters_read(5))
    asked = ("cache_bytes", "attention_flops", "head_flops", "outputs")
    for term, amount in five.items():
        assert amount == pytest.approx((eager if term in asked else eight)[term]), term
    assert five["linear_flops"] == pytest.approx(8 / 5 * eager["linear_flops"])


def test_gpus_that_share_a_model_send_each_other_what_layers_give_out() -> None:
    shape = load_shape("llama-3.1-8b")
    alone, two, four = (work(shape, gpus=gpus) for gpus in (1, 2, 4))
    assert "link_bytes" not in alone
    assert two["link_bytes"] == 2 * 32 * 2 * 4096 * 2 * 1003
    assert four["link_bytes"] == 2 * two["link_bytes"]  # as long, on each GPU
    assert four["link_calls"].tolist() == two["link_calls"].tolist()
    assert two["link_calls"] == 4 * 2 * 32 * 2
    assert {term: two[term] for term in alone} == alone
    latent = load_shape("deepseek-v2-lite")  # whose one latent every GPU keeps
    assert work(latent, gpus=4)["cache_bytes"] == 4 * work(latent)["cache_bytes"]


def test_heads_wider_than_128_read_a_cache_of_their_own() -> None:
    gemma, llama = work(load_shape("gemma-2-9b")), work(load_shape("llama-3.1-8b"))
    assert gemma["wide_cache_bytes"] == gemma["cache_bytes"]
    assert "wide_cache_bytes" not in llama


def test_pieces_are_the_whole() -> None:
    shape = load_shape("olmoe-1b-7b")
    parts = [step_work(piece, shape, "bfloat16").total for piece in pieces(STEPS, most=3)]
    assert len(parts) == 2
    assert sum(parts) == pytest.approx(step_work(STEPS, shape, "bfloat16").total)
    padded = replace(STEPS, padding=np.array([8.0, 0, 3, 7]))
    parts = [step_work(piece, shape, "bfloat16").total for piece in pieces(padded, most=3)]
    assert sum(parts) == pytest.approx(step_work(padded, shape, "bfloat16").total)
    layer_tokens = TERMS.index("layer_tokens")
    assert sum(parts)[layer_tokens] == 16 * (1003 + 18)


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
