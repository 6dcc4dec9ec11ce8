"""The same requests in flight and in batches, and the paper's tasks, as docs/accuracy.md says."""

import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from joulecast.estimator.stepwise import StepModel
from joulecast.estimator.table_law import SHORT_SD
from joulecast.estimator.validate import Validation, find_replays, fitting_once, validate
from joulecast.measurements.replay import Replay
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID
from joulecast.traces.workload import Workload

STUDIES = Path(__file__).parents[2] / "measurements" / "studies" / "h200-sxm" / "llama-3.1-8b"
TABLE = "h200-sxm/llama-3.1-8b/vllm"


@cache
def validations(folder: str) -> Sequence[Validation]:
    """vLLM's replays of a study."""
    paths = find_replays(STUDIES / folder)
    replays = {path.stem: Replay.load(path) for path in paths}
    table, fit = load_table(TABLE), fitting_once()
    return [
        validate(name, replay, [table], [], fit)
        for name, replay in replays.items()
        if replay.facts["engine"] == "vllm"
    ]


@pytest.mark.parametrize(
    ("folder", "windows", "median", "worst", "inside"),
    [("in-flight", 8, 1.9, 3.1, 8), ("tasks", 32, 1.4, 6.7, 32)],
)
def test_energy_and_steps(
    folder: str, windows: int, median: float, worst: float, inside: int
) -> None:
    done = validations(folder)
    errors = [abs(each.checked["stepwise"].error_percent) for each in done]
    assert len(done) == windows
    assert statistics.median(errors) < median
    assert max(errors) < worst
    assert sum(bool(each.checked["stepwise"].is_within) for each in done) == inside
    for each in done:
        engine = each.replay.engine_steps
        assert engine is not None
        assert len(each.simulated.decoding) == engine.steps
        assert each.simulated.counts.tokens == engine.tokens


def test_of_short_requests_less_is_certain() -> None:
    model = StepModel.of(load_table(TABLE))

    def relative_sd(input_tokens: int, output_tokens: int) -> float:
        lengths = np.full((500, 2), (input_tokens, output_tokens))
        estimate = model.estimate(Workload.of_lengths(PAPER_GRID, lengths), "some", lengths)
        assert estimate.relative_sds is not None
        return estimate.relative_sds["shape"]

    assert relative_sd(100, 100) >= SHORT_SD > relative_sd(400, 100)
