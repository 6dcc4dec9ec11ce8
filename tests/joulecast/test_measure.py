"""`joulecast measure`, on a GPU and an engine that live in fake time."""

import csv
import io
import itertools
import json
import re
from pathlib import Path

import pytest

from joulecast import measuring
from joulecast.cli import measure as cli_measure
from joulecast.cli.measure import observer
from joulecast.measurements.engines import BatchTooLargeError, EngineError
from joulecast.measurements.models import load_config
from joulecast.measurements.table.interpolation import FEW_CELLS
from joulecast.measurements.table.table import load_table
from joulecast.traces.grid import PAPER_GRID
from tests.conftest import RunCli

WORDS = ("measure", "--engine", "vllm", "--model", "llama-3.1-8b")


def test_a_dry_run_heeds_the_budget_and_what_is_there(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    cut = run_cli(*WORDS, "--dry-run", "--time-budget", 5).stdout.splitlines()
    assert 10 < len(cut) < 50
    assert float(re.search(r"about ([\d.]+) minutes", cut[-1])[1]) <= 5
    assert run_cli(*WORDS, "--dry-run", "--time-budget", "nan").exit_code == 2
    folder = tmp_path / "t"
    run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", folder)
    words = (*WORDS, "--plan", "paper", "--runs", 2, "-o", folder, "--resume", "--dry-run")
    left = run_cli(*words).stdout.splitlines()
    assert left[-1].startswith("56 runs")
    assert all("run 2" in line for line in left[:-1])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("cards", value) for value in (5, {"GPU-1": 5}, {"GPU-1": {}})),
        *(("capacity", value) for value in (5, {"found": 5}, {"found": [[32, 8]]})),
        ("capacity", {"found": [[32, 8, "many", None]]}),
        ("capacity", {"found": [[32, 8, 5000, None]]}),
        ("capacity", {"found": [[32, 8, 3, 1]]}),
        ("capacity", {"found": [], "gpu_seconds": "x"}),
        ("capacity", {"found": [], "tries": None}),
    ],
)
def test_a_spoilt_folder_is_not_resumed(
    key: str, value: object, run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", folder)
    path = folder / "table.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    result = run_cli(*WORDS, "--runs", 1, "-o", folder, "--resume")
    assert result.exit_code == 1
    assert f'table.json: "{key}' in result.stderr


def test_what_is_at_odds_is_found_before_the_engine_starts(
    run_cli: RunCli, machine: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is changed, and nothing is loaded."""
    folder = tmp_path / "t"
    words = (*WORDS, "--plan", "spread", "--runs", 1, "-o", folder, "--resume")
    run_cli(*words[:-1])
    monkeypatch.setattr(measuring, "load_engine", None)
    good = {path.name: path.read_text() for path in folder.iterdir()}
    table = json.loads(good["table.json"])
    first = good["runs.csv"].splitlines()[1]
    fields = first.split(",")
    twice = ",".join([*fields[:2], str(int(fields[2]) - 1), *fields[3:]])
    spoilt = {
        "host.csv": ("nothing that we wrote", "its columns must be"),
        "runs.csv": (good["runs.csv"] + twice + "\n", "has the largest batches"),
        "table.json": (json.dumps(table | {"measured_by": "joulecast 0.0.1"}), "cannot mix them"),
    }
    spoilt["left_out"] = (
        json.dumps(table | {"left_out": [[1, 2]]}),
        '"left_out[0]" is [1, 2], not',
    )
    for option, value, said in (
        ("compiled", False, "was measured without --compile"),
        ("gpus", 2, "was measured on 2 GPUs, not on 1"),
        ("quantization", "fp8", "was measured with --quantization fp8"),
        ("max_num_seqs", 16, "was measured with --max-num-seqs 16"),
        ("max_num_batched_tokens", 4096, "was measured with --max-num-batched-tokens 4096"),
    ):
        changed = {"variant": {**table["variant"], option: value}}
        settings = table["engine_settings"]
        if option == "gpus":
            changed["gpu_count"] = value
        elif option == "quantization":
            changed["engine_settings"] = {**settings, option: value}
        spoilt[option] = json.dumps(table | changed), said
    spoilt["variant"] = json.dumps(table | {"variant": 5}), '"variant" is 5, not an object'
    for what, (content, said) in spoilt.items():
        name = what if what in good else "table.json"
        (folder / name).write_text(content)
        result = run_cli(*words)
        assert result.exit_code == 1, what
        assert said in result.stderr
        assert (folder / name).read_text() == content
        (folder / name).write_text(good[name])
    (folder / "runs.csv").unlink()
    assert "was a cell lost?" in run_cli(*words).stderr
    (folder / "runs.csv").mkdir()
    assert "runs.csv: cannot be read" in run_cli(*words).stderr
    assert {path.name for path in folder.iterdir()} == set(good)
    assert (folder / "table.json").read_text() == good["table.json"]


def test_a_batch_that_does_not_fit_after_all_is_made_smaller(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    """B(I, O) is what the card holds, whatever a search thought; the rest of the plan goes on."""
    tried: list[int] = []

    def fails(i: int, o: int, batch_size: int) -> Exception | None:
        if (i, o) != (2048, 512) or batch_size <= 170:
            return None
        tried.append(batch_size)
        return BatchTooLargeError(f"out of memory with {batch_size}")

    machine["engine"].fails_at = fails
    folder = tmp_path / "t"
    result = run_cli(*WORDS, "--plan", "spread", "--runs", 2, "-o", folder)
    assert result.exit_code == 0, result.output
    assert tried == [175, 171]
    assert "out of memory with 175; B(2048, 512) is now 171" in result.stderr
    table = load_table(str(folder))
    assert table.measured[2048, 512].batch_size == 167
    assert len(table.capacity_runs[2048, 512]) == 2
    assert table.metadata["capacity"]["found"] == [[2048, 512, 167, 171]]
    more = run_cli(*WORDS, "--plan", "spread", "--runs", 3, "-o", folder, "--resume")
    assert more.exit_code == 0, more.output
    assert tried == [175, 171]
    machine["engine"].fails_at = lambda *cell: BatchTooLargeError("out of memory")
    words = (*WORDS, "--plan", "spread", "--runs", 4, "-o", folder, "--resume")
    assert "out of memory; what was measured is in" in run_cli(*words).stderr


def test_what_a_search_found_is_kept_and_not_searched_again(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    engine, asked = machine["engine"], []
    real = engine.capacity

    def capacity(i: int, o: int) -> int:
        asked.append((i, o))
        return real(i, o)

    def record() -> dict:
        rows = [[i, o, real(i, o), real(i, o) + 1] for i, o in sorted(set(asked))]
        return {"how": "tried", "gpu_seconds": len(asked) / 5, "tries": len(asked), "found": rows}

    engine.capacity, engine.capacity_record = capacity, record
    words = (*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t")
    first = run_cli(*words, "--time-budget", 2)
    assert "largest batches: tried; 56 tries in 11 s of GPU time" in first.stderr
    assert len(asked) == 56
    outputs = [o for i, o in asked if i == 32]
    assert outputs == [8, 512, 16, 256, 32, 128, 64]
    kept = load_table(str(tmp_path / "t")).metadata["capacity"]
    assert len(kept["found"]) == 56
    asked.clear()
    engine.capacity = lambda i, o: asked.append((i, o)) or 1  # another card, fuller
    again = run_cli(*words, "--resume")
    assert again.exit_code == 0, again.output
    assert asked == []
    table = load_table(str(tmp_path / "t"))
    assert table.is_complete
    assert table.metadata["capacity"] == kept
    assert {(*cell, int(energy.batch_size)) for cell, energy in table.measured.items()} == {
        (i, o, largest) for i, o, largest, _ in kept["found"]
    }


def test_a_crash_while_searching_is_no_lack_of_memory(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    real = machine["engine"].capacity

    def capacity(i: int, o: int) -> int:
        if i == 256:
            raise EngineError("PyTorch crashed: device-side assert")
        return real(i, o)

    machine["engine"].capacity = capacity
    result = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t")
    assert result.exit_code == 1
    assert "device-side assert" in result.stderr
    assert not (tmp_path / "t").exists()


def test_a_larger_plan_keeps_what_was_found_before(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    engine, asked = machine["engine"], []
    real = engine.capacity
    engine.capacity = lambda i, o: asked.append((i, o)) or real(i, o)
    engine.capacity_record = lambda: {
        "how": "tried",
        "gpu_seconds": 1.0,
        "tries": len(asked),
        "found": [[i, o, real(i, o), None] for i, o in asked],
    }
    words = (*WORDS, "--runs", 1, "-o", tmp_path / "t")
    assert run_cli(*words, "--plan", "spread").exit_code == 0
    asked.clear()
    assert run_cli(*words, "--plan", "paper", "--resume").exit_code == 0
    assert len(asked) == 44
    kept = load_table(str(tmp_path / "t")).metadata["capacity"]
    assert (len(kept["found"]), kept["tries"], kept["gpu_seconds"]) == (56, 56, 2.0)


def test_a_quick_table_of_pytorch_serves_both_methods(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    """It has few cells at capacity, and the largest batch of every cell from the search."""
    engine = machine["engine"]
    engine.name = "pytorch"
    cells = list(PAPER_GRID.cells())
    found = [[i, o, engine.capacity(i, o), None] for i, o in cells]
    engine.capacity_record = lambda: {
        "how": "tried",
        "gpu_seconds": 1.0,
        "tries": 9,
        "found": found,
    }
    words = ("measure", "--engine", "pytorch", "--model", "llama-3.1-8b", "--plan", "quick")
    result = run_cli(*words, "-o", tmp_path / "t")
    assert result.exit_code == 0, result.output
    table = load_table(tmp_path / "t")
    assert 0 < len(table.measured) < FEW_CELLS
    assert table.largest_batches == {(i, o): size for i, o, size, _ in found}
    for method in ("binned", "stepwise"):
        words = "estimate", "azure-2023-conv", "--table", tmp_path / "t", "--method", method
        result = run_cli(*words, "--format", "json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["coverage"]["extrapolated"] > 0


def test_what_the_host_did_is_kept(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    run_cli(*WORDS, "--plan", "spread", "--runs", 1, "-o", tmp_path / "t")
    with (tmp_path / "t/host.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    runs = {run.key: run for run in load_table(str(tmp_path / "t")).runs}
    for row in rows:
        columns = ("input_tokens", "output_tokens", "batch_size", "run")
        assert float(row["seconds"]) == runs[tuple(int(row[key]) for key in columns)].seconds
        assert float(row["cpu_seconds"]) >= 0
        assert int(row["preemptions"]) >= 0


def test_a_whole_table(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    result = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", folder)
    assert result.exit_code == 0, result.output
    assert "56 runs, 56 of them valid; 0 of the plan are left" in result.stdout
    assert result.stderr.count("J per batch") == 56
    table = load_table(str(folder))
    assert table.is_complete
    assert table.metadata["status"] == "done"
    estimate = run_cli("estimate", "azure-2023-conv", "--table", folder, "--method", "binned")
    assert "100.0 % measured" in estimate.stdout


def test_stopped_and_resumed(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    first = run_cli(*WORDS, "--runs", 1, "-o", folder, "--time-budget", 3)
    assert first.exit_code == 0, first.output
    assert "time is up" in first.stderr
    again = run_cli(*WORDS, "--runs", 1, "-o", folder)
    assert again.exit_code == 1
    assert "pass --resume" in again.stderr
    assert run_cli(*WORDS, "--runs", 1, "-o", folder, "--resume").exit_code == 0
    assert load_table(str(folder)).is_complete
    machine["engine"].version = "2"
    other = run_cli(*WORDS, "--runs", 1, "-o", folder, "--resume")
    assert other.exit_code == 1
    assert "cannot mix" in other.stderr


def test_cells_without_a_valid_run_are_named(
    run_cli: RunCli, machine: dict, tmp_path: Path
) -> None:
    calls = iter(range(10_000))
    machine["gpu"].foreign_processes = lambda: [4711] if next(calls) in (3, 4, 57) else []
    result = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t")
    assert result.exit_code == 1
    assert "1 cells have no valid run" in result.stderr
    assert "foreign processes: pid 4711" in result.stderr
    again = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t", "--resume")
    assert again.exit_code == 0
    assert load_table(str(tmp_path / "t")).is_complete


def test_repeats_that_disagree_are_named(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    walk = itertools.cycle([300.0, 600.0, 450.0])
    draws = {"now": 300.0}
    machine["gpu"].power_w = lambda _: draws["now"]
    prepare = machine["engine"].prepare

    def prepare_anew(*cell: int) -> object:
        draws["now"] = next(walk)
        return prepare(*cell)

    machine["engine"].prepare = prepare_anew
    words = (*WORDS, "--plan", "paper", "--runs", 2, "--seed", 1, "-o", tmp_path / "t")
    assert "spread: I=" in run_cli(*words).stderr


def test_a_table_of_a_model_of_ones_own(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    """It brings its config along, so that others can use it; long cells are left out."""
    (tmp_path / "mine").mkdir()
    config = {**load_config("llama-3.1-8b"), "max_position_embeddings": 4096}
    (tmp_path / "mine/config.json").write_text(json.dumps(config))
    words = ("measure", "--engine", "vllm", "--model", tmp_path / "mine", "--plan", "paper")
    dry = run_cli(*words, "--runs", 1, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "(4096, 8)" in dry.stderr
    result = run_cli(*words, "--runs", 1, "-o", tmp_path / "t")
    assert result.exit_code == 0, result.output
    (tmp_path / "mine/config.json").unlink()
    (tmp_path / "t").rename(tmp_path / "moved")
    table = load_table(str(tmp_path / "moved"))
    assert table.model == "mine"
    assert len(table.measured) == 42
    assert len(table.metadata["left_out"]) == 14
    checked = run_cli("table", "check", tmp_path / "moved", "--format", "json").stdout
    said = json.loads(checked)["checks"][0]["found"]
    assert said.startswith("42 of 56; (4096, 8): the model has positions for 4096 tokens")


def test_an_engine_that_dies(run_cli: RunCli, machine: dict, tmp_path: Path) -> None:
    machine["engine"].fails_at = lambda *cell: (
        EngineError("out of memory") if cell[0] == 8192 else None
    )
    result = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t")
    assert result.exit_code == 1
    assert "out of memory; what was measured is in" in result.stderr.splitlines()[-1]
    machine["engine"].fails_at = lambda *_: None
    words = (*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t", "--resume")
    assert run_cli(*words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "fragment"),
    [
        ((*WORDS,), 2, "-o FOLDER"),
        (("measure", "--engine", "tgi", "--model", "llama-3.1-8b"), 2, "tgi"),
        (("measure", "--engine", "vllm", "--model", "llama-3.1-7b", "-o", "x"), 1, "did you mean"),
        ((*WORDS, "-o", "nowhere", "--resume"), 1, "has no table to go on with"),
        ((*WORDS, "-o", "somewhere"), 1, "NVIDIA"),
    ],
)
def test_what_cannot_be_measured(
    words, status: int, fragment: str, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_measure, "choose_gpus", lambda named, environment: (0,))
    result = run_cli(*words)
    assert result.exit_code == status
    assert fragment in result.stderr
    assert not Path("somewhere").exists()


def test_a_terminal_gets_a_bar(
    run_cli: RunCli, machine: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    real = observer.Console
    monkeypatch.setattr(
        observer, "Console", lambda **_: real(file=text, force_terminal=True, width=100)
    )
    on_terminal = cli_measure.Observer
    monkeypatch.setattr(cli_measure, "Observer", lambda _: on_terminal(True))
    result = run_cli(*WORDS, "--plan", "paper", "--runs", 1, "-o", tmp_path / "t")
    assert result.exit_code == 0, result.output
    assert "56/56" in text.getvalue()
    assert "600 W" in text.getvalue()
    assert "min left" in text.getvalue()
