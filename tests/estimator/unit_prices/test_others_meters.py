"""Forecasts held against what others metered, with older vLLMs, on cards that nobody here had."""

import numpy as np
import pytest

from joulecast.estimator.unit_prices.deployment import Deployment
from joulecast.estimator.unit_prices.model import Scaling
from joulecast.measurements.hardware import load_gpu
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload

ARGONNE = [
    ("a100-sxm4-40gb", "llama-2-7b", 1, 3104.6),
    ("a100-sxm4-40gb", "llama-2-7b", 16, 7339.1),
    ("a100-sxm4-40gb", "llama-2-7b", 32, 14771.0),
    ("a100-sxm4-40gb", "llama-2-7b", 64, 30398.7),
    ("a100-sxm4-40gb", "llama-3-8b", 1, 3416.5),
    ("a100-sxm4-40gb", "llama-3-8b", 16, 5263.2),
    ("a100-sxm4-40gb", "llama-3-8b", 32, 7357.8),
    ("a100-sxm4-40gb", "llama-3-8b", 64, 11418.6),
    ("h100-sxm", "llama-2-7b", 1, 2877.4),
    ("h100-sxm", "llama-2-7b", 16, 6515.7),
    ("h100-sxm", "llama-2-7b", 32, 10448.7),
    ("h100-sxm", "llama-2-7b", 64, 19407.9),
    ("h100-sxm", "llama-3-8b", 1, 2941.7),
    ("h100-sxm", "llama-3-8b", 16, 4456.2),
    ("h100-sxm", "llama-3-8b", 32, 5681.9),
    ("h100-sxm", "llama-3-8b", 64, 8566.9),
]
"""GPU, model, requests of 1,024 input and output tokens at once -> joules: mean NVML power times
latency, vLLM of 2024. From argonne-lcf/LLM-Inference-Bench, commit 4211f5d, BSD-3-Clause."""


def estimates() -> list[tuple[float, float, float]]:
    """Relative error, and whether the interval's ends lie below and above the metered."""
    told = []
    for gpu, model, batch, metered_j in ARGONNE:
        lengths = np.tile([1024, 1024], (batch, 1))
        workload = Workload.of_lengths(POWER_OF_TWO_GRID, lengths)
        scaling = Scaling(Deployment.of(model, load_gpu(gpu)))
        estimate = scaling.step_model(workload).estimate(workload, "argonne", lengths)
        assert estimate.interval_j is not None
        low_j, high_j = estimate.interval_j
        told.append((estimate.energy_j / metered_j - 1, low_j / metered_j, high_j / metered_j))
    return told


def test_argonnes_rows() -> None:
    told = estimates()
    assert len(told) == 16
    errors = [abs(error) for error, _, _ in told]
    assert np.median(errors) <= 0.07
    assert max(errors) <= 0.13
    held = sum(low <= 1 <= high for _, low, high in told)
    assert held >= 0.9 * len(told)


def test_intervals_are_no_wider_than_they_need_be() -> None:
    for (gpu, _, _, _), (_, low, high) in zip(ARGONNE, estimates(), strict=True):
        half = (high - low) / (high + low)
        assert half == pytest.approx(0.29, abs=0.06) if gpu.startswith("a100") else half < 0.15
