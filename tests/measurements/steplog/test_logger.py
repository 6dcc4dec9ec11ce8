"""Windows that are metered and logged: the CPU engine through the code of every engine."""

import time
from pathlib import Path

import numpy as np
import pytest

from joulecast.measurements import replay_session
from joulecast.measurements.engines import EngineError, EngineSteps, SteppedEngine
from joulecast.measurements.replay_session import ReplayRequests, ReplaySession
from joulecast.measurements.steplog.columns import LOG_COLUMNS
from joulecast.measurements.steplog.files import read_log, write_log
from joulecast.measurements.steplog.heat import heat_note
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.logger import WindowLogger, require_no_logs
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.sweep.run_logs import RunLogs
from joulecast.measurements.sweep.run_spec import RunSpec
from joulecast.traces.errors import InputError
from tests.measurements.fakes import FakeEngine, FakeGpu, make_sweep
from tests.measurements.steplog.conftest import WATTS

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.measurements.tiny_model import cpu_engine

pytestmark = pytest.mark.slow

BATCHES = [(3, 20, 6), (2, 40, 3), (1, 7, 1)]
"""Requests, input and output tokens of each."""

BY_HAND = {
    "decoding": [0] + 5 * [3] + [0] + 2 * [2] + [0],
    "prompt_tokens": [60] + 5 * [0] + [80] + 2 * [0] + [7],
    "context": [0, 63, 66, 69, 72, 75, 0, 82, 84, 0],
    "pairs": [600.0] + 5 * [0.0] + [1600.0] + 2 * [0.0] + [24.5],
    "sampled": 6 * [3] + 3 * [2] + [1],
    "prompts_fed": [3] + 5 * [0] + [2] + 2 * [0] + [1],
    "running": 6 * [3] + 3 * [2] + [1],
    "waiting": 10 * [0],
}


def requests() -> ReplayRequests:
    return ReplayRequests([(i, o) for n, i, o in BATCHES for _ in range(n)], BATCHES)


def test_the_cpu_engine_logs_its_steps(tmp_path: Path, nvml: pytest.MonkeyPatch) -> None:
    """The engine, the meter's window, the poller's process and the files, all of them real."""
    nvml.setattr(replay_session, "MIN_WINDOW_S", 0.0)  # once, not until the window is long enough
    engine = cpu_engine(tmp_path / "tiny")
    assert isinstance(engine, SteppedEngine)
    gpu = FakeGpu(clock=time.monotonic, power_w=lambda _: WATTS)
    notes: list[str] = []
    with WindowLogger(engine, [0], notes.append) as logger:
        session = ReplaySession(
            engine, [gpu], notes.append, sleep=lambda s: time.sleep(min(s, 0.2)), logger=logger
        )
        result = session.run(requests(), 2)
    assert len(result.logs) == len(result.runs) == 2
    assert engine._model._forward_hooks == engine._model._forward_pre_hooks == {}
    for number, (run, log) in enumerate(zip(result.runs, result.logs, strict=True), start=1):
        assert log.problem is None, notes
        name = f"r-{number}"
        paths = log.save(tmp_path, name, {"energy_j": run.energy_j})
        assert [path.name for path in paths] == [
            f"{name}.{kind}.csv.gz" for kind in ("steps", "requests", "ticks", "states")
        ]
        steps = StepLog.read(tmp_path / f"{name}.steps.csv.gz")
        for column, values in BY_HAND.items():
            np.testing.assert_array_equal(getattr(steps, column), values, column)
        begin, end = steps.window
        assert end - begin == pytest.approx(run.seconds, abs=1e-4)
        assert begin <= steps.schedule_begin[0]
        assert steps.output_at[-1] <= end
        ticks = Ticks.read(tmp_path / f"{name}.ticks.csv.gz")
        assert ticks.energy_between(begin, end) == pytest.approx(run.energy_j, abs=0.1 * WATTS)
        rows = read_log(tmp_path / f"{name}.requests.csv.gz", "requests").columns
        assert list(zip(rows["input_tokens"], rows["output_tokens"], strict=True)) == (
            requests().lengths
        )
        np.testing.assert_array_equal(rows["produced"], rows["output_tokens"])
        assert (rows["scheduled"] < rows["first_token"]).all()
        assert rows["finish"][-1] == rows["first_token"][-1]
        meanings = read_log(tmp_path / f"{name}.steps.csv.gz", "steps").meanings
        assert "the host waits" in meanings["output_at"]
        assert steps.facts["steps_complete"] is steps.facts["ticks_complete"] is True
        assert set(steps.facts["host_use"]) == {"cpu_seconds", "stolen_seconds", "preemptions"}
    assert result.logs[0].end_s < result.logs[1].begin_s


def test_a_window_of_a_table_holds_several_batches(
    tmp_path: Path, nvml: pytest.MonkeyPatch
) -> None:
    engine = cpu_engine(tmp_path / "tiny")
    gpu = FakeGpu(clock=time.monotonic, power_w=lambda _: WATTS)
    sweep = make_sweep(tmp_path / "t", engine, [gpu], min_window_s=0.3, idle_seconds=0.3)
    with RunLogs(sweep) as logs:
        sweep.recorders = [logs]
        sweep.run([RunSpec(20, 6, 3, True, 1)])
    run = sweep.folder.runs[0]  # invalid, since this GPU takes as much when it idles
    sweep.folder.close()
    assert run.batches > 1
    steps = StepLog.read(tmp_path / "t/logs/20-6-3-1.steps.csv.gz")
    assert steps.sums()["prompts_fed"] == 3 * run.batches
    np.testing.assert_array_equal(steps.decoding, run.batches * ([0] + 5 * [3]))
    assert (steps.facts["problem"], steps.facts["batches"]) == (None, run.batches)
    rows = read_log(tmp_path / "t/logs/20-6-3-1.requests.csv.gz", "requests").columns
    assert len(set(rows["scheduled"].tolist())) == run.batches
    ticks = Ticks.read(tmp_path / "t/logs/20-6-3-1.ticks.csv.gz")
    assert ticks.energy_between(*ticks.window) == pytest.approx(run.energy_j, abs=0.1 * WATTS)


