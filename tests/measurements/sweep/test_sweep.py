import csv
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from joulecast.measurements.engines import EngineError
from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.gpu.gates import GATES
from joulecast.measurements.sweep.cross_check import CodeCarbonRecorder
from joulecast.measurements.sweep.plans import (
    RunSpec,
    in_order,
)
from joulecast.measurements.sweep.sweep import (
    cells_without_valid_run,
    missing_runs,
)
from joulecast.measurements.table.runs import read_runs
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from tests.measurements.fakes import (
    FakeEngine,
    FakeGpu,
    FakeTime,
    gone,
    make_sweep,
    plan_of,
)


def test_a_sweep_makes_a_table_that_loads(stage, tmp_path: Path) -> None:
    sweep, _ = stage(seconds_per_batch=1.7)
    plan = plan_of("paper")
    assert sweep.run(plan) == 0
    sweep.folder.save("done")
    table = load_table(str(tmp_path / "t"))
    assert table.is_complete
    assert all(run.valid for run in table.runs)
    for run in table.runs:
        assert run.batches == 3  # 3 x 1.7 s fill five seconds
        assert run.seconds == pytest.approx(5.1, abs=0.01)
        assert run.power_w == pytest.approx(600, rel=0.01)
        assert run.tick_error_j < 60
    assert table.metadata["cards"]["GPU-fake"]["idle_power_w"] == pytest.approx(100, rel=0.01)


def test_a_long_batch_is_run_once(stage, tmp_path: Path) -> None:
    sweep, _ = stage(seconds_per_batch=9.0)
    sweep.run(plan_of("paper")[:1])
    assert sweep.folder.runs[0].batches == 1


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"power_w": lambda now: 790.0}, "power"),
        ({"power_w": lambda now: 100.0}, "power"),
        ({"temperatures": [40.0, 80.0] * 50}, "temperature drift"),
        ({"throttling": frozenset({"thermal slowdown"})}, "throttling"),
        ({"foreign": (4711,)}, "foreign processes"),
        ({"produced_share": 0.9}, "tokens produced"),
    ],
)
def test_a_run_that_fails_a_gate_is_kept_and_marked(
    stage, changes, gate: str, tmp_path: Path
) -> None:
    sweep, _ = stage(**changes)
    plan = plan_of("paper")[:1]
    sweep.run(plan)
    run, second, third = read_runs(tmp_path / "t/runs.csv")
    assert (run.run, second.run, third.run) == (1, 2, 3)  # tried again at once, and at the end
    assert not run.valid
    assert run.reason.startswith(f"{gate}: ")
    assert cells_without_valid_run(plan, [run]) == [plan[0].cell]
    assert gate in {gate.name for gate in GATES}


def test_where_only_long_batches_are_left_less_of_one_warms_up(stage) -> None:
    sweep, _ = stage()
    asked: list[tuple[int, int, int]] = []
    prepare = sweep.engine.prepare
    sweep.engine.prepare = lambda *shape: asked.append(shape) or prepare(*shape)
    long = RunSpec(8192, 512, 51, True, 1)
    assert sweep.cost.batch_seconds(long) > 20
    sweep.run([long])
    warm_up, *measured = asked
    assert measured == [long.batch]
    assert all(0 < less <= whole for less, whole in zip(warm_up, long.batch, strict=True))
    assert sweep.cost.batch_seconds(RunSpec(*warm_up, False, 1)) < 2


def test_a_window_that_came_out_short_fails_its_gate(stage, tmp_path: Path) -> None:
    sweep, _ = stage()
    sweep._fill_window = lambda batch: (1, batch())
    sweep.run(plan_of("paper")[:1])
    assert sweep.folder.runs[0].reason.startswith("window: ")


def test_the_power_cap_is_no_fault(stage, tmp_path: Path) -> None:
    sweep, _ = stage(throttling=frozenset({"power cap"}))
    sweep.run(plan_of("paper")[:1])
    assert sweep.folder.runs[0].valid


