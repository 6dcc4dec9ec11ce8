"""`joulecast measure --dry-run`, on a machine without a GPU."""

import json
import re
from pathlib import Path

from joulecast.measurements.models import load_config
from joulecast.measurements.sweep.request import model_name
from tests.conftest import RunCli

WORDS = ("measure", "--engine", "vllm", "--model", "llama-3.1-8b")


def test_a_dry_run_needs_no_gpu(run_cli: RunCli) -> None:
    for plan, runs in (("paper", 56), ("full", 76), ("spread", 12), ("quick", None)):
        result = run_cli(*WORDS, "--dry-run", "--plan", plan, "--runs", 1)
        assert result.exit_code == 0, result.output
        *cells, last = result.stdout.splitlines()
        assert re.fullmatch(r"\d+ runs, about [\d.]+ minutes and [\d.]+ kWh \(from .*", last)
        assert len(cells) == int(last.split()[0])
        assert runs is None or abs(len(cells) - runs) <= 2
    other = (
        "measure",
        "--engine",
        "vllm",
        "--model",
        "qwen1.5-32b",
        "--gpu-type",
        "a100-pcie-80gb",
    )
    assert "a rough rule" in run_cli(*other, "--dry-run").stdout
    assert run_cli(*other[:-1], "a1000", "--dry-run").exit_code == 1
    whole_prompts = ("measure", "--engine", "pytorch", *other[3:], "--dry-run")
    sizes = [
        int(re.search(r"I=8192 +O=512 +B=(\d+)", run_cli(*words).stdout)[1])
        for words in ((*other, "--dry-run"), whole_prompts)
    ]
    assert sizes[1] < sizes[0]  # which PyTorch feeds at once, and so needs more memory for
    small = run_cli(*other[:-1], "rtx-a6000", "--dry-run")
    assert small.exit_code == 1
    assert "does not fit" in small.stderr


def sizes(run_cli: RunCli, *words: object) -> dict[tuple[str, str], int]:
    """B of each cell in a dry run."""
    result = run_cli(*WORDS, "--dry-run", "--plan", "paper", "--runs", 1, *words)
    assert result.exit_code == 0, result.output
    rows = re.findall(r"I=(\d+) +O=(\d+) +B=(\d+)", result.stdout)
    return {(i, o): int(size) for i, o, size in rows}


def test_a_dry_run_reckons_with_the_variant(run_cli: RunCli) -> None:
    plain, few = sizes(run_cli), sizes(run_cli, "--max-num-seqs", 16)
    assert few == {cell: min(16, size) for cell, size in plain.items()}
    longest = "8192", "512"
    rough = sizes(run_cli, "--gpu-type", "rtx-6000-ada")[longest]
    assert sizes(run_cli, "--gpu", 0, "--gpu", 1)[longest] > 2 * plain[longest]
    assert sizes(run_cli, "--quantization", "fp8")[longest] > plain[longest]
    # 8 billion parameters of 2 bytes less, or half of most of them, in 48 GB.
    ada = sizes(run_cli, "--gpu-type", "rtx-6000-ada", "--quantization", "fp8")
    assert 1.05 * rough < ada[longest]
    large = ("measure", "--engine", "vllm", "--model", "qwen1.5-32b", "--dry-run")
    large = (*large, "--gpu-type", "rtx-a6000")
    assert "of one NVIDIA RTX A6000" in run_cli(*large).stderr
    assert run_cli(*large, "--gpu", 0, "--gpu", 1).exit_code == 0
    assert "no peak is known for float8" in run_cli(*large, "--quantization", "fp8").stderr


def test_a_model_is_called_as_its_folder(tmp_path: Path) -> None:
    """Whole: what stands behind a dot in a folder's name is no suffix."""
    folder = tmp_path / "llama-3.2-3b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(load_config("llama-3.1-8b")))
    (tmp_path / "my-model.json").write_text("{}")
    for place in (folder, folder / "config.json"):
        assert model_name(str(place)) == "llama-3.2-3b"
    assert model_name(str(tmp_path / "my-model.json")) == "my-model"
    assert model_name("llama-3.1-8b") == "llama-3.1-8b"


