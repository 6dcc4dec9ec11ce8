"""Deployments side by side, price lists, and tables to scale from."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import joulecast as jc
from joulecast.measurements.hardware import gpu_names
from joulecast.measurements.table.table import table_folder
from tests.conftest import RunCli
from tests.estimator.unit_prices.test_deployments import TRACE, estimate


def test_compare_takes_models_gpus_engines_and_formats(run_cli: RunCli, tmp_path: Path) -> None:
    specs = (
        "h100-sxm/llama-3.1-8b/vllm",
        "model=qwen2.5-7b,gpu=l40s",
        "gpu=h200-sxm,dtype=fp8",
        "engine=pytorch",
        "model=llama-3.1-70b,gpus=4",
    )
    words = [word for spec in specs for word in ("--on", spec)]
    page = tmp_path / "p.html"
    result = run_cli("compare", TRACE, *words, "--format", "json", "--html", page)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["tables"]
    assert [row["basis"] for row in rows] == [
        "measured", "gpu scaled", "model scaled", "measured", "model scaled",
    ]  # fmt: skip
    assert rows[4]["energy_j"] > rows[0]["energy_j"]
    assert "gpu scaled" in page.read_text()
    table = run_cli("compare", TRACE, *words).stdout
    assert "model scaled" in table


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("model=", "give a list such as"),
        ("model=a,model=b", "give a list such as"),
        ("gpus=two", "is no number of GPUs"),
        ("gpus=0", "is no number of GPUs"),
        ("watts=3", "give a list such as"),
        ("nonsense", "unknown table"),
    ],
)
def test_a_spec_that_is_none(spec: str, said: str, run_cli: RunCli) -> None:
    result = run_cli("compare", TRACE, "--on", spec)
    assert result.exit_code == 1
    assert said in result.stderr


def test_python_compares_deployments() -> None:
    result = jc.compare(TRACE, ["h100-sxm/llama-3.1-8b/vllm", "model=qwen3-8b"])
    assert [each.estimate.is_scaled for each in result.tables] == [False, True]


def test_compare_shows_ideals_that_only_some_gpus_have(run_cli: RunCli) -> None:
    specs = ("gpu=l40s", "gpu=l40s,dtype=fp8")
    words = [word for spec in specs for word in ("--on", spec)]
    shown = run_cli("compare", TRACE, *words).stdout
    document = json.loads(run_cli("compare", TRACE, *words, "--format", "json").stdout)
    saving = document["tables"][1]["saving_percent"]
    assert "sparse" in shown
    assert f"{saving:.1f} %" in shown
    rows = list(
        csv.DictReader(run_cli("compare", TRACE, *words, "--format", "csv").stdout.split("\n"))
    )
    assert rows[0]["tables"].startswith("h100-sxm/")


def test_prices_are_shown(run_cli: RunCli) -> None:
    listed = json.loads(run_cli("prices", "--format", "json").stdout)["gpus"]
    assert [row["gpu"] for row in listed] == gpu_names()
    assert {row["gpu"] for row in listed if row["prices"] == "measured"} == {"h100-sxm", "h200-sxm"}
    document = json.loads(
        run_cli("prices", "h100-sxm", "vllm", "--model", "llama-3.1-8b", "--format", "json").stdout
    )
    outputs = document["rate_card"]["output_j_per_1000_tokens"]
    assert [rate["output_j"] for rate in outputs] == sorted(
        (rate["output_j"] for rate in outputs), reverse=True
    )
    assert document["energy_j"]["weight_bytes"] > 0
    text = run_cli("prices", "l4", "--model", "qwen2.5-7b").stdout
    assert "those of h100-sxm, carried over by the data sheets" in text
    refused = run_cli("prices", "l4", "--model", "llama-3.1-70b")
    assert refused.exit_code == 1
    assert "cannot hold" in refused.stderr


def test_scaling_from_a_table_of_the_users_own_card(run_cli: RunCli) -> None:
    table = "h100-sxm/llama-3.1-8b/vllm-quick-third"
    document = estimate(run_cli, "--table", table, "--model", "olmo-7b")
    assert document["basis"] == "model scaled"
    assert document["tables"] == [table]
    own = estimate(run_cli, "--model", "olmo-7b")
    assert document["energy_j"] == pytest.approx(own["energy_j"], rel=0.06)
    farther = estimate(run_cli, "--table", table, "--gpu", "a100-sxm4-80gb")
    assert farther["basis"] == "gpu scaled"
    from_all = estimate(run_cli, "--gpu", "a100-sxm4-80gb")
    assert farther["energy_j"] == pytest.approx(from_all["energy_j"], rel=0.05)
    refused = run_cli("estimate", TRACE, "--table", table, "--gpu", "h200-sxm")
    assert refused.exit_code == 1
    assert "h200-sxm was measured itself; leave --table out" in refused.stderr


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("h100-sxm/llama-3.1-8b/vllm", ("--model", "llama-3.1-8b", "--gpu", "h100-sxm")),
        ("h100-sxm/llama-3.1-8b/pytorch", ("--engine", "pytorch")),
        ("h100-sxm/llama-3.1-8b/vllm-fp8-traffic", ("--dtype", "fp8")),
        ("h100-sxm/llama-3.1-8b/vllm-tp2-quick", ("--gpus", "2")),
    ],
)
def test_to_name_what_a_table_is_changes_nothing(
    table: str, words: tuple[str, ...], run_cli: RunCli
) -> None:
    assert estimate(run_cli, "--table", table, *words) == estimate(run_cli, "--table", table)


def test_what_is_scaled_from_eager_is_eager(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("input_tokens,output_tokens\n100,300\n")
    words = ("estimate", path, "--model", "llama-3.2-1b", "--format", "json", "--table")
    slow, fast = (
        json.loads(run_cli(*words, f"h100-sxm/llama-3.1-8b/{name}").stdout)["seconds"]
        for name in ("vllm-eager-quick", "vllm-quick")
    )
    assert slow > 1.1 * fast


def test_a_table_of_largest_batches_is_completed(tmp_path: Path, run_cli: RunCli) -> None:
    """The price of a step, which such runs do not tell, was fitted to 0."""
    whole = "h100-sxm/llama-3.1-8b/vllm"
    copy_at_capacity(whole, tmp_path)
    (tmp_path / "one.csv").write_text("input_tokens,output_tokens\n128,128\n")
    words = ("estimate", tmp_path / "one.csv", "--format", "json", "--table")
    full, part = (
        json.loads(run_cli(*words, table).stdout)["energy_j"] for table in (whole, tmp_path)
    )
    assert part == pytest.approx(full, rel=0.1)
    shown = run_cli("estimate", TRACE, "--table", tmp_path).stdout
    assert "completed from other tables" in " ".join(shown.split())
    binned = run_cli("estimate", TRACE, "--table", tmp_path, "--method", "binned")
    assert binned.exit_code == 0, binned.output
    compared = run_cli("compare", TRACE, "--table", tmp_path, "--table", tmp_path)
    assert compared.exit_code == 0, compared.output


def test_one_of_another_engine_is_refused(tmp_path: Path, run_cli: RunCli) -> None:
    copy_at_capacity("h100-sxm/llama-3.1-8b/pytorch", tmp_path)
    result = run_cli("estimate", TRACE, "--table", tmp_path)
    assert result.exit_code == 1
    assert "all its runs are of largest batches" in result.stderr


def test_a_single_request_is_not_estimated_from_largest_batches(
    tmp_path: Path, run_cli: RunCli
) -> None:
    """Its 200 steps read the weights 200 times, and were priced at nothing: 92 J in 0.147 s."""
    path = tmp_path / "one.csv"
    path.write_text("input_tokens,output_tokens\n1000,200\n")
    words = ("--table", "h100-sxm/llama-3.1-8b/pytorch-compiled")
    for command in ("estimate", "compare"):
        result = run_cli(command, path, *words)
        assert result.exit_code == 1
        assert "which do not tell what a step costs" in result.stderr


def copy_at_capacity(name: str, folder: Path) -> None:
    """A table without its smaller batches, as --plan paper would measure it."""
    source = table_folder(name)
    shutil.copy(source / "table.json", folder)
    with (source / "runs.csv").open() as runs, (folder / "runs.csv").open("w") as kept:
        rows = list(csv.DictReader(runs))
        writer = csv.DictWriter(kept, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["at_capacity"] == "true")


def test_models_of_other_positions_save_nothing_over_each_other(
    tmp_path: Path, run_cli: RunCli
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input_tokens,output_tokens\n1000,10\n100000,10\n")
    page = tmp_path / "p.html"
    words = ("compare", path, "--on", "model=phi-4", "--on", "model=llama-3.1-8b")
    result = run_cli(*words, "--format", "json", "--html", page)
    second = json.loads(result.stdout)["tables"][1]
    assert (second["saving_percent"], second["saving_interval_percent"]) == (None, None)
    shown = " ".join(run_cli(*words).stdout.split())
    assert "2 requests are estimated, and 1 of the first" in shown
    assert "other requests" in page.read_text()
