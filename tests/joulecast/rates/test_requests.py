"""The part of each request as a file, requests without a trace, and rate cards on the terminal."""

import csv
import json
from pathlib import Path

import pytest

from joulecast.estimator.estimate import Estimate
from tests.conftest import RunCli

pytestmark = pytest.mark.slow

EQUAL = ("--requests", "100", "--input", "500", "--output", "50")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"{k / 2},{100 + k},{20 if k % 10 else 0}" for k in range(60)]
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("how", [[], ["--serving", "offline"], ["--rate", "90/min"]])
def test_parts_of_requests_are_written(log: Path, run_cli: RunCli, how: list[str]) -> None:
    parts = log.parent / "parts.csv"
    result = run_cli("estimate", str(log), *how, "--per-request", str(parts), "--format", "json")
    energy_j = json.loads(result.stdout)["energy_j"]
    rows = rows_of(parts)
    assert [int(row["row"]) for row in rows] == [k + 1 for k in range(60) if k % 10]
    assert [int(row["input_tokens"]) for row in rows] == [100 + k for k in range(60) if k % 10]
    assert sum(float(row["energy_j"]) for row in rows) == pytest.approx(energy_j, rel=1e-9)
    assert {row["basis"] for row in rows} == {"measured"}
    assert {row["scope"] for row in rows} == {"GPU energy"}
    assert ("ttft_s" in rows[0]) == (how != ["--serving", "offline"])
    assert "parts.csv: GPU energy of 54 requests, measured" in result.stderr


def test_asking_for_parts_changes_no_estimate(log: Path, run_cli: RunCli) -> None:
    words = "estimate", str(log), "--format", "json"
    with_parts = run_cli(*words, "--per-request", str(log.parent / "parts.csv")).stdout
    assert with_parts == run_cli(*words).stdout


