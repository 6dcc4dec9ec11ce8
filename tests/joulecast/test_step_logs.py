"""`joulecast replay --log` and `joulecast measure --log`, in fake time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from joulecast import measuring
from joulecast.cli import measure as cli_measure
from joulecast.cli import replay as cli_replay
from joulecast.estimator.validate import find_replays
from joulecast.measurements.engines import EngineError, EngineSteps
from joulecast.measurements.engines.step_log import RawStepLog
from joulecast.measurements.engines.vllm_steps import VllmStepRecorder
from joulecast.measurements.replay import Replay
from joulecast.measurements.replay_session import ReplaySession
from joulecast.measurements.steplog.columns import LOG_COLUMNS
from joulecast.measurements.steplog.files import read_log
from joulecast.measurements.steplog.log import StepLog
from joulecast.measurements.steplog.logger import WindowLogger
from joulecast.measurements.steplog.ticks import Ticks
from joulecast.measurements.sweep import phases, run_logs
from joulecast.measurements.table.phases import PhaseSplit, read_phases
from joulecast.measurements.table.table import load_table
from tests.conftest import RunCli
from tests.measurements.fakes import FakeEngine, FakeTime, working_gpu
from tests.measurements.steplog.fake_reader import FakeReader
from tests.measurements.steplog.fake_vllm import TINY_CACHE, FakeLlmEngine

REPLAY = "replay", "short.csv", "--engine", "vllm", "--model", "llama-3.1-8b", "--requests", 40
MEASURE = "measure", "--engine", "vllm", "--model", "llama-3.1-8b", "--plan", "quick", "--runs", 1


@dataclass
class SteppedFake(FakeEngine):
    """A continuous engine whose steps are those of a scheduler; they take a GPU's time.

    `counts_more` is what it counts besides, as an engine that does something unseen.
    """

    fake_time: FakeTime = field(default_factory=FakeTime)
    counts_more: int = 0
    keeps_scheduler_elsewhere: bool = False
    steps: EngineSteps = field(default_factory=EngineSteps)
    recorder: VllmStepRecorder | None = None
    is_logging: bool = False

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Callable[[], int]:
        def run() -> int:
            core = FakeLlmEngine(self.fake_time, TINY_CACHE, lengths)
            self.recorder = VllmStepRecorder(core, self.fake_time.clock)
            if self.is_logging:
                self.recorder.start()
            core.run()
            self.sleep(6.0)  # after its steps; a window lasts 5 s and more
            self.steps.steps += len(core.scheduler.rows) + self.counts_more
            self.steps.tokens += sum(int(row[0] + row[1]) for row in core.scheduler.rows)
            self.steps.preempted += core.scheduler.all_preempted
            return sum(o for _, o in lengths)

        return run

    def record_steps(self) -> EngineSteps:
        self.steps = EngineSteps()
        return self.steps

    def start_step_log(self) -> None:
        if self.keeps_scheduler_elsewhere:
            raise EngineError("vLLM 9 keeps its scheduler elsewhere: it cannot be logged")
        self.is_logging, self.recorder = True, None

    def stop_step_log(self) -> RawStepLog:
        self.is_logging = False
        return RawStepLog([], {}) if self.recorder is None else self.recorder.stop()


@dataclass
class Stage:
    """The engine and the reader of the counters, both in the same fake time."""

    engine: SteppedFake
    reader: FakeReader


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=600.0, idle_w=100.0)
    reader = FakeReader(gpu, fake_time)

    def work_while_it_looks(seconds: float) -> None:
        work(0.0)
        for _ in range(round(seconds / 0.05)):
            gpu_until(fake_time.now + 0.05)
            reader.let_pass(0.05)

    def gpu_until(moment: float) -> None:
        work(moment - fake_time.now)

    engine = SteppedFake(sleep=work_while_it_looks, name="vllm", fake_time=fake_time)
    in_fake_time = {"clock": fake_time.clock, "sleep": fake_time.sleep}
    logger = partial(WindowLogger, make_reader=lambda gpus: reader)
    for module in (cli_measure, cli_replay):
        monkeypatch.setattr(module, "choose_gpus", lambda named, environment: (0,))
        monkeypatch.setattr(module, "open_gpus", lambda indices: [gpu])
    for module in (measuring, cli_replay):
        monkeypatch.setattr(module, "load_engine", lambda name, request: engine)
    monkeypatch.setattr(cli_replay, "WindowLogger", logger)
    monkeypatch.setattr(run_logs, "WindowLogger", logger)
    monkeypatch.setattr(cli_replay, "ReplaySession", partial(ReplaySession, **in_fake_time))
    monkeypatch.setattr(cli_measure, "Sweep", partial(cli_measure.Sweep, **in_fake_time))
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{1 + 7 * k % 120},{1 + 3 * k % 29}\n" for k in range(60))
    Path("short.csv").write_text("input_tokens,output_tokens\n" + rows)
    return Stage(engine, reader)


def logs_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.csv.gz")}


def test_a_replay_with_its_logs(stage: Stage, run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli(*REPLAY, "--runs", 2, "--log", "-o", "mine.json")
    assert result.exit_code == 0, result.output
    assert "not complete" not in result.stderr
    assert logs_in(tmp_path) == {
        f"{name}.{log}.csv.gz" for name in ("mine", "mine-2") for log in LOG_COLUMNS
    }
    assert find_replays(tmp_path) == [tmp_path / "mine.json"]
    replay = Replay.load(Path("mine.json"))
    for name, run in zip(("mine", "mine-2"), replay.runs, strict=True):
        steps = StepLog.read(Path(f"{name}.steps.csv.gz"))
        assert steps.counts() == replay.engine_steps
        assert steps.facts["engine_steps"] == vars(replay.engine_steps)
        ticks = Ticks.read(Path(f"{name}.ticks.csv.gz"))
        begin, end = ticks.window
        assert end - begin == pytest.approx(run.seconds, abs=1e-3)
        assert ticks.energy_between(begin, end) == pytest.approx(run.energy_j, rel=0.02)
        requests = read_log(Path(f"{name}.requests.csv.gz"), "requests").columns
        served = zip(requests["input_tokens"], requests["output_tokens"], strict=True)
        assert list(served) == replay.lengths
        for log in LOG_COLUMNS:
            facts = read_log(Path(f"{name}.{log}.csv.gz"), log).facts
            assert facts["replay"] == "mine.json"
            assert facts["energy_j"] == run.energy_j
            assert facts["engine_settings"] == replay.facts["engine_settings"]
            assert facts["trace"] == "short.csv"
            assert facts["problem"] is None
            assert facts["host_use"]["cpu_seconds"] >= 0


def test_without_the_option_nothing_is_logged(
    stage: Stage, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_replay, "WindowLogger", None)
    monkeypatch.setattr(stage.engine, "start_step_log", None)
    assert run_cli(*REPLAY, "-o", "mine.json").exit_code == 0
    assert logs_in(tmp_path) == set()


def test_logs_that_are_there_end_it_before_the_engine_starts(
    stage: Stage, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_replay, "load_engine", None)
    monkeypatch.setattr(measuring, "load_engine", None)
    Path("mine-2.ticks.csv.gz").touch()
    result = run_cli(*REPLAY, "--runs", 2, "--log", "-o", "mine.json")
    assert result.exit_code == 1
    assert "mine-2.ticks.csv.gz: is there already; a measurement is not over" in result.stderr
    Path("short-2.csv").write_text(Path("short.csv").read_text())
    words = (*REPLAY[:2], "short-2.csv", *REPLAY[2:], "--runs", 2, "--log", "-o", "folder")
    assert "short-2: two runs have logs of that name" in run_cli(*words).stderr
    logs = tmp_path / "table" / "logs"
    logs.mkdir(parents=True)
    (logs / "1-1-1-1.steps.csv.gz").touch()
    result = run_cli(*MEASURE, "--log", "-o", "table")
    assert "1-1-1-1.steps.csv.gz: is there already" in result.stderr


def test_a_poller_that_dies_costs_the_ticks_and_not_the_replay(
    stage: Stage, run_cli: RunCli
) -> None:
    stage.reader.dies_at = 118.0
    result = run_cli(*REPLAY, "--log", "-o", "mine.json")
    assert result.exit_code == 0, result.output
    (said,) = [line for line in result.stderr.splitlines() if "not complete" in line]
    assert said.endswith("the process that reads the energy counters ended with status -9")
    assert len(Replay.load(Path("mine.json")).valid_runs) == 1
    facts = StepLog.read(Path("mine.steps.csv.gz")).facts
    assert (facts["steps_complete"], facts["ticks_complete"]) == (True, False)
    assert "status -9" in facts["problem"]
    ticks = Ticks.read(Path("mine.ticks.csv.gz"))  # those that it saw
    assert ticks.problem(*ticks.window) is not None


def test_an_engine_that_hides_its_scheduler(stage: Stage, run_cli: RunCli, tmp_path: Path) -> None:
    stage.engine.keeps_scheduler_elsewhere = True
    result = run_cli(*REPLAY, "--log", "-o", "mine.json")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("keeps its scheduler elsewhere") == 1
    assert logs_in(tmp_path) == {"mine.ticks.csv.gz", "mine.states.csv.gz"}
    facts = Ticks.read(Path("mine.ticks.csv.gz")).facts
    assert (facts["steps_complete"], facts["ticks_complete"]) == (False, True)


def test_a_log_at_odds_with_the_engines_count_says_so(
    stage: Stage, run_cli: RunCli, tmp_path: Path
) -> None:
    stage.engine.counts_more = 3
    result = run_cli(*REPLAY, "--log", "-o", "mine.json")
    assert result.exit_code == 0, result.output
    assert "the log is not complete: it has " in result.stderr
    facts = StepLog.read(Path("mine.steps.csv.gz")).facts
    assert facts["steps_complete"] is False
    assert "the engine counted" in facts["problem"]


def test_a_table_with_the_logs_of_its_windows(
    stage: Stage, run_cli: RunCli, tmp_path: Path
) -> None:
    result = run_cli(*MEASURE, "--log", "-o", "table")
    assert result.exit_code == 0, result.output
    table = load_table(str(tmp_path / "table"))
    runs = table.runs
    assert len(runs) > 3
    assert logs_in(tmp_path / "table/logs") == {
        f"{'-'.join(map(str, run.key))}.{log}.csv.gz" for run in runs for log in LOG_COLUMNS
    }
    for run in runs:
        name = "-".join(map(str, run.key))
        ticks = Ticks.read(tmp_path / f"table/logs/{name}.ticks.csv.gz")
        assert ticks.problem(*ticks.window) is None
        assert ticks.energy_between(*ticks.window) == pytest.approx(run.energy_j, rel=0.02)
        facts = ticks.facts
        assert (facts["batches"], facts["batch_size"]) == (run.batches, run.batch_size)
        assert facts["gpu"] == "h100-sxm"
        assert facts["card"] == run.gpu
        assert facts["idle_power_w"] == pytest.approx(100, abs=1)
    more = (*MEASURE[:-1], 2, "--log", "-o", "table", "--resume")
    assert run_cli(*more).exit_code == 0
    assert len(logs_in(tmp_path / "table/logs")) == 4 * len(
        load_table(str(tmp_path / "table")).runs
    )


def test_the_logs_of_a_study_tell_phases_or_why_they_do_not(
    stage: Stage, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = (*MEASURE[:-3], "batches", "--runs", 1, "--log", "-o", "table")
    result = run_cli(*study)
    assert result.exit_code == 0, result.output
    assert "512-64-8-1.steps.csv.gz: its ticks do not tell prefill from decoding" in result.stderr
    assert not Path("table/phases.csv").exists()
    split = PhaseSplit(512, 64, 8, 1, 12, 846.0, 15.5, 2030.25, 23.0, 3.1, 2879.4, 1.0, 3.9, 0)
    monkeypatch.setattr(phases, "split_run", lambda path: split)
    result = run_cli(*study[:-1], "told")
    assert "told/phases.csv: prefill and decoding of 10 runs" in result.stderr
    assert read_phases(Path("told/phases.csv")) == [split] * 10
