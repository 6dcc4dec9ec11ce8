import json
from dataclasses import replace
from pathlib import Path

import pytest

from joulecast.estimator.paper.table4 import Excesses, published_rows
from joulecast.traces.public.catalog import load_embedded
from tests.conftest import RunCli

PUBLISHED = {
    "burstgpt": (506.52, 63.75, 73.00),
    "azure-2024-code": (102.79, 26.59, 37.58),
    "azure-2024-conv": (490.23, 64.22, 72.18),
}


def test_published_savings_follow_from_the_published_percentages() -> None:
    assert {
        key: (
            excesses.pytorch_excess_percent,
            excesses.vllm_excess_percent,
            round(excesses.saving_percent, 2),
        )
        for key, (_, excesses) in published_rows().items()
    } == PUBLISHED


def test_saving_by_hand() -> None:
    assert Excesses.of(100, 0).saving_percent == 50


def table4(run_cli: RunCli, *words: object) -> dict:
    result = run_cli("table4", "--format", "json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_default_rows_stand_on_real_measurements(run_cli: RunCli) -> None:
    document = table4(run_cli)
    assert (document["gpu"], document["model"], document["peak"]) == (
        "h100-sxm",
        "llama-3.1-8b",
        "dense",
    )
    rows = {row["dataset"]: row for row in document["rows"]}
    for name in ("code", "conv"):
        estimate = {}
        for engine in ("pytorch", "vllm"):
            words = ("estimate", f"azure-2023-{name}", "--table", f"h100-sxm/llama-3.1-8b/{engine}")
            words = (*words, "--method", "binned", "--format", "json")
            estimate[engine] = json.loads(run_cli(*words).stdout)
        row = rows[{"code": "Azure Code (2023)", "conv": "Azure Conversation (2023)"}[name]]
        assert row["source"] == "trace"
        assert row["published"] is None
        for engine, document in estimate.items():
            assert row[f"{engine}_excess_percent"] == document["excess_percent"]["dense"]
            assert row["coverage"][engine] == document["coverage"]
        ratio = estimate["vllm"]["energy_j"] / estimate["pytorch"]["energy_j"]
        assert row["saving_percent"] == pytest.approx(100 * (1 - ratio))


def test_rows_without_a_trace_say_that_they_are_reconstructed(run_cli: RunCli) -> None:
    rows = [row for row in table4(run_cli)["rows"] if row["published"]]
    assert len(rows) == 3
    for row in rows:
        assert row["source"] == "reconstructed"
        assert row["trace"].endswith("-reconstructed")
        for engine in ("pytorch", "vllm"):
            low, high = row["stepwise_interval_percent"][engine]
            assert low < row["stepwise"][f"{engine}_excess_percent"] < high
    shown = run_cli("table4").stdout
    assert shown.count(" reconstructed ") == 3
    assert "Reconstructed: the lengths were made up" in shown


def test_a_fetched_dataset_takes_the_place_of_its_reconstruction(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several files that may be it, the one whose lengths are closest to the published ones."""
    monkeypatch.setenv("JOULECAST_CACHE", str(tmp_path))
    near = load_embedded("burstgpt-reconstructed")
    far = load_embedded("azure-2023-code")
    for name, workload in (("burstgpt-1.1-1", far), ("burstgpt-1.2-3", replace(near, sources=()))):
        folder = tmp_path / "traces" / name
        folder.mkdir(parents=True)
        workload.save(folder / "workload.json")
    rows = {row["dataset"]: row for row in table4(run_cli)["rows"]}
    assert (rows["BurstGPT"]["source"], rows["BurstGPT"]["trace"]) == ("trace", "burstgpt-1.2-3")
    assert rows["Azure Code (2024)"]["source"] == "reconstructed"


def test_both_methods_are_those_of_estimate(run_cli: RunCli) -> None:
    row = table4(run_cli)["rows"][1]
    for engine in ("pytorch", "vllm"):
        words = "azure-2023-conv", "--table", f"h100-sxm/llama-3.1-8b/{engine}", "--format", "json"
        estimate = json.loads(run_cli("estimate", *words, "--method", "stepwise").stdout)
        own = row["stepwise"][f"{engine}_excess_percent"]
        assert own == pytest.approx(estimate["excess_percent"]["dense"], rel=0.01)


def test_a_gpu_names_its_tables(run_cli: RunCli) -> None:
    assert table4(run_cli, "--gpu", "h100-sxm") == table4(run_cli)
    assert "h100-sxm" in run_cli("table4", "--gpu", "a100-sxm").stderr
    hand = "h100-sxm/llama-3.1-8b/vllm-by-hand"
    assert run_cli("table4", "--gpu", "h100-sxm", "--table", hand).exit_code == 2


def test_a_picture_of_the_table(run_cli: RunCli, tmp_path: Path) -> None:
    assert run_cli("table4", "--plot", tmp_path / "t.png").exit_code == 0
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert run_cli("table4", "--plot", tmp_path / "t.txt").exit_code == 1


def test_a_table_without_settings_has_no_stepwise_figures(run_cli: RunCli) -> None:
    """Hand-made tables lack what the scheduler needs; the binned column stands alone."""
    hand = [f"h100-sxm/llama-3.1-8b/{engine}-by-hand" for engine in ("pytorch", "vllm")]
    rows = table4(run_cli, "--table", hand[0], "--table", hand[1])["rows"]
    assert all(row["vllm_excess_percent"] for row in rows)
    assert run_cli("table4", "--table", hand[0], "--table", hand[1]).exit_code == 0


def test_a_given_trace_fills_its_row(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n9,GPT-4,90,3,93,API log\n9,GPT-4,9,0,9,API log\n"
    )
    document = table4(run_cli, "--trace", f"burstgpt={path}", "--trace", f"mine={path}")
    rows = {row["dataset"]: row for row in document["rows"]}
    assert rows["BurstGPT"]["source"] == rows["mine"]["source"] == "trace"
    assert rows["BurstGPT"]["published"]["vllm_excess_percent"] == 63.75
    assert rows["mine"]["published"] is None
    assert rows["BurstGPT"]["vllm_excess_percent"] == rows["mine"]["vllm_excess_percent"] > 0


def test_the_sparse_peak_doubles_the_ratio_and_keeps_the_saving(run_cli: RunCli) -> None:
    dense, sparse = table4(run_cli), table4(run_cli, "--peak", "sparse")
    for one, other in zip(dense["rows"][:2], sparse["rows"][:2], strict=True):
        doubled = (100 + one["vllm_excess_percent"]) * 2
        assert 100 + other["vllm_excess_percent"] == pytest.approx(doubled, rel=1e-4)
        assert other["saving_percent"] == pytest.approx(one["saving_percent"])


def test_the_warning_about_the_papers_peak(run_cli: RunCli) -> None:
    text = " ".join(run_cli("table4").stdout.split())
    assert "51.1 to 244.6 TFLOP/s on a chip with a dense peak of 154.8; 3 of 6 are more" in text
