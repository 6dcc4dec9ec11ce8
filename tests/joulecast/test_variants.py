"""Several GPUs, eager steps, 8 bits and budgets: options of `measure` and `replay`, and tables."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from joulecast import measuring
from joulecast.measurements.engines import (
    EngineError,
    EngineRequest,
    EngineVariant,
    require_shareable,
)
from joulecast.measurements.engines.decoding import AcceptanceCount
from joulecast.measurements.engines.decoding_rules import decoding_settings
from joulecast.measurements.models import load_shape
from joulecast.measurements.table.table import load_table, table_folder
from joulecast.pages.page import gpu_facts, table_facts
from joulecast.plots.table import plot_note
from tests.conftest import RunCli
from tests.measurements.fakes import FakeEngine

EVENLY = " evenly; 1, 2, 4, 8, 16 can"
DRAFT = "llama-3.2-1b,4,"
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


@pytest.mark.parametrize(
    ("words", "names", "settings"),
    [
        (("--decoding", "beam:4"), [""], ["beam:4"]),
        (
            ("--decoding", "greedy", "--decoding", "top-p:0.9"),
            ["greedy", "top-p-0.9"],
            ["greedy", "top-p:0.9"],
        ),
        (("--speculate", DRAFT + "0.5"), [""], [DRAFT + "0.5"]),
        (
            ("--speculate", DRAFT + "0", "--speculate", DRAFT + "0.5"),
            ["acceptance-0", "acceptance-0.5"],
            [DRAFT + "0", DRAFT + "0.5"],
        ),
    ],
)
def test_one_engine_measures_a_table_for_each_way_to_decode(
    words: tuple,
    names: list[str],
    settings: list[str],
    run_cli: RunCli,
    machine: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = []

    def load(_: str, asked: EngineRequest) -> Retuned:
        starts.append(asked)
        engine = Retuned(sleep=machine["engine"].sleep, name="vllm")
        engine.retune(asked.variant)
        return engine

    monkeypatch.setattr(measuring, "load_engine", load)
    words = (*WORDS, *words, "--plan", "batches", "--runs", 1, "-o", tmp_path / "t")
    result = run_cli(*words)
    assert result.exit_code == 0, result.output
    assert len(starts) == 1
    tables = [load_table(tmp_path / "t" / name) for name in names]
    for table, said in zip(tables, settings, strict=True):
        told = table.metadata["engine_settings"]
        assert said in (told["decoding_strategy"], told["speculation"])
        has_draft = "--speculate" in words
        assert (tmp_path / "t" / table.name / "speculation.csv").exists() == has_draft
        assert all(run.valid for run in table.runs)
    if len(names) > 1:  # what was not begun is begun, and the rest is left as it is
        shutil.rmtree(tmp_path / "t" / names[1])
    before = (tmp_path / "t" / names[0] / "runs.csv").read_bytes()
    again = run_cli(*words, "--resume")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "t" / names[0] / "runs.csv").read_bytes() == before
    assert all((tmp_path / "t" / name / "table.json").exists() for name in names)
    refused = run_cli(*WORDS, "--plan", "batches", "-o", tmp_path / "t" / names[-1], "--resume")
    if settings[-1] != "greedy":
        assert "one table cannot mix them" in refused.stderr


class Retuned(FakeEngine):
    """A fake that serves what it is told to."""

    def retune(self, variant: EngineVariant) -> None:
        self.limits |= decoding_settings(variant)

    def record_acceptance(self) -> AcceptanceCount:
        return AcceptanceCount(2, 8, 6, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--decoding", "nucleus"), '"nucleus" is no decoding strategy; give greedy, sampling'),
        (("--decoding", "greedy", "--decoding", "beam:4"), "vllm takes an engine for greedy and"),
        (("--decoding", "greedy", "--decoding", "greedy"), "greedy is asked for twice"),
        (("--speculate", "qwen2.5-0.5b,4,0.5"), "its 151,936 tokens are not the 128,256 of llama"),
        (
            ("--speculate", DRAFT + "0.5", "--speculate", "llama-3.2-3b,4,0.7"),
            "takes an engine for",
        ),
        (("--speculate", DRAFT + "0.5", "--decoding", "beam:4"), "with greedy decoding, not with"),
        (("--speculate", DRAFT + "0.5", "--plan", "traffic"), "traffic decodes greedily"),
    ],
)
def test_ways_to_decode_that_cannot_be(words: tuple, said: str, run_cli: RunCli) -> None:
    result = run_cli(*WORDS, "--dry-run", *words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr.replace("\n", " ")


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