def test_a_jumping_counter_does_not_count(stage, tmp_path: Path) -> None:
    sweep, gpu = stage()
    gpu.fault = lambda now, energy_j: energy_j + (5000 if now > 125 else 0)
    plan = plan_of("paper")[:3]
    sweep.run(plan)
    runs = sweep.folder.runs
    assert [run.valid for run in runs].count(False) == 1
    failed = next(run for run in runs if not run.valid)
    second = runs[runs.index(failed) + 1]
    assert (second.cell, second.run, second.valid) == (failed.cell, 2, True)
    assert len(runs) == 4


def test_a_run_that_failed_is_made_again_at_once_and_counts_for_nothing(
    stage, tmp_path: Path
) -> None:
    sweep, _ = stage(temperatures=[40.0, 40.0, 40.0, 40.0, 70.0, 70.0])
    plan = plan_of("paper", runs=3)
    plan = [spec for spec in plan if spec.cell == (32, 8)]
    assert sweep.run(plan) == 0
    assert [(run.run, run.valid) for run in sweep.folder.runs] == [
        (1, False),
        (2, True),
        (3, True),
        (4, True),
    ]
    assert missing_runs(plan, sweep.folder.runs) == []
    more = [spec for spec in plan_of("paper", runs=4) if spec.cell == (32, 8)]
    assert [spec.run for spec in missing_runs(more, sweep.folder.runs)] == [4]


def test_what_failed_twice_is_made_once_more_at_the_end(stage, tmp_path: Path) -> None:
    sweep, gpu = stage()
    plan = plan_of("paper")[:3]
    hot = [True, True, False]
    started = sweep.observer.started

    def start(spec: RunSpec, *progress: float) -> None:
        is_hot = spec.batch == plan[0].batch and hot.pop(0)
        gpu.throttling = frozenset({"thermal slowdown"} if is_hot else ())
        started(spec, *progress)

    sweep.observer.started = start
    assert sweep.run(plan) == 0
    first, second, third = (spec.batch for spec in plan)
    assert [run.batch for run in sweep.folder.runs] == [first, first, second, third, first]
    assert [run.valid for run in sweep.folder.runs] == [False, False, True, True, True]
    assert missing_runs(plan, sweep.folder.runs) == []


def test_what_failed_is_tried_again_under_the_next_number(stage, tmp_path: Path) -> None:
    sweep, _ = stage(produced_share=0.5)
    plan = plan_of("paper")[:2]
    sweep.run(plan)
    sweep.folder.close()
    again, _ = stage(resume=True)
    assert missing_runs(plan, again.folder.runs) == plan
    again.run(plan)
    assert sorted(run.run for run in again.folder.runs) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert cells_without_valid_run(plan, again.folder.runs) == []
    assert missing_runs(plan, again.folder.runs) == []


@pytest.mark.parametrize("error", [EngineError("out of memory"), EngineError("GPU lost")])
def test_an_engine_that_dies_leaves_a_folder_to_go_on_with(stage, error, tmp_path: Path) -> None:
    plan = plan_of("paper")[:6]
    doomed = plan[3].key[:3]
    sweep, _ = stage(fails_at=lambda *cell: error if cell == doomed else None)
    with pytest.raises(EngineError, match=str(error)):
        sweep.run(plan)
    assert len(read_runs(tmp_path / "t/runs.csv")) == 3
    sweep.folder.close()
    again, _ = stage(resume=True)
    assert again.run(plan) == 0
    assert [run.input_tokens for run in again.folder.runs] == [spec.input_tokens for spec in plan]


def test_a_gpu_that_disappears(stage, tmp_path: Path) -> None:
    sweep, gpu = stage()
    gpu.fault = gone(after=140)
    with pytest.raises(MeterError, match="GPU is lost"):
        sweep.run(plan_of("paper"))
    assert 1 <= len(read_runs(tmp_path / "t/runs.csv")) <= 6


def test_time_budget_measures_what_fits(stage, tmp_path: Path) -> None:
    sweep, _ = stage(time_budget_s=120)
    plan = in_order(plan_of("full"), 0, by_priority=True)
    left = sweep.run(plan)
    assert 0 < left < len(plan)
    assert sweep.clock() - 100 <= 125
    made = [run.batch for run in sweep.folder.runs]
    assert len(made) == len(plan) - left
    assert made == [spec.batch for spec in plan if spec.batch in made]  # in order, the rest skipped
    assert any("time is up" in text for text in sweep.observer.texts)
    sweep.folder.close()


