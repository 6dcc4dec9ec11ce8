"""Logged steps of plain PyTorch, and the phases that they tell."""

from pathlib import Path

import numpy as np
import pytest

from joulecast.measurements.steplog.files import log_path, write_log
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.sweep.phases import split_run
from tests.measurements.fakes import FakeTime

pytest.importorskip("torch")
pytest.importorskip("transformers")

from joulecast.measurements.engines.pytorch_steps import PytorchStepRecorder
from tests.measurements.tiny_model import cpu_engine

pytestmark = pytest.mark.slow  # importing torch and transformers alone takes seconds

INPUT, OUTPUT, SIZE, BATCHES = 24, 16, 2, 5
PREFILL, DECODE, IDLE = (0.4, 690.0), (0.03, 200.0), 120.0
"""Seconds of a step on the GPU, and its power [W]; power while none has it [W]."""


class Gpu:
    """It works after a pass has returned, as with CUDA; the host waits in `synchronize`."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.passes = 0
        self.work: list[tuple[float, float, float]] = []

    def synchronize(self) -> None:
        seconds, power_w = DECODE if self.passes % OUTPUT else PREFILL
        self.passes += 1
        self.work.append((self.time.now, self.time.now + seconds, power_w))
        self.time.sleep(seconds)

    def energy_j(self, moments: np.ndarray) -> np.ndarray:
        total = IDLE * moments
        for begin, end, power_w in self.work:
            total += (power_w - IDLE) * (np.clip(moments, begin, end) - begin)
        return total


def test_steps_last_until_the_gpu_is_done_and_phases_come_apart(
    tmp_path: Path,
) -> None:
    gpu, engine = Gpu(), cpu_engine(tmp_path / "tiny")
    recorder = PytorchStepRecorder(engine._model, gpu.synchronize, gpu.time.clock)
    batch = engine.prepare(INPUT, OUTPUT, SIZE)
    window_begin = gpu.time.now
    for _ in range(BATCHES):
        recorder.expect(OUTPUT)
        batch()
        gpu.time.sleep(0.002)
    raw = recorder.stop()
    window_end = gpu.time.now
    facts = {
        "window_begin": window_begin, "window_end": window_end, "idle_power_w": IDLE,
        "energy_j": float(np.diff(gpu.energy_j(np.array([window_begin, window_end])))[0]),
        "input_tokens": INPUT, "output_tokens": OUTPUT, "batch_size": SIZE, "run": 1,
        "batches": BATCHES,
    }  # fmt: skip
    path = log_path(tmp_path, "24-16-2-1", "steps")
    write_log(path, "steps", facts, raw.steps, raw.meanings)
    times = np.arange(window_begin - 0.3, window_end + 0.3, 0.1)
    shown_j = gpu.energy_j(times - 0.02)  # what a tick shows is what had been spent by then
    ticks = [
        (0, at - 0.002, at - 0.001, at + 0.001, round(1000 * joules))
        for at, joules in zip(times, shown_j, strict=True)
    ]
    write_log(log_path(tmp_path, "24-16-2-1", "ticks"), "ticks", facts, ticks)
    log = StepLog.read(path)
    assert len(log) == BATCHES * OUTPUT
    assert log.gpu_seconds[log.prompt_tokens > 0] == pytest.approx(0.4, abs=1e-3)
    assert log.gpu_seconds[log.decoding > 0] == pytest.approx(0.03, abs=1e-3)
    split = split_run(path)
    assert split.prefill_j == pytest.approx(BATCHES * 0.4 * 690, rel=0.01)
    assert split.decode_j == pytest.approx(BATCHES * (OUTPUT - 1) * 0.03 * 200, rel=0.01)
    assert split.sum_over_meter == pytest.approx(1, abs=0.005)


def test_the_engine_has_its_steps_wait_for_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, waited = cpu_engine(tmp_path / "tiny"), []
    monkeypatch.setattr(engine, "_synchronize", lambda: waited.append(1))
    batch = engine.prepare(INPUT, OUTPUT, SIZE)
    batch()
    assert len(waited) == 1  # at the end alone, where nothing is logged
    engine.start_step_log()
    batch()
    assert len(engine.stop_step_log().steps) == OUTPUT
    assert len(waited) == 1 + OUTPUT + 1
