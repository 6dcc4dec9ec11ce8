"""Requests that Spark reads and serves: the same numbers as without it."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import joulecast as jc
from joulecast.traces.binning.cluster import Cluster
from joulecast.traces.errors import InputError
from tests.conftest import RunCli

pytestmark = pytest.mark.slow  # Spark starts a Java machine

REQUESTS = 900


@pytest.fixture(scope="module")
def conversations(azure_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first minutes of the real trace."""
    lines = (azure_folder / "azure-2023-conv.csv").read_text().splitlines()
    path = tmp_path_factory.mktemp("real") / "conv.csv"
    path.write_text("\n".join(lines[: REQUESTS + 1]) + "\n")
    return path


@pytest.fixture(scope="module")
def several_files(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Requests of which several come at once, in files of three kinds that overlap in time."""
    folder = tmp_path_factory.mktemp("several")
    for k, end in enumerate(["csv", "parquet", "json", "csv", "parquet"]):
        where = folder / f"{k}.{end}"
        duckdb.sql(
            f"COPY (SELECT (n * 37 % 400) // 4 + {7 * k} AS arrival_s, 20 + n * 71 % 900 AS "
            f"input_tokens, n * 13 % 300 AS output_tokens FROM range(160) AS rows(n)) TO '{where}'"
        )
    return f"{folder}/*"


def numbers(value: Any, place: str = "") -> dict[str, Any]:
    """Every leaf of a document by where it stands."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        return {place: value}
    leaves: dict[str, Any] = {}
    for name, part in parts:
        leaves |= numbers(part, f"{place}.{name}")
    return leaves


def assert_same(there: dict, here: dict) -> None:
    """All that is said is the same, numbers to 1e-12."""
    found, wanted = numbers(there), numbers(here)
    assert found.keys() == wanted.keys()
    for place, value in wanted.items():
        if isinstance(value, float) and not isinstance(found[place], str | None):
            assert math.isclose(found[place], value, rel_tol=1e-12), place
        else:
            assert found[place] == value, place


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_real_trace(replicas: int, conversations: Path, spark: str) -> None:
    here = jc.estimate(conversations, replicas=replicas).to_dict()
    there = jc.estimate(conversations, replicas=replicas, spark=spark).to_dict()
    assert here["serving"]["mode"] == "online"
    assert here["serving"]["replicas"] == replicas
    assert here["serving"]["timeline"]["slices"]
    assert_same(there, here)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"replicas": 3, "scale_to_zero_s": 0.5, "model": "qwen2.5-7b", "gpu": "h200-sxm"},
        {"replicas": 2, "router": "least-loaded"},
        {"replicas": "auto", "slo": "ttft_p99=1s", "speed": 8.0},
        {"replicas": 2, "rate": 20.0},
        {"replicas": 2, "share": 0.4},
        {"serving": "offline"},
        {"method": "binned", "table": "h100-sxm/llama-3.1-8b/vllm-by-hand"},
    ],
    ids=str,
)
def test_several_files(how: dict, several_files: str, spark: str) -> None:
    here = jc.estimate(several_files, **how).to_dict()
    assert_same(jc.estimate(several_files, **how, spark=spark).to_dict(), here)


def test_rows_without_a_time_are_left_out_alike(tmp_path: Path, spark: str) -> None:
    rows = [f"{'' if k % 9 == 4 else k / 3},{50 + k},{20 + k}" for k in range(60)]
    path = tmp_path / "missing.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows, "9,x,1"]) + "\n")
    here = jc.estimate(path, on_invalid="skip", replicas=2).to_dict()
    there = jc.estimate(path, on_invalid="skip", replicas=2, spark=spark).to_dict()
    assert here["requests"]["untimed"] == 7
    assert here["requests"]["invalid"] == 1
    assert_same(there, here)


def test_a_workload_is_drawn_here_and_served_there(spark: str) -> None:
    how = {"replicas": 3, "speed": 4.0}
    workload = jc.load_workload("azure-2023-code")
    here = jc.estimate(workload, **how).to_dict()
    assert_same(jc.estimate(workload, **how, spark=spark).to_dict(), here)


def test_deployments_side_by_side(several_files: str, spark: str, run_cli: RunCli) -> None:
    words = ["compare", several_files, "--serving", "online", "--replicas", 2]
    words += ["--on", "gpu=h100-sxm", "--on", "gpu=h200-sxm", "--format", "json"]
    here = json.loads(run_cli(*words).stdout)
    assert_same(json.loads(run_cli(*words, "--spark", spark).stdout), here)


def test_a_page_and_a_picture_of_it(
    several_files: str, spark: str, run_cli: RunCli, tmp_path: Path
) -> None:
    pages = []
    for master in ((), ("--spark", spark)):
        results = "--html", tmp_path / "page.html", "--plot", tmp_path / "plot.svg"
        ran = run_cli("estimate", several_files, "--replicas", 2, *results, *master)
        assert ran.exit_code == 0, ran.stderr
        assert "seconds" in ran.stdout
        pages.append((tmp_path / "page.html").read_text())
    assert len(pages[0]) > 1000
    assert abs(len(pages[1]) - len(pages[0])) < 200  # the command line is another


def test_what_spark_cannot_heed_is_refused(several_files: str, run_cli: RunCli) -> None:
    words = "estimate", several_files, "--spark", "local[2]"
    refused = run_cli(*words, "--memory-limit", "1GB")
    assert refused.exit_code == 2
    assert "--memory-limit is for reading with DuckDB" in refused.stderr
    with pytest.raises(InputError, match="memory_limit and watch are for reading with DuckDB"):
        jc.estimate(several_files, spark="local[2]", memory_limit="1GB")


def test_nothing_is_started_for_a_trace_that_needs_no_spark() -> None:
    cluster = Cluster("nowhere")
    cluster.stop()
    with pytest.raises(InputError, match="nowhere: Spark has nothing to do"):
        jc.estimate("azure-2023-code", serving="offline", spark="nowhere")


@pytest.mark.parametrize(
    ("master", "reason"),
    [
        ("bogus", "Master must either be yarn or start with spark, k8s, or local"),
        ("local[x]", "Could not parse Master URL: 'local[x]'"),
    ],
)
def test_a_master_that_is_none_ends_in_one_line(
    master: str, reason: str, conversations: Path
) -> None:
    words = [sys.executable, "-m", "joulecast", "estimate", str(conversations), "--spark", master]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr == f"Error: Spark does not start with {master} ({reason})\n"
