"""`joulecast replay --arrivals` on a server in fake time."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from joulecast.cli import replay as cli_replay
from joulecast.measurements.gpu import window
from joulecast.measurements.replay import Replay
from joulecast.measurements.replay_session import ReplaySession
from joulecast.measurements.steplog.files import read_log
from joulecast.measurements.steplog.logger import WindowLogger
from tests.conftest import RunCli
from tests.measurements.fakes import FakeTime
from tests.measurements.traffic.fake_server import FakeServer, PricedGpu, TickReader


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A server that takes requests as they come, on a card whose every joule has a price."""
    gpu = PricedGpu(FakeTime())
    server = FakeServer(gpu=gpu)
    monkeypatch.setattr(cli_replay, "choose_gpus", lambda named, environment: (0,))
    monkeypatch.setattr(cli_replay, "open_gpus", lambda indices: [gpu])
    monkeypatch.setattr(cli_replay, "load_engine", lambda name, request: server)
    monkeypatch.setattr(
        cli_replay,
        "WindowLogger",
        lambda engine, gpus, note: WindowLogger(engine, gpus, note, lambda _: TickReader(gpu)),
    )
    monkeypatch.setattr(
        cli_replay,
        "ReplaySession",
        partial(ReplaySession, clock=gpu.fake_time.clock, sleep=gpu.fake_time.sleep),
    )
    return server


ONLINE = "--arrivals", "--engine", "vllm", "--model", "llama-3.1-8b"


def test_requests_are_served_as_they_came(
    server: FakeServer, run_cli: RunCli, tmp_path: Path
) -> None:
    trace = tmp_path / "log.csv"
    rows = [f"{5.0 + 2 * k},{100 + k},{10}" for k in range(20)]
    trace.write_text("arrival_s,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    words = trace, trace, "--speed", 1, "--speed", 2, "--seconds", 10, "--begin", 4
    result = run_cli("replay", *words, *ONLINE, "-o", tmp_path / "replays")
    assert result.exit_code == 0, result.output
    paths = sorted((tmp_path / "replays").glob("*.json"))
    assert [path.stem for path in paths] == ["log-1x", "log-2x"]
    slow, fast = map(Replay.load, paths)
    assert slow.lengths == [(102 + k, 10) for k in range(5)]
    assert fast.lengths == [(102 + k, 10) for k in range(10)]
    assert slow.served is not None
    assert fast.served is not None
    assert np.diff([at for at, _, _ in slow.served]) == pytest.approx(2, abs=1e-3)
    assert np.diff([at for at, _, _ in fast.served]) == pytest.approx(1, abs=1e-3)
    assert slow.facts["trace_begin_s"] == 4
    assert fast.facts["speed"] == 2
    logged = read_log(tmp_path / "replays" / "log-1x.requests.csv.gz", "requests")
    assert logged.columns["first_token"] - logged.facts["window_begin"] == pytest.approx(
        [first for _, first, _ in slow.served], abs=1e-3
    )


def test_traces_without_times_come_at_a_rate(
    server: FakeServer, run_cli: RunCli, tmp_path: Path
) -> None:
    words = "burstgpt-reconstructed", *ONLINE, "--seconds", 20, "-o", tmp_path / "chat.json"
    refused = run_cli("replay", *words)
    assert refused.exit_code == 1
    assert "has no arrival times; give --rate" in refused.stderr
    result = run_cli("replay", *words, "--rate", 5)
    assert result.exit_code == 0, result.output
    replay = Replay.load(tmp_path / "chat.json")
    assert replay.facts["rate"] == 5
    assert 60 < len(replay.lengths) < 150


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--arrivals", "--requests", 5), "--requests is not for --arrivals"),
        (("--arrivals", "--runs", 2), "--runs is not for --arrivals"),
        (("--speed", 2), "--speed is for --arrivals"),
        (("--seconds", 2), "--seconds is for --arrivals"),
        (("--arrivals", "--begin", 1e9, "--rate", 2), "no request that the model takes comes"),
        (("--arrivals", "--speed", 1, "--speed", 2), "--speed is given 2 times for 1 traces"),
    ],
)
def test_options_of_arrivals_are_held_apart(
    server: FakeServer, words: tuple, said: str, run_cli: RunCli, tmp_path: Path
) -> None:
    common = "--engine", "vllm", "--model", "llama-3.1-8b", "-o", tmp_path / "replay.json"
    result = run_cli("replay", "azure-2023-code", *words, *common)
    assert result.exit_code != 0
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("compilations", "exit_code"), [(1, 0), (2, 0), (3, 1)])
def test_a_run_that_was_made_again_is_no_failure(
    server: FakeServer,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compilations: int,
    exit_code: int,
) -> None:
    kernels = ["fused_moe_kernel"] * compilations
    told = [kernels[:k] for number in range(3) for k in (number, number + 1)]
    monkeypatch.setattr(window, "compiled_kernels", lambda: told.pop(0))
    words = "burstgpt-reconstructed", *ONLINE, "--rate", 5, "--seconds", 20
    result = run_cli("replay", *words, "-o", tmp_path / "chat.json")
    assert result.exit_code == exit_code, result.output
    replay = Replay.load(tmp_path / "chat.json")
    again = min(compilations, 2)
    assert [run.reason for run in replay.runs] == [
        "kernels: compiled fused_moe_kernel" if exit_code else None,
        *["kernels: compiled fused_moe_kernel"] * again,
    ]
    assert f"{1 - exit_code} valid runs; {again} more with kernels compiled" in result.stdout
    assert result.stderr.count("; it is made again") == again
    assert ("1 of 1 runs are invalid" in result.stderr) == bool(exit_code)
