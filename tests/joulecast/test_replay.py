"""`joulecast replay` on a GPU and engines that live in fake time, and `joulecast validate`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from joulecast.cli import replay as cli_replay
from joulecast.estimator.steps.continuous_batching import ContinuousBatching
from joulecast.estimator.steps.metered_batches import metered_batches
from joulecast.estimator.steps.prices import fit_prices
from joulecast.measurements.engines import EngineError, EngineSteps, EngineVariant
from joulecast.measurements.gpu.devices import MeterError
from joulecast.measurements.replay import SHIPPED, Replay, ReplayRun
from joulecast.measurements.replay_session import ReplaySession
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError
from joulecast.traces.public.catalog import load_embedded
from tests.conftest import RunCli
from tests.measurements.fakes import FakeEngine, FakeTime, working_gpu

VLLM = "h100-sxm/llama-3.1-8b/vllm"
PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"
WORDS = "replay", "azure-2023-code", "--model", "llama-3.1-8b", "--requests", 300


@dataclass
class ContinuousFake(FakeEngine):
    """Takes as long as the step model says for the shipped vLLM table, at its mean power."""

    model_seconds: Callable[[Sequence[tuple[int, int]]], float] = lambda _: 20.0
    produced_more: int = 0

    def prepare_requests(self, lengths: Sequence[tuple[int, int]]) -> Callable[[], int]:
        def run() -> int:
            if error := self.fails_at(0, 0, 0):
                raise error
            self.sleep(self.model_seconds(lengths))
            self.steps.steps += 7
            self.steps.tokens += sum(i + o - 1 for i, o in lengths)
            return sum(o for _, o in lengths) + self.produced_more

        self.steps = EngineSteps()
        return run

    def record_steps(self) -> EngineSteps:
        self.steps = EngineSteps()
        return self.steps


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A GPU that draws 640 W while the engine works, and 120 W else."""
    fake_time = FakeTime()
    gpu, work = working_gpu(fake_time, working_w=640.0, idle_w=120.0)
    table = load_table(VLLM)
    prices = fit_prices(metered_batches(table))
    rules = ContinuousBatching.from_settings(table.metadata["engine_settings"], VLLM)

    def seconds(lengths: Sequence[tuple[int, int]]) -> float:
        return prices.total_j(rules.schedule(np.array(lengths)).counts) / 640

    stage = {
        "gpu": gpu,
        "engine": ContinuousFake(sleep=work, name="vllm", version="0.22.0", model_seconds=seconds),
        "work": work,
    }
    monkeypatch.setattr(cli_replay, "choose_gpus", lambda named, environment: (0,))
    monkeypatch.setattr(cli_replay, "open_gpus", lambda indices: [stage["gpu"]])
    monkeypatch.setattr(cli_replay, "load_engine", lambda name, request: stage["engine"])
    monkeypatch.setattr(
        cli_replay,
        "ReplaySession",
        partial(ReplaySession, clock=fake_time.clock, sleep=fake_time.sleep),
    )
    return stage


