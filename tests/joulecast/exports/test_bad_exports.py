"""Exports that cannot be: one line, and no file."""

from pathlib import Path

import pytest

from tests.conftest import RunCli

VLLM = "h100-sxm/llama-3.1-8b/vllm"
ESTIMATE = ("estimate", "azure-2023-code", "--table", VLLM)


@pytest.mark.parametrize(
    ("words", "status", "fragment"),
    [
        (("--export", "sci", "s.yml"), 1, "give --carbon"),
        (("--method", "binned", "--carbon", "FR", "--export", "sci", "s.yml"), 1, "stepwise"),
        (("--export", "spdx", "s.json"), 2, "'spdx' is not one of"),
        (("--export", "boamps"), 2, "requires 2 arguments"),
        (("--export", "boamps", "-"), 2, "a file of its own"),
        (("--export", "boamps", "none/b.json"), 1, "its folder does not exist"),
        (("--export", "boamps", "b.json", "--export", "cyclonedx", "b.json"), 2, "the same file"),
        (("--export", "boamps", "b.json", "-o", "b.json"), 2, "the same file"),
    ],
)
def test_no_export(
    words: tuple[str, ...],
    status: int,
    fragment: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli(*ESTIMATE, *words)
    assert (result.exit_code, result.stdout) == (status, "")
    assert fragment in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_of_one_model(run_cli: RunCli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("input_tokens,output_tokens,model\n100,10,qwen2.5-7b\n")
    words = ("--group-by", "model", "--export", "boamps", str(tmp_path / "b.json"))
    result = run_cli("estimate", str(log), *words)
    assert result.exit_code == 2
    assert "--export is for one model" in result.stderr


def test_an_export_replaces_no_trace(run_cli: RunCli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("input_tokens,output_tokens\n100,10\n")
    result = run_cli("estimate", str(log), "--table", VLLM, "--export", "codecarbon", str(log))
    assert result.exit_code == 1
    assert log.read_text().startswith("input_tokens")
