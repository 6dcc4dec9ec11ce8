"""`joulecast replay --in-flight` and `--static`: the same requests, handed over otherwise."""

import json
from pathlib import Path

import pytest

from joulecast.measurements.engines import BatchTooLargeError
from joulecast.measurements.gpu.gates import MIN_WINDOW_S
from joulecast.measurements.replay import Replay
from joulecast.traces.errors import InputError
from tests.conftest import RunCli
from tests.measurements.fakes import FakeEngine

WORDS = ("replay", "azure-2023-conv", "--model", "llama-3.1-8b", "--requests", 48, "--seed", 3)
VLLM, PYTORCH = (*WORDS, "--engine", "vllm"), (*WORDS, "--engine", "pytorch")


def replays_of(folder: Path) -> dict[str, Replay]:
    return {
        path.stem.removeprefix("azure-2023-conv-"): Replay.load(path)
        for path in sorted(folder.iterdir())
    }


def test_numbers_in_flight_and_batches_share_requests_and_an_engine(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("--in-flight", 4, "--in-flight", 16, "--static", 4, "--static", 16, "--runs", 2)
    result = run_cli(*VLLM, *words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert machine["starts"] == 1
    # Batches are not limited by what was before, nor is who has the engine next.
    assert machine["engine"].limits_set == [4, None, 16, None, None, None, None, None]
    replays = replays_of(tmp_path / "out")
    assert sorted(replays) == ["in-flight-16", "in-flight-4", "static-16", "static-4"]
    assert len({tuple(replay.lengths) for replay in replays.values()}) == 1
    assert replays["in-flight-4"].facts["in_flight"] == 4
    assert "static" not in replays["in-flight-4"].facts
    static = replays["static-4"]
    assert (static.facts["static"], static.facts["padded"]) == (4, False)
    for k, (requests, i, o) in enumerate(static.batches or ()):
        batch = static.lengths[4 * k : 4 * k + 4]
        assert (requests, i, o) == (4, max(i for i, _ in batch), max(o for _, o in batch))
    for replay in replays.values():
        assert [run.reason for run in replay.runs] == [None, None]
        fed = sum(i + o - 1 for i, o in replay.lengths)
        assert replay.engine_steps is not None
        assert replay.engine_steps.tokens == fed  # own lengths: nothing is padded
    counts = {name: replay.engine_steps.steps for name, replay in replays.items()}
    assert counts["static-4"] > counts["in-flight-4"] > counts["in-flight-16"]


def test_the_forecast_has_the_steps_of_the_engine(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("--in-flight", 1, "--in-flight", 7, "--static", 1, "--static", 9)
    for more, name in (((), "own"), (("--pad",), "padded")):
        result = run_cli(*VLLM, *words, *more, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        shown = run_cli("validate", tmp_path / name, "--format", "json")
        assert shown.exit_code == 0, shown.output
        rows = json.loads(shown.stdout)["replays"]
        assert len(rows) == 4
        for row in rows:
            assert row["steps"]["simulated"] == row["steps"]["engine"]
            assert row["tokens"]["simulated"] == row["tokens"]["engine"]
            assert "binned" not in row  # which knows the largest batches alone
        one_by_one = {row["steps"]["engine"] for row in rows if row["replay"].endswith("-1")}
        assert len(one_by_one) == 1  # alone, a request is served the same either way


def test_padded_requests_are_as_long_as_the_longest(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    result = run_cli(*VLLM, "--static", 20, "--pad", "-o", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    replay = Replay.load(tmp_path / "x.json")
    batches = replay.batches or ()
    assert [requests for requests, _, _ in batches] == [20, 20, 8]
    assert machine["engine"].asked[:3] == [[(i, o)] * n for n, i, o in batches]
    assert machine["request"].longest >= max(i + o for _, i, o in batches)
    assert replay.engine_steps is not None
    assert replay.engine_steps.tokens == sum(n * (i + o - 1) for n, i, o in batches)


def test_short_requests_are_run_again_until_the_window_is_long_enough(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n" + "50,30\n" * 8)
    words = ("replay", tmp_path / "t.csv", "--model", "llama-3.1-8b", "--engine", "vllm")
    path = tmp_path / "x.json"
    result = run_cli(*words, "--requests", 8, "--static", 8, "--runs", 2, "-o", path)
    assert result.exit_code == 0, result.output
    assert "the requests 17 times" in result.stderr
    replay = Replay.load(path)
    for run in replay.runs:
        assert run.reason is None
        assert run.seconds >= MIN_WINDOW_S
        assert run.rounds == 17  # 30 steps of 10 ms
        assert run.round_seconds == pytest.approx(0.3, rel=0.05)
        assert run.round_j == pytest.approx(640 * 0.3, rel=0.1)
    assert replay.engine_steps is not None
    assert (replay.engine_steps.steps, replay.engine_steps.tokens) == (30, 8 * 79)
    row = json.loads(run_cli("validate", path, "--format", "json").stdout)["replays"][0]
    assert row["metered_seconds"] == pytest.approx(0.3, rel=0.05)


def test_pytorch_runs_batches_of_a_given_size_padded(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    machine["engine"] = FakeEngine(
        sleep=machine["work"], seconds_per_batch=3.0, name="pytorch", version="transformers 5.17.0"
    )
    result = run_cli(*PYTORCH, "--static", 16, "--static", "largest", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    replays = replays_of(tmp_path / "out")
    assert [n for n, _, _ in replays["static-16"].batches or ()] == [16, 16, 16]
    assert replays["static-largest"].facts["static"] == 48
    for replay in replays.values():
        assert replay.facts["padded"] is True
        assert replay.facts["batches_from"] is None
    rows = json.loads(run_cli("validate", tmp_path / "out", "--format", "json").stdout)["replays"]
    for row in rows:
        batches = replays[row["replay"].removeprefix("azure-2023-conv-")].batches or ()
        assert row["steps"]["simulated"] == sum(o for _, _, o in batches)


def test_a_batch_that_does_not_fit_leaves_the_others_their_turn(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    engine = FakeEngine(sleep=machine["work"], seconds_per_batch=3.0, name="pytorch")
    engine.fails_at = lambda i, o, n: BatchTooLargeError("out of memory") if n == 48 else None
    machine["engine"] = engine
    result = run_cli(*PYTORCH, "--static", 48, "--static", 16, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "static-48.json: not made: out of memory" in result.stderr
    assert list(replays_of(tmp_path / "out")) == ["static-16"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*VLLM, "--pad"), "--pad is for --static"),
        ((*VLLM, "--in-flight", 0), "0 is not in the range"),
        ((*VLLM, "--static", "all"), '"all" is neither a number of requests nor "largest"'),
        ((*VLLM, "--in-flight", 8, "--in-flight", 8), "--in-flight 8 is given twice"),
        ((*VLLM, "--in-flight", 2000), "more than the 1,024 that vllm is started for"),
        ((*VLLM, "--max-num-seqs", 8, "--static", 9), "give --max-num-seqs 9"),
        ((*VLLM, "--in-flight", 49), "--in-flight 49 is more than the 48 requests"),
        ((*PYTORCH, "--in-flight", 8), "--in-flight is for --engine vllm"),
        ((*PYTORCH, "--static", 8, "--table", "h100-sxm/llama-3.1-8b/pytorch"), "leave --table"),
        (PYTORCH, "give --static N, or --table"),
        ((*VLLM, "--gpu-type", "h200-sxm"), "--gpu-type is for --dry-run"),
    ],
)
def test_what_means_nothing_is_refused(
    words: tuple[object, ...], said: str, machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    result = run_cli(*words, "-o", tmp_path / "x.json")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert machine["starts"] == 0


def test_arrivals_are_neither_limited_nor_batched(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("replay", "azure-2023-conv", "--model", "llama-3.1-8b", "--engine", "vllm")
    for more in (("--in-flight", 8), ("--static", 8)):
        result = run_cli(*words, "--arrivals", *more, "-o", tmp_path / "x.json")
        assert result.exit_code == 2
        assert f"{more[0]} is not for --arrivals" in result.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"in_flight": 0}, '"in_flight" is 0'),
        ({"padded": 1}, '"padded" is 1, not true or false'),
        ({"in_flight": 4}, "in static batches, and served continuously, too"),
        ({"static": 5}, "not those of its requests in their order"),
        ({"batches": None}, "not those of its requests in their order"),
        ({"padded": True}, "tokens to feed, and the engine counted"),
    ],
)
def test_a_file_that_contradicts_itself_is_named(
    changes: dict, said: str, machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    assert run_cli(*VLLM, "--static", 4, "-o", path).exit_code == 0
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=said):
        Replay.load(path)


def test_a_dry_run_tells_what_it_takes_without_a_gpu(
    machine: dict, run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("--in-flight", 4, "--static", 4, "--runs", 3, "--dry-run", "--gpu-type", "h200-sxm")
    result = run_cli(*VLLM, *words)
    assert result.exit_code == 0, result.output
    assert machine["starts"] == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("azure-2023-conv-in-flight-4: 48 requests; 3 windows of ")
    assert lines[1].startswith("azure-2023-conv-static-4: 48 requests; 3 windows of ")
    assert "6 windows of vllm with llama-3.1-8b, about " in lines[2]
    seconds = [float(line.split(" of ")[1].split(" s ")[0]) for line in lines[:2]]
    assert seconds[1] > seconds[0] > 1
    minutes = float(lines[2].split("about ")[1].split(" minutes")[0])
    assert minutes == pytest.approx(3 * (sum(seconds) + 2) / 60, abs=0.1)
    largest = run_cli(*PYTORCH, "--static", "largest", "--dry-run")
    assert largest.exit_code == 0, largest.output
    assert "azure-2023-conv-static-largest: 48 requests" in largest.stdout
    refused = run_cli(*VLLM[:4], "--engine", "vllm", "--arrivals", "--dry-run")
    assert "--dry-run is not for --arrivals" in refused.stderr
    assert "give the file or folder to write" in run_cli(*VLLM).stderr
