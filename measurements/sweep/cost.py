"""What a plan will take: seconds and joules of runs that were not made yet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import MAX_BATCH_SIZE, EngineVariant
from joulecast.measurements.gpu.gates import MIN_WINDOW_S
from joulecast.measurements.hardware import Gpu
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE, ModelShape
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.measurements.table.interpolation import CellKey, fit_law, request_terms
from joulecast.measurements.table.runs import Run
from joulecast.traces.errors import InputError

OVERHEAD_SECONDS = 1.0
"""Between two windows: preparing prompts and waiting for ticks."""

_POWER_SHARE = 0.9
_EFFICIENCY = 0.6
_STEP_SECONDS = 0.004


@dataclass(frozen=True)
class CostModel:
    """Time and energy of a batch, as sums of the law's terms.

    Attributes:
        seconds_law: Coefficients of the terms of `request_terms` for time [s].
        energy_law: The same for energy [J].
        source: Where they come from, in words.
    """

    seconds_law: FloatArray
    energy_law: FloatArray
    source: str

    def batch_seconds(self, spec: RunSpec) -> float:
        """Time of one batch [s]."""
        return float(batch_terms(spec) @ self.seconds_law)

    def batch_energy_j(self, spec: RunSpec) -> float:
        """Energy of one batch [J]."""
        return float(batch_terms(spec) @ self.energy_law)

    def batches(self, spec: RunSpec, min_window_s: float = MIN_WINDOW_S) -> int:
        """Batches that fill a window."""
        return math.ceil(min_window_s / self.batch_seconds(spec))

    def window_seconds(self, spec: RunSpec, min_window_s: float = MIN_WINDOW_S) -> float:
        """Time of a run's window [s]."""
        return self.batches(spec, min_window_s) * self.batch_seconds(spec)

    def run_seconds(self, spec: RunSpec, min_window_s: float = MIN_WINDOW_S) -> float:
        """Time from one run to the next [s]."""
        return self.window_seconds(spec, min_window_s) + OVERHEAD_SECONDS

    def plan_energy_j(self, plan: Sequence[RunSpec]) -> float:
        """Energy of all windows [J]."""
        return sum(self.batches(spec) * self.batch_energy_j(spec) for spec in plan)


def batch_terms(spec: RunSpec) -> FloatArray:
    """The law's four terms for one batch, shape (4,)."""
    lengths, sizes = np.array([spec.cell], dtype=float), np.array([float(spec.batch_size)])
    return np.asarray(request_terms(lengths, sizes)[0] * spec.batch_size)


def cost_from_runs(runs: Sequence[Run], name: str) -> CostModel:
    """Fitted to the valid runs of a table of the same GPU and model."""
    valid = [run for run in runs if run.valid]
    lengths = np.array([run.cell for run in valid], dtype=float)
    sizes = np.array([float(run.batch_size) for run in valid])
    seconds = np.array([run.seconds / run.batches / run.batch_size for run in valid])
    energies = np.array([run.batch_energy_j / run.batch_size for run in valid])
    return CostModel(
        fit_law(lengths, sizes, seconds), fit_law(lengths, sizes, energies), f"table {name}"
    )


def rough_cost(shape: ModelShape, gpu: Gpu, dtype: str, variant: EngineVariant) -> CostModel:
    """A rule of thumb: arithmetic and memory traffic at 60 % of their peaks, at 90 % of TDP.

    Several GPUs share both evenly.

    Args:
        shape: Sizes of the model.
        gpu: Data sheet of one GPU.
        dtype: Number format of activations and KV cache.
        variant: How many GPUs there are, and how weights are quantized.
    """
    compute = COMPUTE_DTYPE.get(variant.quantization, dtype)
    flops_per_s = _EFFICIENCY * gpu.peak(compute) * variant.gpus
    bytes_per_s = _EFFICIENCY * gpu.memory_bytes_per_s * variant.gpus
    weights = shape.weight_bytes_read(1, dtype, variant.quantization)
    step = weights / bytes_per_s + _STEP_SECONDS
    token = 2 * shape.active_parameters / flops_per_s
    context = shape.kv_bytes_per_token(dtype) / bytes_per_s
    pair = 4 * shape.pair_width / flops_per_s
    seconds = np.array([step, token, context, pair])
    return CostModel(seconds, seconds * _POWER_SHARE * gpu.tdp_w * variant.gpus, "a rough rule")


def with_decoding(cost: CostModel, model: str, variant: EngineVariant) -> CostModel:
    """A cost of greedy decoding, stretched to that of beams or of a draft: roughly.

    Every beam costs as a request does. A verified step and its drafts cost as their weights do, and
    give several tokens.

    Args:
        cost: Of greedy decoding without a draft.
        model: A shipped model, or where a config is.
        variant: How tokens are chosen.
    """
    if variant.is_plain:
        return cost
    factor = float(variant.decoding.beam_width)
    if (speculation := variant.speculation) is not None:
        sizes = [load_shape(name).active_parameters for name in (speculation.draft, model)]
        factor = (1 + speculation.lookahead * sizes[0] / sizes[1]) / speculation.tokens_per_step
    return CostModel(
        cost.seconds_law * factor, cost.energy_law * factor, f"{cost.source}, times {factor:.2g}"
    )


def rough_capacity(
    shape: ModelShape,
    gpu: Gpu,
    dtype: str,
    variant: EngineVariant,
    cell: CellKey,
    request_bytes: float,
) -> int:
    """B(I, O) if 90 % of the memory held weights and requests and nothing else.

    Args:
        shape: Sizes of the model.
        gpu: Memory of one GPU.
        dtype: Number format of activations and KV cache.
        variant: How many GPUs there are, and how weights are quantized.
        cell: (I, O) [tokens], for the error.
        request_bytes: What one request of that cell takes [bytes].

    Raises:
        InputError: Not one request fits.
    """
    requests = _free_bytes(shape, gpu, dtype, variant) / request_bytes
    if requests < 1:
        cards = "one" if variant.gpus == 1 else str(variant.gpus)
        raise InputError(
            f"{shape.name} with a request of {cell[0]} + {cell[1]} tokens does not fit into the "
            f"{gpu.memory_bytes * variant.gpus / 1e9:.0f} GB of {cards} {gpu.product}"
        )
    return min(MAX_BATCH_SIZE, int(requests))


def rough_cache_tokens(shape: ModelShape, gpu: Gpu, dtype: str, variant: EngineVariant) -> int:
    """Tokens of a KV cache by the same rule; arguments likewise; 0 and less if not one fits."""
    return int(_free_bytes(shape, gpu, dtype, variant) / shape.kv_bytes_per_token(dtype))


def _free_bytes(shape: ModelShape, gpu: Gpu, dtype: str, variant: EngineVariant) -> float:
    """What weights leave of 90 % of the memory [bytes]."""
    weights = shape.weight_bytes(dtype, variant.quantization)
    return 0.9 * gpu.memory_bytes * variant.gpus - weights
