"""`joulecast measure --dry-run`, on a machine without a GPU."""

import re

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
