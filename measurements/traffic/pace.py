"""How fast a model is on an engine, roughly: what the rates of made-up traffic go by."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joulecast.measurements.engines import Engine, EngineVariant
from joulecast.measurements.hardware import Gpu
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE, ModelShape

LARGE_BATCH = 128
"""Requests of a batch beyond which more of them hardly share a step's fixed cost any further."""

_EFFICIENCY = 0.5
_ALONE = 16, 48
_PROMPTS = 2048, 1, 8


@dataclass(frozen=True)
class Pace:
    """What a step and what is in it take, were they to add up.

    Attributes:
        step_seconds: Of a step with one request that decodes [s].
        token_seconds: Of a token fed [s].
        context_seconds: Of a cached token read [s].
        pair_seconds: Of a prompt query-key pair [s].
    """

    step_seconds: float
    token_seconds: float
    context_seconds: float
    pair_seconds: float

    def request_seconds(self, input_tokens: int, output_tokens: int, batch_size: float) -> float:
        """What a request takes of the GPU's time, where so many share every step [s]."""
        fed = input_tokens + output_tokens - 1
        pairs = input_tokens * input_tokens / 2
        context = (output_tokens - 1) * (input_tokens + output_tokens / 2)
        return (
            output_tokens * self.step_seconds / batch_size
            + fed * self.token_seconds
            + context * self.context_seconds
            + pairs * self.pair_seconds
        )

    def mean_seconds(
        self, lengths: Sequence[tuple[int, int]], cache_tokens: int, most_running: int
    ) -> float:
        """Mean of `request_seconds` over (i, o) pairs, in batches as large as the engine allows."""
        mean_held = sum(i + o / 2 for i, o in lengths) / len(lengths)
        batch_size = max(1.0, min(LARGE_BATCH, most_running, 0.8 * cache_tokens / mean_held))
        return sum(self.request_seconds(i, o, batch_size) for i, o in lengths) / len(lengths)


def rough_pace(shape: ModelShape, gpu: Gpu, dtype: str, variant: EngineVariant) -> Pace:
    """By the data sheet: memory and arithmetic at half of their peaks, before anything has run.

    Args:
        shape: Sizes of the model.
        gpu: Data sheet.
        dtype: Number format of activations and KV cache.
        variant: How many GPUs share the work, and how weights are quantized.

    Raises:
        InputError: The data sheet knows no peak of such arithmetic.
    """
    bytes_per_s = _EFFICIENCY * gpu.memory_bytes_per_s * variant.gpus
    flops_per_s = _EFFICIENCY * gpu.peak(dtype) * variant.gpus
    compute = COMPUTE_DTYPE.get(variant.quantization, dtype)
    linear_flops_per_s = _EFFICIENCY * gpu.peak(compute) * variant.gpus
    return Pace(
        step_seconds=shape.weight_bytes_read(1, dtype, variant.quantization) / bytes_per_s,
        token_seconds=2.0 * shape.active_parameters / linear_flops_per_s,
        context_seconds=shape.kv_bytes_per_token(dtype) / bytes_per_s,
        pair_seconds=4.0 * shape.pair_width / flops_per_s,
    )


def measured_pace(engine: Engine, rough: Pace, clock: Callable[[], float] = time.monotonic) -> Pace:
    """The same once the engine is warm: a request alone and a few long prompts tell step and token.

    Args:
        engine: Loaded and warm.
        rough: Tells what these two do not.
        clock: Monotonic time [s].
    """
    inputs, outputs = _ALONE
    step_seconds = _fastest(engine, (inputs, outputs, 1), clock) / outputs
    inputs, outputs, requests = _PROMPTS
    pairs = requests * inputs * inputs / 2
    whole_seconds = _fastest(engine, _PROMPTS, clock)
    each_seconds = (whole_seconds - pairs * rough.pair_seconds) / (requests * inputs)
    return Pace(
        step_seconds,
        max(each_seconds, rough.token_seconds / 4),
        rough.context_seconds,
        rough.pair_seconds,
    )


def _fastest(engine: Engine, batch: tuple[int, int, int], clock: Callable[[], float]) -> float:
    """Least time of three runs of a batch (I, O, requests) [s]; the first ones may compile."""
    run = engine.prepare(*batch)
    seconds = []
    for _ in range(3):
        began = clock()
        run()
        seconds.append(clock() - began)
    return min(seconds)
