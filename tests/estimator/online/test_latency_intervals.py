"""How sure latencies are said to be."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from joulecast.estimator.over_time.intervals import LatencySpread
from joulecast.measurements.models import load_config
from tests.conftest import RunCli

LOG = "arrival_s,input_tokens,output_tokens\n" + "".join(f"{k},{300 + k},40\n" for k in range(60))


def test_an_interval_is_as_many_times_shorter_as_longer() -> None:
    spread = LatencySpread({"ttft": {"p99": 1.25}}, "a made up server")
    assert spread.interval_s("ttft", "p99", 0.1) == pytest.approx((0.08, 0.125))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize(
    ("deployment", "minutes"),
    [
        (["--model", "llama-3.1-8b", "--gpu", "h200-sxm"], "83 metered minutes"),
        (["--model", "llama-3.2-3b", "--gpu", "h200-sxm"], "17 metered minutes"),
        (["--model", "qwen3-30b-a3b", "--gpu", "h200-sxm"], "17 metered minutes"),
        (["--model", "llama-3.1-8b", "--gpu", "h200-sxm", "--gpus", "4"], "17 metered minutes"),
        (["--model", "llama-3.1-8b", "--gpu", "h100-sxm"], "83 metered minutes"),
    ],
)
def test_latencies_stand_on_servers_of_their_kind(
    run_cli: RunCli, log: Path, deployment: list[str], minutes: str
) -> None:
    shown = run_cli(
        "estimate", log, *deployment, "--arrival-column", "arrival_s", "--format", "json"
    )
    serving = json.loads(shown.stdout)["serving"]
    assert serving["latency_intervals_of"].startswith(minutes)
    assert ("no other kind" in serving["latency_intervals_of"]) == ("h100-sxm" in deployment)
    for name in ("ttft", "tpot", "e2e"):
        intervals = serving["latency_intervals_s"][name]
        for quantile, seconds in serving[f"{name}_s"].items():
            low_s, high_s = intervals[quantile]
            assert low_s < seconds < high_s
            assert low_s * high_s == pytest.approx(seconds**2)


def test_a_table_of_a_model_of_ones_own(run_cli: RunCli, log: Path, tmp_path: Path) -> None:
    table = tmp_path / "own"
    shipped = files("joulecast.measurements") / "tables/h200-sxm/mistral-7b/vllm-quick"
    shutil.copytree(str(shipped), table)
    metadata = json.loads((table / "table.json").read_text()) | {"model": "my-own"}
    (table / "table.json").write_text(json.dumps(metadata))
    (table / "config.json").write_text(json.dumps(load_config("mistral-7b")))
    shown = run_cli("estimate", log, "--table", table, "--arrival-column", "arrival_s")
    assert "83 metered minutes" in " ".join(shown.stdout.split())


def test_requests_of_one_token_have_none_of_a_second(run_cli: RunCli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(LOG.replace(",40\n", ",1\n"))
    words = ["--model", "llama-3.1-8b", "--gpu", "h200-sxm", "--arrival-column", "arrival_s"]
    shown = run_cli("estimate", log, *words)
    rows = [line for line in shown.stdout.splitlines() if line.startswith("  95 % interval")]
    assert len(rows) == 2
    document = json.loads(run_cli("estimate", log, *words, "--format", "json").stdout)
    assert document["serving"]["latency_intervals_s"]["tpot"] is None