def test_a_dry_run_of_traffic(run_cli: RunCli) -> None:
    result = run_cli(*WORDS, "--plan", "traffic", "--dry-run")
    assert result.exit_code == 0, result.output
    *stretches, last = result.stdout.splitlines()
    assert len(stretches) == 8
    seconds = int(re.search(r"about (\d+) s", last)[1])
    assert 45 <= seconds <= 90
    fewer = run_cli(*WORDS, "--plan", "traffic", "--dry-run", "--max-num-seqs", 16)
    assert re.search(r"many decoding +16 requests", fewer.stdout)
    for words, said in (
        (("--time-budget", 3), "--time-budget is for plans of runs"),
        (("--cross-check", "codecarbon"), "--cross-check is for plans of runs"),
    ):
        refused = run_cli(*WORDS, "--plan", "traffic", "--dry-run", *words)
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())
    large = ("measure", "--engine", "vllm", "--model", "qwen1.5-32b", "--plan", "traffic")
    refused = run_cli(*large, "--dry-run", "--gpu-type", "rtx-a6000")
    assert refused.exit_code == 1
    assert "does not fit into the 48 GB of one NVIDIA RTX A6000" in refused.stderr
    static = ("measure", "--engine", "pytorch", *WORDS[3:], "--plan", "traffic", "--dry-run")
    assert "--plan quick" in run_cli(*static).stderr


def test_a_shipped_table_of_traffic_alone_does_not_tell_how_long_batches_take(
    run_cli: RunCli,
) -> None:
    pair = ("--model", "qwen1.5-32b", "--gpu", 0, "--gpu", 1)
    result = run_cli("measure", "--engine", "vllm", *pair, "--plan", "quick", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "from a rough rule" in " ".join(result.output.split())


def test_a_study_of_pytorch_fits_its_time_and_repeats_what_tells_most(run_cli: RunCli) -> None:
    """Its steps take as long as on the host of an H100, not as those of vLLM on an H200."""
    words = ("measure", "--engine", "pytorch", "--model", "llama-3.1-8b", "--plan", "sweeps")
    asked = (*words, "--runs", 2, "--dry-run", "--gpu-type", "h200-sxm", "--time-budget", 10)
    *rows, last = run_cli(*asked).stdout.splitlines()
    assert "from table h100-sxm/llama-3.1-8b/pytorch)" in last
    told = [tuple(map(int, re.findall(r"(?:=|run )(\d+)", row))) for row in rows]
    assert (512, 512, 1, 2) in told
    assert (32768, 64, 1, 2) in told
    # The first group, twice, before any other; outputs of 4,096 would each take half the time.
    assert not any(o in (1024, 2048, 4096) for _, o, _, _ in told)
    second = {batch[:3] for batch in told if batch[3] == 2}
    assert second == {batch[:3] for batch in told[: len(second)]}
    assert {batch[3] for batch in told[: len(second)]} == {1}
    fast = run_cli(*words[:1], "--engine", "vllm", *words[3:], *asked[7:]).stdout
    assert "from table h200-sxm/llama-3.1-8b/vllm)" in fast


def test_what_does_not_fit_into_the_time_is_counted(run_cli: RunCli) -> None:
    words = *WORDS, "--plan", "batches", "--runs", 2, "--gpu-type", "h200-sxm", "--dry-run"
    whole = run_cli(*words).stdout.splitlines()
    assert "more of the plan" not in whole[-1]
    short = run_cli(*words, "--time-budget", 1).stdout.splitlines()
    lacking = len(whole) - len(short)
    assert lacking > 0
    assert short[-1].endswith(f"; {lacking} more of the plan do not fit into the time")