def test_without_any_valid_run_a_cell_comes_first_again(stage, tmp_path: Path) -> None:
    plan = in_order(plan_of("full", runs=3), 0, by_priority=True)
    sweep, _ = stage()
    sweep.run(plan[:20])
    runs = [replace(run, valid=run.batch != plan[0].batch) for run in sweep.folder.runs]
    assert missing_runs(plan, runs)[0] == plan[0]


def test_fault_upon_fault_ends_a_sweep(stage, tmp_path: Path) -> None:
    sweep, _ = stage(foreign=(4711,))
    with pytest.raises(MeterError, match=r"8 runs in a row failed a gate.*pid 4711"):
        sweep.run(plan_of("paper"))
    assert len(sweep.folder.runs) == 8


def test_an_engine_that_fails_in_its_own_way(stage, tmp_path: Path) -> None:
    sweep, _ = stage(fails_at=lambda *_: ZeroDivisionError("in a kernel"))
    with pytest.raises(EngineError, match="fake crashed: in a kernel"):
        sweep.run(plan_of("paper"))


def test_a_full_disk_is_said_and_nothing_is_lost(stage, tmp_path: Path, monkeypatch) -> None:
    plan = plan_of("paper")[:3]
    sweep, _ = stage()
    sweep.run(plan[:1])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(InputError, match=r"runs.csv: cannot be written \(No space"):
            sweep.run(plan)
    sweep.folder.close()
    again, _ = stage(resume=True)
    assert again.run(plan) == 0
    assert sorted({run.batch for run in read_runs(tmp_path / "t/runs.csv")}) == sorted(
        spec.batch for spec in plan
    )


def test_several_gpus_are_kept_apart(tmp_path: Path) -> None:
    fake_time = FakeTime()
    gpus = [
        FakeGpu(clock=fake_time.clock, power_w=lambda _: 300.0, uuid="GPU-a"),
        FakeGpu(clock=fake_time.clock, power_w=lambda _: 500.0, uuid="GPU-b"),
    ]
    engine = FakeEngine(sleep=fake_time.sleep)
    sweep = make_sweep(tmp_path / "t", engine, gpus, fake_time)
    sweep._prepare_card = lambda todo: 100.0
    sweep.run(plan_of("paper")[:2])
    sweep.folder.close()
    with (tmp_path / "t/by_gpu.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["gpu"] for row in rows] == ["GPU-a", "GPU-b"] * 2
    for k, run in enumerate(read_runs(tmp_path / "t/runs.csv")):
        shares = [float(row["energy_j"]) for row in rows[2 * k : 2 * k + 2]]
        assert sum(shares) == pytest.approx(run.energy_j, abs=0.01)
        assert shares[0] / shares[1] == pytest.approx(0.6, rel=0.02)


@pytest.mark.parametrize(("kwh", "read"), [(0.001, "3600.0"), (0.0, "")])
def test_codecarbon_beside_our_meter(
    kwh: float, read: str, stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window in which CodeCarbon read nothing is still ours."""
    tracker = SimpleNamespace(
        start_task=lambda name: None, stop_task=lambda: SimpleNamespace(gpu_energy=kwh)
    )
    module = SimpleNamespace(OfflineEmissionsTracker=lambda **_: tracker)
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    recorder = CodeCarbonRecorder()
    recorder.open(tmp_path / "t")
    sweep, _ = stage()
    sweep.recorders = [recorder]
    sweep.run([RunSpec(32, 8, 4, True, 1)])
    recorder.close()
    (run,) = sweep.folder.runs
    line = (tmp_path / "t/cross_check.csv").read_text().splitlines()[1]
    assert line == f"32,8,4,1,{run.energy_j},{read}"


def test_missing_runs_of_repeats() -> None:
    plan = plan_of("paper", runs=2)[:4]
    assert missing_runs(plan, []) == plan
    assert math.prod(replace(plan[0], run=2).key) > 0
