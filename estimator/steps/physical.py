"""The physical work of an engine's steps: what prices could carry from model to model by.

A step's price knows one model. The same steps of another model read other weights and caches and
multiply other matrices; how much, its shape says. docs/stepwise.md has how far that carries.
"""

import numpy as np

from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.shapes.shape import DTYPE_BYTES, ModelShape

PHYSICAL_TERMS = (
    "weight_bytes",
    "linear_flops",
    "cache_bytes",
    "attention_flops",
    "head_flops",
    "layer_steps",
    "layer_tokens",
    "outputs",
    "requests",
)
"""Weights read; FLOPs of the layers' linear parts; bytes of the KV cache read while decoding; FLOPs
of prompts' attention; FLOPs of the output head; layers launched; layers that tokens pass, for what
a token takes there besides products (activations, norms); tokens sampled; requests taken in."""


def physical_work(
    steps: Steps, shape: ModelShape, dtype: str, quantization: str | None = None
) -> FloatArray:
    """What so many steps of a model take, in the order of `PHYSICAL_TERMS`, shape (9,).

    A layer with a window reads no more of a request's cache than that, taking the requests of a
    step to be equally long.

    Args:
        steps: What each step feeds.
        shape: Of the model.
        dtype: Number format of activations and KV cache.
        quantization: Of the weights; None for the model's own format.
    """
    tokens = steps.decoding + steps.prompt_tokens
    cached_values = multiplications = 0.0
    for layer, count in shape.kinds.items():
        context, pairs = steps.context, steps.pairs
        if layer.window is not None:
            context = np.minimum(context, layer.window * steps.decoding)
            pairs = np.minimum(pairs, layer.window * steps.prompt_tokens)
        cached_values += count * layer.cache_width * float(context.sum())
        multiplications += count * (layer.score_width + layer.value_width) * float(pairs.sum())
    counts, layers = steps.counts, len(shape.layers)
    return np.array(
        [
            float(np.sum(shape.weight_bytes_read(tokens, dtype, quantization))),
            2.0 * shape.active_parameters * counts.tokens,
            cached_values * DTYPE_BYTES[dtype],
            2.0 * multiplications,
            2.0 * shape.head_parameters * counts.outputs,
            layers * counts.steps,
            layers * counts.tokens,
            counts.outputs,
            counts.requests,
        ]
    )
