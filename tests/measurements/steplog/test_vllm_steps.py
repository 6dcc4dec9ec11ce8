"""What is logged of vLLM's steps, against a scheduler and a GPU that know the truth."""

import random

import numpy as np
import pytest

from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.measurements.engines.step_log import LoggedStep, RawStepLog
from joulecast.measurements.engines.vllm_steps import VllmStepRecorder
from joulecast.measurements.steplog.columns import STEP_COLUMNS
from joulecast.measurements.steplog.files import write_log
from joulecast.measurements.steplog.log import StepLog
from tests.measurements.fakes import FakeTime
from tests.measurements.steplog.fake_vllm import TINY_CACHE, FakeLlmEngine

AMPLE_CACHE = ContinuousBatching(96, 12, 4000, 4)


def lengths_of(count: int, seed: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [(draw.randint(1, 120), draw.randint(1, 30)) for _ in range(count)]


def logged(rules: ContinuousBatching, seed: int) -> tuple[FakeLlmEngine, RawStepLog]:
    fake_time = FakeTime()
    engine = FakeLlmEngine(fake_time, rules, lengths_of(40, seed))
    recorder = VllmStepRecorder(engine, fake_time.clock)
    recorder.start()
    engine.run()
    return engine, recorder.stop()


def read_back(raw: RawStepLog, tmp_path) -> StepLog:
    path = tmp_path / "x.steps.csv.gz"
    write_log(path, "steps", {"window_begin": 0.0, "window_end": 1.0}, raw.steps)
    return StepLog.read(path)


@pytest.mark.parametrize("rules", [TINY_CACHE, AMPLE_CACHE])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_feeds_what_the_scheduler_fed(
    rules: ContinuousBatching, seed: int, tmp_path
) -> None:
    engine, raw = logged(rules, seed)
    log = read_back(raw, tmp_path)
    shown = np.stack([log.decoding, log.prompt_tokens, log.context, log.pairs, log.sampled], axis=1)
    np.testing.assert_array_equal(shown, np.array(engine.scheduler.rows))
    assert (log.preempted.sum() > 0) == (rules is TINY_CACHE)
    # Not one request lost or told twice.
    asked = engine.scheduler.lengths
    requests = list(raw.requests.values())
    assert [(r.input_tokens, r.output_tokens) for r in requests] == asked
    assert [request.produced for request in requests] == [o for _, o in asked]
    assert sum(request.preempted for request in requests) == log.preempted.sum()
    assert all(r.scheduled < r.first_token <= r.finish for r in requests)
    assert {round(r.finish, 6) for r in requests} <= set(log.returned)


@pytest.mark.parametrize("seed", range(3))
def test_time_on_the_gpu_is_told_though_steps_are_scheduled_ahead(seed: int, tmp_path) -> None:
    engine, raw = logged(AMPLE_CACHE, seed)
    log = read_back(raw, tmp_path)
    begin, end = np.array(engine.on_gpu).T
    # Some steps were scheduled while the one before still ran; that is what makes it hard.
    assert (log.schedule_end[1:] < log.output_at[:-1]).mean() > 0.9
    np.testing.assert_allclose(log.gpu_begin, begin, atol=4e-4)
    np.testing.assert_allclose(log.gpu_seconds, end - begin, atol=6e-4)
    assert (log.returned >= log.output_at).all()


def test_a_recorder_that_is_off_keeps_nothing(tmp_path) -> None:
    fake_time = FakeTime()
    engine = FakeLlmEngine(fake_time, AMPLE_CACHE, lengths_of(10, 0))
    recorder = VllmStepRecorder(engine, fake_time.clock)
    engine.run()
    assert recorder.stop() == RawStepLog([], {})
    assert fake_time.now == pytest.approx(unwatched_end(), abs=1e-9)


def unwatched_end() -> float:
    fake_time = FakeTime()
    FakeLlmEngine(fake_time, AMPLE_CACHE, lengths_of(10, 0)).run()
    return fake_time.now


def test_each_log_begins_anew() -> None:
    fake_time = FakeTime()
    engine = FakeLlmEngine(fake_time, AMPLE_CACHE, lengths_of(12, 1))
    recorder = VllmStepRecorder(engine, fake_time.clock)
    recorder.start()
    engine.step()
    assert len(recorder.stop().steps) == 1
    recorder.start()
    engine.run()
    assert len(recorder.stop().steps) == len(engine.scheduler.rows) - 1


def test_rows_have_the_columns_of_the_file() -> None:
    assert LoggedStep._fields == tuple(STEP_COLUMNS)