def test_parts_of_equal_requests_are_written(tmp_path: Path, run_cli: RunCli) -> None:
    parts = tmp_path / "parts.csv"
    run_cli("estimate", *EQUAL, "--per-request", str(parts))
    rows = rows_of(parts)
    assert [row["request"] for row in rows] == [str(k + 1) for k in range(100)]
    assert len({row["energy_j"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["azure-2023-code", "--per-request", "parts.csv"], 1, "give the file of requests"),
        (["log.csv", "--per-request", "parts.parquet"], 2, "name a .csv file"),
        (["log.csv", "--per-request", "log.csv"], 1, "is a trace that was given"),
        (["log.csv", "--per-request", "no/parts.csv"], 1, "its folder does not exist"),
        (["log.csv", "--per-request", "a.csv", "-o", "a.csv"], 2, "are the same file"),
        (["log.csv", "--per-request", "parts.csv", "--spark", "local[2]"], 2, "leave --spark out"),
        (
            ["log.csv", "--per-request", "parts.csv", "--method", "binned"],
            2,
            "--per-request is for --method stepwise",
        ),
        (["log.csv", *EQUAL], 2, "two workloads; give one of them"),
        ([], 2, "Missing argument 'TRACE...'"),
        (["--requests", "5", "--input", "7"], 2, "--output is missing"),
        (["--input", "5", "--output", "7"], 2, "--requests is missing"),
        (["--input", "5"], 2, "--requests and --output are missing"),
        (["log.csv", "--output", "20"], 2, "a length needs --input beside it"),
        (["log.csv", "--per-request", "-"], 2, "name a .csv file"),
        (["--requests", "5", "--input", "7", "--output", "a.json"], 2, "name a file with -o"),
        (["--requests", "5", "--input", "7", "--output", "2", "--cached", "8"], 2, "--cached 8"),
        ([*EQUAL, "--where", "a = 1"], 1, "is a workload"),
        ([*EQUAL, "--group-by", "model"], 2, "leave out --group-by"),
        ([*EQUAL, "--rate", "2/day"], 2, "2/day is no rate, such as 2, 2/s, 120/min"),
        ([*EQUAL, "--rate", "0/s"], 2, "--rate"),
        ([*EQUAL, "--serving", "online"], 1, "give --rate"),
        (["log.csv", "-o", "a.csv", "--output", "b.csv"], 2, "--output is given twice"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    log: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, words: list, status: int, told: str
) -> None:
    monkeypatch.chdir(log.parent)
    before = log.read_text()
    result = run_cli("estimate", *words)
    assert result.exit_code == status
    assert told in result.stderr.splitlines()[-1]
    assert [path.name for path in log.parent.iterdir()] == ["log.csv"]
    assert log.read_text() == before


def test_nothing_half_written_is_left(
    log: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns_of = Estimate.request_columns

    def broken(self: Estimate):
        yield from columns_of(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Estimate, "request_columns", broken)
    result = run_cli("estimate", str(log), "--per-request", str(log.parent / "parts.csv"))
    assert result.exit_code == 1
    assert [path.name for path in log.parent.iterdir()] == ["log.csv"]


def test_equal_requests_stand_in_the_place_of_a_trace(tmp_path: Path, run_cli: RunCli) -> None:
    at_once = json.loads(run_cli("estimate", *EQUAL, "--format", "json").stdout)
    assert at_once["requests"]["estimated"] == 100
    assert at_once["estimated_tokens"] == {"input": 50_000, "output": 5000}
    assert at_once["serving"]["mode"] == "offline"
    assert at_once["trace"] == "100 requests of 500 + 50 tokens"
    energies = [
        json.loads(run_cli("estimate", *EQUAL, "--rate", rate, "--format", "json").stdout)
        for rate in ("2", "2/s", "120/min", "7200/h")
    ]
    assert len({each["energy_j"] for each in energies}) == 1
    file = tmp_path / "result.json"
    run_cli("estimate", *EQUAL, "-o", str(file), "--format", "json")
    assert json.loads(file.read_text()) == at_once
    on = ("--on", "gpu=l40s", "--on", "gpu=h100-sxm")
    compared = json.loads(run_cli("compare", *EQUAL, *on, "--format", "json").stdout)["tables"]
    assert compared[1]["energy_j"] == at_once["energy_j"]


def test_a_result_is_still_written_to_output(log: Path, run_cli: RunCli) -> None:
    file = log.parent / "result.json"
    for option in ("-o", "--output"):
        run_cli("estimate", str(log), option, str(file), "--format", "json")
        assert json.loads(file.read_text())["energy_j"] > 0
        file.unlink()
    assert run_cli("estimate", str(log), "--output", "-").stdout.startswith("It takes")


def test_a_rate_card_is_shown(log: Path, run_cli: RunCli) -> None:
    lengths = ("--requests", "50", "--input", "500", "--output", "50")
    words = ("prices", "--model", "llama-3.1-8b", *lengths, "--rate", "30/min", "--rate", "9")
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert [load["load"] for load in document["loads"]] == ["0.5/s", "9/s"]
    shown = run_cli(*words, "--price", "0.18 EUR", "--carbon", "FR", "--pue", "1.2").stdout
    for text in (
        *("measured: a table", "GPU energy of a replica", "0.5/s", "waiting", "an hour"),
        *("cost of electricity of 1,000,000 tokens", "gCO2e", "Intervals are 95 %"),
    ):
        assert text in shown, text
    rows = list(csv.DictReader(run_cli(*words, "--format", "csv").stdout.split("\n")))
    assert float(rows[1]["output.interval_j_per_1000_tokens.low"]) > 0
    of_trace = json.loads(
        run_cli("prices", "--model", "llama-3.1-8b", str(log), "--format", "json").stdout
    )
    assert of_trace["loads"][0]["load"] == "as it came"
    busy = run_cli("prices", "--gpu", "l4", "--requests", "500", *lengths[2:], "--rate", "400")
    said = " ".join(busy.stdout.split())
    assert "does not keep up" in said
    assert "would keep up, each busy no more than 90 % of the time." in said


@pytest.mark.parametrize(("cached", "is_said"), [("500", True), ("499", False), ("0", False)])
def test_the_last_token_of_a_prompt_is_said_to_be_computed(
    run_cli: RunCli, cached: str, is_said: bool
) -> None:
    words = *EQUAL, "--cached", cached
    for command in (("estimate",), ("prices", "--model", "llama-3.1-8b", "--rate", "2")):
        shown = " ".join(run_cli(*command, *words).stdout.split())
        assert ("The last token of a prompt is always computed" in shown) == is_said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rate", "2"], "--rate is for a rate card"),
        (["h100-sxm", "--rate", "2"], "--rate is for a rate card"),
        (["h100-sxm", "--price", "2"], "--price is for a rate card"),
        (["h100-sxm", "--input", "2", "--output", "3"], "--input is for a rate card"),
        (["h100-sxm", "vllm", "more"], "more: one GPU and one ENGINE"),
        (["--gpu", "h100-sxm", "log.csv", "--input", "2", "--output", "3"], "two workloads"),
        (["--model", "llama-3.1-8b", "--input", "3"], "--output is missing"),
        (["--dtype", "fp8"], "name a GPU first"),
    ],
)
def test_prices_and_a_rate_card_are_told_apart(
    run_cli: RunCli, words: list[str], told: str
) -> None:
    result = run_cli("prices", *words)
    assert result.exit_code == 2
    assert told in result.stderr.splitlines()[-1]


def test_a_gpu_is_named_once(run_cli: RunCli) -> None:
    result = run_cli("prices", "--model", "llama-3.1-8b", "h100-sxm", "--gpu", "l40s")
    assert result.exit_code == 2
    assert "h100-sxm and --gpu l40s are two GPUs; give one of them" in result.stderr
