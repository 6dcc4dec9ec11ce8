"""The energy if the chip did nothing but arithmetic, at its peak rate and rated power."""

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from joulecast.estimator.flops import FlopsModel, binned_flops, load_flops
from joulecast.estimator.steps.work import StepCounts, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.hardware import Gpu, Peak
from joulecast.measurements.models import load_shape
from joulecast.measurements.shapes.shape import COMPUTE_DTYPE, ModelShape
from joulecast.measurements.table.table import EnergyTable
from joulecast.traces.workload import Workload

PEAKS: tuple[Peak, ...] = get_args(Peak)
Ideal = Peak | Literal["roofline"]


def ideal_energy(
    workload: Workload, flops: FlopsModel, gpu: Gpu, dtype: str, peak: Peak = "dense"
) -> float:
    """Energy if every FLOP ran at the chip's peak rate and rated power.

    E_ideal = TDP / FLOPS_HW * sum over cells of N(I*, O*) * FLOPs(I*, O*)
    (Fernandez et al. 2025, section 4.1)

    n GPUs that share the FLOPs have n times the power and n times the rate: the same energy.

    Args:
        workload: Binned requests; those beyond the grid are left out.
        flops: FLOPs of one request as a function of its lengths.
        gpu: Data sheet of the chip.
        dtype: Number format of the arithmetic, such as "bfloat16"; of a table, its `compute_dtype`.
        peak: "dense" for what the chip can do, "sparse" for the paper's convention.

    Returns:
        Energy [J].

    Raises:
        InputError: The data sheet has no peak for that dtype.
    """
    return gpu.tdp_w / gpu.peak(dtype, peak) * binned_flops(workload, flops)


def implied_flops_per_s(ideal_j: float, real_j: float, peak_flops_per_s: float) -> float:
    """Rate at which a chip at rated power would compute, to spend what it spent.

    E_ideal / E = FLOPs / s over FLOPS_HW, so a figure x percent above the ideal implies
    FLOPS_HW / (1 + x / 100). A rate above the dense peak cannot be reached without sparse weights.

    Args:
        ideal_j: E_ideal [J].
        real_j: E [J].
        peak_flops_per_s: FLOPS_HW of that ideal [FLOP/s].

    Returns:
        Rate [FLOP/s].
    """
    return peak_flops_per_s * ideal_j / real_j


_MANY = 1e9
"""Tokens of a step that reads every expert."""

_Tokens = TypeVar("_Tokens", float, FloatArray)


@dataclass(frozen=True)
class Roofline:
    """The time of an engine step can be no less than its arithmetic, nor than its memory traffic.

    n GPUs that share both evenly take an n-th of the time at n times the power: the same energy.
    What they send each other is not counted.

    Attributes:
        flops: FLOPs of the model.
        shape: Sizes of the model.
        gpu: Data sheet of the chip.
        dtype: Number format of weights and KV cache.
        quantization: How the linear layers' weights are quantized; all arithmetic is taken at the
            peak of that, so that what is left in `dtype` makes it no less of a bound.
    """

    flops: FlopsModel
    shape: ModelShape
    gpu: Gpu
    dtype: str
    quantization: str | None = None

    @classmethod
    def of(cls, table: EnergyTable) -> "Roofline":
        """Of a table's model on its GPU."""
        return cls(
            load_flops(table.config),
            load_shape(table.config),
            table.gpu,
            table.dtype,
            table.quantization,
        )

    @property
    def peak(self) -> float:
        """Rate of all arithmetic [FLOP/s]."""
        return self.gpu.peak(COMPUTE_DTYPE.get(self.quantization, self.dtype))

    def batch_energy(self, input_tokens: int, output_tokens: int, batch_size: float) -> float:
        """Least energy of one batch: a prefill of all prompts, then O - 1 decode steps.

        Every step takes the larger of FLOPs / peak (dense) and bytes / bandwidth, at TDP. Bytes are
        the weights once a step, the keys and values that it reads and those that it writes.

        Args:
            input_tokens: I [tokens].
            output_tokens: O [tokens].
            batch_size: B.

        Returns:
            Energy [J].
        """
        kv_bytes = self.shape.kv_bytes_per_token(self.dtype)
        prefill_s = self._step_seconds(
            batch_size * self.flops.forward(input_tokens, 0),
            self._weight_bytes(batch_size * input_tokens) + batch_size * input_tokens * kv_bytes,
        )
        cached = input_tokens + np.arange(output_tokens - 1, dtype=float)
        decode_flops = (
            self.flops.per_token + self.flops.per_pair * (1 + cached) + self.flops.per_pass
        )
        decode_s = self._step_seconds(
            batch_size * decode_flops,
            self._weight_bytes(batch_size) + batch_size * (cached + 1) * kv_bytes,
        )
        return float(self.gpu.tdp_w * (prefill_s.sum() + decode_s.sum()))

    def steps_energy(self, steps: Steps) -> float:
        """Least energy of a run whose steps are known: that of each step, as above [J]."""
        tokens = steps.decoding + steps.prompt_tokens
        attended = steps.context + 2 * steps.pairs
        if steps.prefixes is not None:
            attended = attended - steps.prefixes.pairs  # which no mask halves
        flops = (
            self.flops.per_token * tokens
            + self.flops.per_pair * attended
            + self.flops.per_pass * steps.sampled
        )
        kv_bytes = self.shape.kv_bytes_per_token(self.dtype)
        moved = self._weight_bytes(tokens) + kv_bytes * (steps.tokens_read + steps.prompt_tokens)
        return float(self.gpu.tdp_w * steps.total(self._step_seconds(flops, moved)))

    def parts_energy(self, counts: StepCounts) -> dict[str, float]:
        """Least energy of each kind of work, as if it were all there is; it overlaps with others.

        Weights and cached tokens are read at full bandwidth, all else is arithmetic at the peak.

        Returns:
            Term of the step model -> energy [J].
        """
        seconds = {
            "steps": counts.steps * self._weight_bytes(_MANY) / self.gpu.memory_bytes_per_s,
            "tokens": counts.tokens * self.flops.per_token / self.peak,
            "context": counts.context
            * self.shape.kv_bytes_per_token(self.dtype)
            / self.gpu.memory_bytes_per_s,
            "pairs": 2 * counts.pairs * self.flops.per_pair / self.peak,
            "outputs": counts.outputs * self.flops.per_pass / self.peak,
            "requests": 0.0,
        }
        return {term: float(self.gpu.tdp_w * needed) for term, needed in seconds.items()}

    def energy(self, workload: Workload, table: EnergyTable) -> float:
        """Least energy of a workload in N / B batches of the table's size per cell [J]."""
        grid = workload.grid
        total_j = 0.0
        for (row, column), sums in workload.cells.items():
            if workload.is_beyond((row, column)):
                continue
            cell = grid.input_edges[row], grid.output_edges[column]
            batch_size = table.cells[cell].batch_size
            total_j += sums.requests / batch_size * self.batch_energy(*cell, batch_size)
        return total_j

    def _weight_bytes(self, tokens: _Tokens) -> _Tokens:
        return self.shape.weight_bytes_read(tokens, self.dtype, self.quantization)

    def _step_seconds(self, flops: object, moved_bytes: object) -> np.ndarray:
        return np.maximum(
            np.asarray(flops, dtype=float) / self.peak,
            np.asarray(moved_bytes, dtype=float) / self.gpu.memory_bytes_per_s,
        )
