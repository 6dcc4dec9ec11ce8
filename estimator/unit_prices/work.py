"""The physical work of an engine's steps: what prices carry from model to model by.

A step's price knows one model. The same steps of another read other weights and caches and
multiply other matrices; how much, its shape says. docs/stepwise.md has how far that carries.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE, DTYPE_BYTES, ModelShape

TERMS = (
    "weight_bytes",
    "linear_flops",
    "quantized_flops",
    "expert_flops",
    "cache_bytes",
    "wide_cache_bytes",
    "attention_flops",
    "head_flops",
    "layer_tokens",
    "outputs",
    "experts_read",
    "link_bytes",
    "link_calls",
)
"""Weights read; FLOPs of dense linear layers in 16 bits, in 8 bits, and of routed experts;
bytes of the KV cache read while decoding, and those of heads wider than 128, which are read less
efficiently; FLOPs of prompts' attention; FLOPs of the output head;
layers that tokens pass, for what a token takes there besides products (activations, norms); tokens
sampled; routed experts that a step reads; what several GPUs send each other, and how often."""


WIDE_HEAD = 128

EXPERTS_IN_8_BITS = 0.65
"""What products of routed experts count for in 8 bits: as dense ones in 8 bits cost 0.65 of those
in 16. No mixture in 8 bits was metered."""


@dataclass(frozen=True)
class StepWork:
    """Work of some steps, of all GPUs together.

    Attributes:
        amounts: In the order of `TERMS`, shape (13, steps).
        layers: Layers of the model.
        expert_layers: Those that route tokens to experts.
        is_launched: Whether a step is launched kernel by kernel, shape (steps,).
        is_pieced: Whether it is a recorded graph that is launched in pieces, shape (steps,).
    """

    amounts: FloatArray
    layers: int
    expert_layers: int
    is_launched: npt.NDArray[np.bool_]
    is_pieced: npt.NDArray[np.bool_]

    def of(self, term: str) -> FloatArray:
        """One kind of work, shape (steps,)."""
        return np.asarray(self.amounts[TERMS.index(term)])

    @property
    def total(self) -> FloatArray:
        """Sums over the steps, shape (13,)."""
        return np.asarray(self.amounts.sum(axis=1))


def step_work(
    steps: Steps, shape: ModelShape, dtype: str, quantization: str | None = None, gpus: int = 1
) -> StepWork:
    """What each step of a model takes.

    A layer with a window reads no more of a request's cache than that, taking the requests of a
    step to be equally long. GPUs that share a model add up what each layer gives out twice. That
    takes each of them as long, however many they are, and waiting for each other takes four what
    it takes two: chosen after a look at both (docs/accuracy.md, "Four GPUs"). A recorded graph
    computes its padding as tokens, routed to experts, too; attention and the head leave it out.

    Args:
        steps: What each step feeds.
        shape: Of the model.
        dtype: Number format of activations and KV cache.
        quantization: Of the linear layers' weights; None for the model's own format.
        gpus: How many share the model.
    """
    tokens = steps.tokens_computed
    cached, wide, multiplications, experts_read = np.zeros((4, len(tokens)))
    for layer, count in shape.kinds.items():
        context, pairs = steps.context, steps.pairs
        if layer.window is not None:
            context = np.minimum(context, layer.window * steps.decoding)
            pairs = np.minimum(pairs, layer.window * steps.prompt_tokens)
        if steps.prefixes is not None:
            context = context + steps.prefixes.within(layer.window)
        cached += count * layer.cache_width * context
        if layer.score_width > WIDE_HEAD * shape.attention_heads:
            wide += count * layer.cache_width * context
        multiplications += count * (layer.score_width + layer.value_width) * pairs
        experts_read += count * layer.experts_touched(tokens)
    copies = shape.cache_copies(gpus)
    expert_flops = 2.0 * shape.expert_parameters * tokens
    dense_flops = 2.0 * shape.active_parameters * tokens - expert_flops
    is_8_bit = COMPUTE_DTYPE.get(quantization, dtype) == "float8"
    layers, sharing = len(shape.layers), gpus if gpus > 1 else 0
    sent_bytes = 2 * layers * sharing * shape.hidden_size * DTYPE_BYTES[dtype]
    amounts = {
        "weight_bytes": shape.weight_bytes_read(tokens, dtype, quantization),
        "linear_flops": 0 * tokens if is_8_bit else dense_flops,
        "quantized_flops": dense_flops if is_8_bit else 0 * tokens,
        "expert_flops": (EXPERTS_IN_8_BITS if is_8_bit else 1.0) * expert_flops,
        "cache_bytes": copies * cached * DTYPE_BYTES[dtype],
        "wide_cache_bytes": copies * wide * DTYPE_BYTES[dtype],
        "attention_flops": 2.0 * multiplications,
        "head_flops": 2.0 * shape.head_parameters * steps.sampled,
        "layer_tokens": layers * tokens,
        "outputs": steps.sampled,
        "experts_read": experts_read,
        "link_bytes": sent_bytes * tokens,
        "link_calls": np.full(len(tokens), 4.0 * layers if sharing else 0.0),
    }
    return StepWork(
        amounts=np.array([amounts[term] for term in TERMS], dtype=float),
        layers=layers,
        expert_layers=sum(n for layer, n in shape.kinds.items() if layer.experts),
        is_launched=steps.is_launched,
        is_pieced=steps.is_pieced,
    )


def pieces(steps: Steps, most: int = 500_000) -> list[Steps]:
    """The same steps in pieces, so that many of them take little memory at a time."""
    count = len(steps.decoding)
    if count <= most:
        return [steps]
    return [
        Steps(
            decoding=steps.decoding[part],
            prompt_tokens=steps.prompt_tokens[part],
            context=steps.context[part],
            pairs=steps.pairs[part],
            sampled=steps.sampled[part],
            is_launched=steps.is_launched[part],
            requests=steps.requests if part.start == 0 else 0,
            padding=None if steps.padding is None else steps.padding[part],
            repeats=None if steps.repeats is None else steps.repeats[part],
            seconds=None if steps.seconds is None else steps.seconds[part],
            prefixes=None if steps.prefixes is None else steps.prefixes.part(part),
        )
        for part in (slice(first, first + most) for first in range(0, count, most))
    ]
