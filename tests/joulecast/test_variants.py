"""Several GPUs, eager steps, 8 bits and budgets: options of `measure` and `replay`, and tables."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from joulecast import measuring
from joulecast.measurements.engines import EngineError, EngineVariant, require_shareable
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.pages.page import gpu_facts, table_facts
from joulecast.plots.table import plot_note
from tests.conftest import RunCli

EVENLY = " evenly; 1, 2, 4, 8, 16 can"
WORDS = ("measure", "--engine", "vllm", "--model", "llama-3.1-8b")


@pytest.mark.parametrize(
    ("words", "variant"),
    [
        ((), {}),
        (("--compile",), {}),
        (("--eager",), {"compiled": False}),
        (("--quantization", "fp8"), {"quantization": "fp8"}),
        (("--gpu", 0, "--gpu", 1), {"gpus": 2}),
        (
            ("--max-num-seqs", 16, "--max-num-batched-tokens", 4096),
            {"max_num_seqs": 16, "max_num_batched_tokens": 4096},
        ),
    ],
)
def test_a_variant_is_asked_for_and_kept(
    words: tuple,
    variant: dict,
    run_cli: RunCli,
    machine: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = []
    machine["engine"].limits["quantization"] = variant.get("quantization")
    monkeypatch.setattr(
        measuring, "load_engine", lambda name, asked: requests.append(asked) or machine["engine"]
    )
    words = (*WORDS, *words, "--plan", "spread", "--runs", 1, "-o", tmp_path / "t")
    result = run_cli(*words)
    assert result.exit_code == 0, result.output
    asked = replace(EngineVariant(compiled=True, max_num_seqs=1024), **variant)
    assert [request.variant for request in requests] == [asked]
    assert load_table(tmp_path / "t").metadata["variant"] == asdict(asked)
    assert run_cli(*words, "--resume").exit_code == 0
    for more in (("--max-num-batched-tokens", 8192), ("--gpu", 0, "--gpu", 2)):
        if set(more) & set(words):
            continue
        requests.clear()
        refused = run_cli(*words, "--resume", *more)
        assert refused.exit_code == 1
        assert "one table cannot mix them; give another folder" in refused.stderr
        assert requests == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--quantization", "fp8"), "the pytorch engine has no --quantization; leave it out, or"),
        (("--max-num-seqs", 8), "the pytorch engine has no --max-num-seqs"),
        (("--max-num-batched-tokens", 8), "the pytorch engine has no --max-num-batched-tokens"),
        (("--gpu", 0, "--gpu", 1), "the pytorch engine runs on one GPU"),
    ],
)
def test_pytorch_refuses_what_it_lacks(
    words: tuple, said: str, run_cli: RunCli, tmp_path: Path
) -> None:
    own = ("--engine", "pytorch", "--model", "llama-3.1-8b")
    for command in (
        ("measure", *own, "--dry-run"),
        ("measure", *own, "-o", tmp_path / "t"),
        ("replay", "azure-2023-code", *own, "--table", "no such table", "-o", tmp_path / "r.json"),
    ):
        result = run_cli(*command, *words)
        assert result.exit_code == 1
        assert said in result.stderr
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_shown_of_a_table_says_how_many_gpus(run_cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    shutil.copytree(table_folder("h100-sxm/llama-3.1-8b/vllm-quick"), folder)
    document = json.loads((folder / "table.json").read_text())
    document["engine_settings"] |= {"tensor_parallel_size": 2, "quantization": "fp8"}
    document |= {"gpu_count": 2, "power_limit_w": 1400.0}
    (folder / "table.json").write_text(json.dumps(document))
    table, name = load_table(folder), "2 x NVIDIA H100 80GB HBM3"
    for command in (("estimate", "azure-2023-code", "--table"), ("table", "check")):
        result = run_cli(*command, folder)
        assert result.exit_code == 0, result.output
        assert name in " ".join(result.stdout.split())
    assert ("GPU", name) in table_facts(table)
    assert name in plot_note(table, None)
    assert name in table._repr_html_()
    facts = dict(gpu_facts(table))
    assert facts["rated power"].startswith("700 W each (")
    assert facts["peak, float8"].startswith("1978.9 TFLOP/s dense, 3957.8 TFLOP/s sparse each")
    document |= {"gpu": "a100-pcie-80gb"}
    (folder / "table.json").write_text(json.dumps(document))
    assert "table.json: NVIDIA A100" in run_cli("table", "check", folder).stderr


@pytest.mark.parametrize("command", ["quick", "traffic", "replay"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gpu", 0, "--gpu", 0), "--gpu names a GPU twice: 0, 0"),
        (
            ("--gpu", 0, "--gpu", 1, "--gpu", 2),
            "llama-3.1-8b: 3 GPUs cannot share its 32 attention heads and 8 key and value heads"
            + EVENLY,
        ),
    ],
)
def test_gpus_that_cannot_share_a_model_are_refused_before_any_is_asked(
    command: str, words: tuple, message: str, run_cli: RunCli, tmp_path: Path
) -> None:
    if command == "replay":
        trace = tmp_path / "t.csv"
        trace.write_text("input_tokens,output_tokens\n5,5\n")
        asked = ("replay", trace, *WORDS[1:], "-o", tmp_path / "r", "--requests", 1)
    else:
        asked = (*WORDS, "--plan", command, "--dry-run")
    result = run_cli(*asked, *words)
    assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")
    assert run_cli(*WORDS, "--gpu", 0, "--gpu", 1, "--dry-run").exit_code == 0


def test_more_gpus_than_key_and_value_heads_hold_copies() -> None:
    shape = load_shape("llama-3.1-8b")
    for gpus in (1, 2, 4, 8, 16, 32):
        require_shareable(shape, gpus)
    for gpus in (3, 12, 64):
        with pytest.raises(EngineError, match=f"{gpus} GPUs cannot share its 32 attention heads"):
            require_shareable(shape, gpus)