def test_a_batch_that_crashes_leaves_no_hooks_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = cpu_engine(tmp_path / "tiny")
    engine.start_step_log()
    assert engine.prepare(20, 3, 2)() == 6
    engine.start_step_log()
    assert engine.prepare(20, 3, 2)() == 6
    log = engine.stop_step_log()
    assert len(log.steps) == 3
    assert engine._model._forward_hooks == {}
    assert engine.prepare(20, 3, 2)() == 6
    with pytest.raises(EngineError, match="without having been started"):
        engine.stop_step_log()
    compiled = cpu_engine(tmp_path / "tiny", compiled=True)
    with pytest.raises(EngineError, match="a compiled PyTorch model cannot be logged; run it with"):
        compiled.start_step_log()


class NoReader:
    """A machine whose counters no other process may read."""

    problem = None

    def __init__(self, gpus: object) -> None:
        pass

    def __enter__(self) -> object:
        from joulecast.measurements.gpu.devices import MeterError

        raise MeterError("no NVIDIA driver answers; ticks cannot be logged")


def test_what_cannot_be_logged_is_a_line_and_a_fact(tmp_path: Path) -> None:
    notes: list[str] = []
    with WindowLogger(FakeEngine(), [0], notes.append, NoReader) as logger:
        logger.start()
        logger.stop()
        log = logger.collect(1.0, 2.0)
    assert log.problem == (
        "the steps of fake cannot be logged; no NVIDIA driver answers; ticks cannot be logged"
    )
    assert notes == [f"the log is not complete: {log.problem}"]
    assert log.save(tmp_path, "x", {}) == []  # there is nothing of any


class CountingEngine(FakeEngine):
    """Says that it logged one step of a request of 5 + 1 tokens."""

    produced = 1

    def start_step_log(self) -> None:
        pass

    def stop_step_log(self) -> object:
        from joulecast.measurements.engines.step_log import (
            LoggedRequest,
            LoggedStep,
            RawStepLog,
        )

        step = LoggedStep(1.0, 1.1, 1.2, 1.3, 0, 5, 0, 12.5, 1, 1, 1, 1, 0, 0)
        return RawStepLog([step], {"a": LoggedRequest(5, 1, 1.0, 1.3, 1.3, self.produced)})


@pytest.mark.parametrize(
    ("counted", "produced", "said"),
    [
        (EngineSteps(1, 5, 0), 1, None),
        (None, 1, None),
        (EngineSteps(2, 6, 0), 1, "it has 1 steps, 5 tokens and 0 preemptions; the engine"),
        (EngineSteps(1, 5, 0), 0, "1 of its 1 requests got other outputs than asked for"),
    ],
)
def test_the_log_is_held_against_what_the_engine_counted(
    counted: EngineSteps | None, produced: int, said: str | None, tmp_path: Path
) -> None:
    notes: list[str] = []
    engine = CountingEngine()
    engine.produced = produced
    with WindowLogger(engine, [0], notes.append, NoReader) as logger:
        logger.start()
        logger.stop()
        log = logger.collect(0.5, 2.0, counted)
    log.save(tmp_path, "x", {})
    facts = StepLog.read(tmp_path / "x.steps.csv.gz").facts
    assert facts["steps_complete"] is (said is None)
    assert facts["ticks_complete"] is False
    assert (log.step_problem is None) if said is None else log.step_problem.startswith(said)
    assert facts["problem"] == log.problem
    assert facts["engine_steps"] == (None if counted is None else vars(counted))


@pytest.mark.parametrize("kind", LOG_COLUMNS)
def test_logs_are_not_written_over(kind: str, tmp_path: Path) -> None:
    require_no_logs(tmp_path, "x")
    write_log(tmp_path / f"x.{kind}.csv.gz", kind, {"window_begin": 1, "window_end": 2}, [])
    with pytest.raises(InputError, match=f"x.{kind}.csv.gz: is there already"):
        require_no_logs(tmp_path, "x")
    require_no_logs(tmp_path, "y")


CAMPAIGN = Path(__file__).parents[3] / "measurements" / "campaign-2026-11-26"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("h100-sxm/qwen1.5-32b-tp2-second/replays/azure-2023-code", "GPU 0 in 69% of the readings"),
        ("h100-sxm/qwen1.5-32b-tp2/replays/azure-2023-code", None),
        ("h200-sxm/qwen1.5-32b-tp2/replays/azure-2023-conv", None),
    ],
)
def test_heat_is_told_though_the_gate_at_the_end_saw_none(name: str, told: str | None) -> None:
    log = read_log(CAMPAIGN / f"{name}.states.csv.gz", "states")
    rows = [list(map(str, row)) for row in zip(*log.columns.values(), strict=True)]
    rows.append(["0", str(log.window[0]), "", "", "", ""])  # what could not be read
    note = heat_note(rows, *log.window)
    assert (told is None) if note is None else f"held back by heat: {told}" in note
    assert heat_note(rows, 0.0, 1.0) is None