def test_a_replay_is_metered_kept_and_forecast(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    path = tmp_path / "code.json"
    result = run_cli(*WORDS, "--engine", "vllm", "--seed", 4, "--runs", 2, "-o", path)
    assert result.exit_code == 0, result.output
    assert "300 requests, 2 valid runs" in result.stdout
    replayed = Replay.load(path)
    assert len(replayed.lengths) == 300
    assert replayed.facts["seed"] == 4
    assert replayed.facts["gpu"] == "h100-sxm"
    assert [run.reason for run in replayed.runs] == [None, None]
    for run in replayed.runs:
        assert run.energy_j == pytest.approx(640 * run.seconds, rel=0.02)
        assert run.idle_power_w == pytest.approx(120, abs=1)
    document = json.loads(run_cli("validate", path, "--format", "json").stdout)
    (row,) = document["replays"]
    assert row["table"] == VLLM
    assert abs(row["stepwise"]["error_percent"]) < 1
    assert row["stepwise"]["is_within"] is True
    assert row["binned"]["error_percent"] > 5
    assert row["binned"]["is_within"] is None
    assert row["steps"]["simulated"] > 10
    shown = run_cli("validate", tmp_path).stdout
    for text in ("code", "yes", "median", "1 of 1"):
        assert text in shown


def test_the_draw_is_of_the_trace_and_repeats(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    trace = tmp_path / "t.csv"
    lengths = [(k + 1, 2 * k + 1) for k in range(400)]
    rows = "".join(f"{i},{o}\n" for i, o in lengths)
    trace.write_text("input_tokens,output_tokens\n" + rows)
    draws = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = "replay", trace, "--model", "llama-3.1-8b", "--engine", "vllm", "--seed", seed
        path = tmp_path / f"{name}.json"
        result = run_cli(*words, "--requests", 300, "-o", path)
        assert result.exit_code == 0, result.output
        draws.append(Replay.load(path).lengths)
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 300
    assert set(draws[0]) < set(lengths)
    again = run_cli(*words, "--requests", 300, "-o", path)
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    too_many = run_cli(*words, "--requests", 401, "-o", tmp_path / "d.json")
    assert "takes, fewer than 401; give --requests 400" in too_many.stderr


def test_several_traces_take_one_start_of_the_engine(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("replay", "azure-2023-code", "azure-2023-conv", "--engine", "vllm")
    words = (*words, "--model", "llama-3.1-8b", "--requests", 300, "--requests", 200)
    folder = tmp_path / "replays"
    result = run_cli(*words, "-o", folder)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("starting vllm") == 1
    assert result.stderr.count("idle power") == 1
    made = {path.stem: Replay.load(path) for path in folder.iterdir()}
    counts = {name: len(replay.lengths) for name, replay in made.items()}
    assert counts == {"azure-2023-code": 300, "azure-2023-conv": 200}
    assert len({replay.runs[0].idle_power_w for replay in made.values()}) == 1
    again = run_cli(*words, "-o", folder)
    assert again.exit_code == 1
    assert "azure-2023-code.json: is there already" in again.stderr
    for more, code, said in (
        (("--requests", 5, "-o", tmp_path / "x"), 2, "--requests is given 3 times for 2 traces"),
        (("azure-2023-code", "--requests", 9, "-o", tmp_path / "x"), 1, "two traces of that name"),
        (("-o", folder / "azure-2023-code.json"), 1, "is a file; replays of several traces"),
        (("-o", tmp_path / "a" / "b"), 1, "its folder is not there"),
    ):
        result = run_cli(*words, *more)
        assert result.exit_code == code
        assert said in result.stderr
    assert "is a folder; name the file" in run_cli(*WORDS, "--engine", "vllm", "-o", folder).stderr


def test_a_replay_asks_for_the_variant(
    machine: dict, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = []
    monkeypatch.setattr(
        cli_replay, "load_engine", lambda name, asked: requests.append(asked) or machine["engine"]
    )
    words = (*WORDS, "--engine", "vllm", "--eager", "--quantization", "fp8", "--gpu", 0)
    words = (*words, "--gpu", 1, "--max-num-seqs", 16, "--max-num-batched-tokens", 4096)
    result = run_cli(*words, "-o", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    (request,) = requests
    assert request.variant == EngineVariant(2, False, "fp8", 16, 4096)


def test_a_replay_goes_on_where_steps_cannot_be_counted(
    machine: dict, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> EngineSteps:
        raise EngineError("vLLM 9 keeps its scheduler elsewhere")

    monkeypatch.setattr(machine["engine"], "record_steps", refuse)
    result = run_cli(*WORDS, "--engine", "vllm", "-o", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    assert "keeps its scheduler elsewhere" in result.stderr
    assert Replay.load(tmp_path / "x.json").engine_steps is None


def test_static_batches_come_from_a_table(machine: dict, run_cli: RunCli, tmp_path: Path) -> None:
    machine["engine"] = FakeEngine(
        sleep=machine["work"], seconds_per_batch=3.0, name="pytorch", version="transformers 5.17.0"
    )
    path = tmp_path / "static.json"
    words = (*WORDS, "--engine", "pytorch", "-o", path)
    assert "give --static N, or --table" in run_cli(*words).stderr
    assert "has no static batches" in run_cli(*words, "--table", VLLM).stderr
    compiled = run_cli(*words, "--table", PYTORCH, "--compile")
    assert "served otherwise than --model and --compile say" in compiled.stderr
    result = run_cli(*words, "--table", PYTORCH)
    assert result.exit_code == 0, result.output
    replayed = Replay.load(path)
    assert replayed.batches is not None
    assert sum(n for n, _, _ in replayed.batches) == 300
    assert replayed.engine_steps is None
    assert replayed.facts["batches_from"] == PYTORCH
    row = json.loads(run_cli("validate", path, "--format", "json").stdout)["replays"][0]
    assert row["steps"] == {
        "simulated": sum(o for _, _, o in replayed.batches), "engine": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EngineError("vLLM crashed: out of blocks"), "Error: vLLM crashed: out of blocks"),
        (MeterError("GPU 0: its energy counter cannot be read"), "cannot be read"),
    ],
)
def test_what_goes_wrong_leaves_no_file(
    error: Exception, said: str, machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    machine["engine"].fails_at = lambda *_: error
    result = run_cli(*WORDS, "--engine", "vllm", "-o", tmp_path / "x.json")
    assert result.exit_code == 1
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_a_gate_is_kept_and_counts_for_nothing(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    machine["engine"].produced_more = -1
    path = tmp_path / "x.json"
    result = run_cli(*WORDS, "--engine", "vllm", "-o", path)
    assert result.exit_code == 1
    assert "1 of 1 runs are invalid: tokens produced" in result.stderr
    assert Replay.load(path).valid_runs == []
    assert "has no valid run: tokens produced" in run_cli("validate", path).stderr


GOOD_RUN = {
    "energy_j": 1e4, "seconds": 20.0, "tick_error_j": 1.0, "temperature_start_c": 50.0,
    "temperature_end_c": 51.0, "card": "GPU-1", "idle_power_w": 100.0,
    "started_at": "now", "reason": None,
}  # fmt: skip


def good_replay() -> Replay:
    facts = {
        "trace": "t", "gpu": "h100-sxm", "gpu_product": "x", "model": "llama-3.1-8b",
        "engine": "vllm", "engine_version": "1", "engine_settings": {}, "dtype": "bfloat16",
        "measured_on": "2026-11-23", "measured_by": "a test",
    }  # fmt: skip
    return Replay(facts, [(100, 20), (30, 4)], [(2, 100, 20)], [ReplayRun(**GOOD_RUN)], None)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    own = replace(good_replay(), engine_steps=EngineSteps(3, 4, 5))
    own.save(tmp_path / "r.json")
    assert Replay.load(tmp_path / "r.json") == own


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "format",
            "joulecast workload",
            '"format" is "joulecast workload", not "joulecast replay"',
        ),
        ("version", 2, '"version" is 2, not 1'),
        ("gpu", 5, '"gpu" is 5, not a text'),
        ("engine_settings", [], r'"engine_settings" is \[\], not an object'),
        ("engine_settings", {"x": [1]}, r'"engine_settings.x" is \[1\], not a text, a number'),
        ("lengths", [], "no requests"),
        ("lengths", [[1]], r'"lengths\[0\]" is \[1\], not an input and an output length'),
        ("lengths", [[1, 1], [1, 0]], r'"lengths\[1\]" is \[1, 0\], not .* of 1 or more'),
        ("lengths", [[1.5, 2], [1, 1]], r'"lengths\[0\]" is \[1.5, 2\], not'),
        ("lengths", None, '"lengths" is null, not a list'),
        ("batches", [[3, 1, 1]], "do not hold its requests"),
        ("runs", [], "no runs"),
        ("runs", [{"energy_j": 1}], r'"runs\[0\]" lacks "seconds"'),
        ("runs", "none", '"runs" is "none", not a list'),
        ("engine_steps", {"stepz": 1}, '"engine_steps" lacks "steps"'),
        ("engine_steps", {"steps": "a", "tokens": 1, "preempted": 0}, "engine_steps.steps"),
        ("engine_steps", 5, '"engine_steps" is 5, not an object'),
        ("engine_steps", {"steps": 1, "tokens": 1, "preempted": 0, "x": 1}, 'has "x"'),
        ("runs", [{**GOOD_RUN, "tick_error_j": -5.0}], r"runs\[0\].tick_error_j"),
        ("runs", [{**GOOD_RUN, "reason": ""}], "why it is not valid, or null"),
        ("runs", [{**GOOD_RUN, "foo": 1}], r'"runs\[0\]" has "foo"'),
        ("power_limit_w", 400.0, "more than the limit of 400 W"),
        ("gpu_count", "two", '"gpu_count" is "two", not a believable'),
        ("sources", {}, '"sources" is {}, not a list'),
        ("host_cpu", 5, '"host_cpu" is 5, not a text'),
        ("engine", "pytorch", "its static batches are missing"),
    ],
)
def test_a_spoilt_file_is_named(key: str, value: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    good_replay().save(path)
    changes = {key: value} | ({"batches": None} if key == "engine" else {})
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=said) as caught:
        Replay.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_replay_is_not_overwritten_by_what_is_said_of_it(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    assert run_cli(*WORDS, "--engine", "vllm", "-o", path).exit_code == 0
    before = path.read_bytes()
    for words in (("-o", path, "--format", "json"), ("-o", path)):
        result = run_cli("validate", path, *words)
        assert result.exit_code == 1
        assert "is a replay that was given" in result.stderr
    result = run_cli("validate", path, "-o", tmp_path / "o", "--plot", tmp_path / "no" / "p.png")
    assert result.exit_code == 1
    assert "its folder does not exist" in result.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_settings_and_batches_are_told(run_cli: RunCli, tmp_path: Path) -> None:
    shipped = SHIPPED / "vllm" / "short-replies.json"
    path = tmp_path / "r.json"
    for changes in ({"gpu_count": 4}, {"engine_settings": {"eager": True, "quantization": "fp8"}}):
        path.write_text(json.dumps(json.loads(shipped.read_text()) | changes))
        result = run_cli("validate", path)
        assert result.exit_code == 1
        assert "and the same settings; give one with --table" in result.stderr
    static = json.loads((SHIPPED / "pytorch" / "short-replies.json").read_text())
    assert "other static batches" not in run_cli("validate", SHIPPED / "pytorch").stdout
    path.write_text(json.dumps(static | {"batches": [[4000, 120, 24]]}))
    said = " ".join(run_cli("validate", path).stdout.split())
    assert "Run in other static batches than the table makes of them: r." in said


def test_validate_says_what_it_lacks(run_cli: RunCli, tmp_path: Path) -> None:
    assert "holds no replay" in run_cli("validate", tmp_path).stderr
    own = good_replay()
    other = replace(own, facts={**own.facts, "gpu": "a100-sxm-80gb"})
    other.save(tmp_path / "r.json")
    result = run_cli("validate", tmp_path / "r.json")
    assert result.exit_code == 1
    assert "no table of llama-3.1-8b on a100-sxm-80gb with vllm and the same settings; give" in (
        result.stderr
    )
    assert load_embedded("azure-2023-code").total.requests == 8819
