"""What a plan will take: seconds and joules of runs that were not made yet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import MAX_BATCH_SIZE, EngineVariant
from joulecast.measurements.engines.decoding import Speculation
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
_ROUND_SECONDS = 0.04
"""What a host takes at least to launch a draft's passes and the step that verifies them: as the
shipped windows of one and eight requests have it (five acceptances, 40 to 80 ms), looked at when
this was chosen."""


@dataclass(frozen=True)
class Rounds:
    """How requests decode with a draft: in rounds, each of which gives some of their tokens.

    Attributes:
        speculation: The draft, and how much of it is accepted.
        size: Active parameters of the draft, over those of the model.
    """

    speculation: Speculation
    size: float

    def count(self, spec: RunSpec) -> float:
        """Rounds of a request."""
        return spec.output_tokens / self.speculation.tokens_per_step

    def terms(self, spec: RunSpec) -> FloatArray:
        """The law's four terms for one batch, those of the draft by its size, shape (4,).

        Both models are fed all prompts, and for each round every token that is proposed, accepted
        or not; the model reads its cache once a round, the draft for each token.
        """
        steps, _, context, pairs = batch_terms(spec)
        passes = 1 + self.speculation.lookahead * self.size
        fed = (1 + self.size) * spec.input_tokens + self.count(spec) * (
            self.speculation.lookahead + passes
        )
        saved = self.speculation.tokens_per_step
        return np.array(
            [
                steps * passes / saved,
                spec.batch_size * fed,
                context * passes / saved,
                (1 + self.size) * pairs,
            ]
        )


@dataclass(frozen=True)
class CostModel:
    """Time and energy of a batch, as sums of the law's terms.

    Attributes:
        seconds_law: Coefficients of the terms of `request_terms` for time [s].
        energy_law: The same for energy [J].
        source: Where they come from, in words.
        rounds: Of a draft; None without one.
    """

    seconds_law: FloatArray
    energy_law: FloatArray
    source: str
    rounds: Rounds | None = None

    def batch_seconds(self, spec: RunSpec) -> float:
        """Time of one batch [s]."""
        if self.rounds is None:
            return float(batch_terms(spec) @ self.seconds_law)
        on_gpu = float(self.rounds.terms(spec) @ self.seconds_law)
        return max(on_gpu, self.rounds.count(spec) * _ROUND_SECONDS)

    def batch_energy_j(self, spec: RunSpec) -> float:
        """Energy of one batch [J]."""
        terms = batch_terms(spec) if self.rounds is None else self.rounds.terms(spec)
        return float(terms @ self.energy_law)

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

    Every beam costs as a request does.

    Args:
        cost: Of greedy decoding without a draft.
        model: A shipped model, or where a config is.
        variant: How tokens are chosen.
    """
    if variant.is_plain:
        return cost
    if (speculation := variant.speculation) is not None:
        draft, own = (load_shape(name).active_parameters for name in (speculation.draft, model))
        rounds = Rounds(speculation, draft / own)
        return replace(cost, source=f"{cost.source}, in rounds of a draft", rounds=rounds)
    factor = float(variant.decoding.beam_width)
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
