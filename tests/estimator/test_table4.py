"""The paper's Table 4 beside ours, over the same ideals."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from joulecast.estimator.estimate import excess_percent
from joulecast.estimator.paper import published
from joulecast.estimator.paper import table4 as paper_table4
from joulecast.estimator.paper.published import Excesses, published_over, published_rows
from joulecast.estimator.paper.table4 import Table4
from joulecast.measurements.table.table import table_folder
from joulecast.traces.public.catalog import load_embedded
from tests.conftest import RunCli

pytestmark = pytest.mark.slow

ENGINES = "pytorch", "vllm"
PUBLISHED = {
    "burstgpt": (506.52, 63.75, 73.00),
    "azure-2024-code": (102.79, 26.59, 37.58),
    "azure-2024-conv": (490.23, 64.22, 72.18),
}
AT_THE_DENSE_PEAK = {
    "burstgpt": (203.16, -18.15),
    "azure-2024-code": (1.36, -36.73),
    "azure-2024-conv": (195.02, -17.92),
}
"""(1 + x) 154.8 / 309.7 - 1, worked out by hand."""

Run = Callable[..., str]


@pytest.fixture
def shown(shipped_table4: Table4, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`joulecast table4` with what it has already worked out."""
    monkeypatch.setattr(paper_table4, "build_table4", lambda *_: shipped_table4)

    def run(*words: object) -> str:
        result = run_cli("table4", *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def document(shown: Run) -> dict:
    return json.loads(shown("--format", "json"))


@pytest.fixture
def burstgpt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of the paper's, and none that ships, so that the command is quick."""
    paper = published._published()
    small = {**paper, "rows": paper["rows"][:1], "embedded": []}
    monkeypatch.setattr(published, "_published", lambda: small)


def test_published_savings_follow_from_the_published_percentages() -> None:
    assert {
        key: (
            excesses.pytorch_excess_percent,
            excesses.vllm_excess_percent,
            round(excesses.saving_percent, 2),
        )
        for key, (_, excesses) in published_rows().items()
    } == PUBLISHED


def test_published_figures_at_the_other_peak() -> None:
    for key, (_, excesses) in published_rows().items():
        assert published_over(excesses, "sparse") == excesses
        dense = published_over(excesses, "dense")
        figures = dense.pytorch_excess_percent, dense.vllm_excess_percent
        assert figures == pytest.approx(AT_THE_DENSE_PEAK[key], abs=0.005)
        assert dense.saving_percent == pytest.approx(excesses.saving_percent)


def test_saving_by_hand() -> None:
    assert Excesses.of(100, 0).saving_percent == 50
    assert Excesses.of(300, 100).over(2) == Excesses.of(100, 0)


def test_default_rows_stand_on_real_measurements(document: dict, run_cli: RunCli) -> None:
    assert (document["gpu"], document["model"], document["peak"]) == (
        "h100-sxm",
        "llama-3.1-8b",
        "dense",
    )
    rows = {row["dataset"]: row for row in document["rows"]}
    for name in ("code", "conv"):
        estimate = {}
        for engine in ENGINES:
            words = ("estimate", f"azure-2023-{name}", "--table", f"h100-sxm/llama-3.1-8b/{engine}")
            words = (*words, "--method", "binned", "--format", "json")
            estimate[engine] = json.loads(run_cli(*words).stdout)
        row = rows[{"code": "Azure Code (2023)", "conv": "Azure Conversation (2023)"}[name]]
        assert row["source"] == "trace"
        assert row["published"] is None
        for engine, of_engine in estimate.items():
            assert row[f"{engine}_excess_percent"] == of_engine["excess_percent"]["dense"]
            assert row["energy_j"]["binned"][engine] == of_engine["energy_j"]
            assert row["coverage"][engine] == of_engine["coverage"]
        ratio = estimate["vllm"]["energy_j"] / estimate["pytorch"]["energy_j"]
        assert row["saving_percent"] == pytest.approx(100 * (1 - ratio))


def test_every_excess_is_of_an_energy_and_an_ideal(document: dict) -> None:
    assert len(document["rows"]) == 5
    for row in document["rows"]:
        assert row["excess_percent"].keys() == {"dense", "sparse"}
        for peak, excesses in row["excess_percent"].items():
            for method in ("binned", "stepwise"):
                ideal_j = row["ideal_j"][method][peak]
                for engine in ENGINES:
                    energy_j = row["energy_j"][method][engine]
                    expected = excess_percent(energy_j, ideal_j)
                    assert excesses[method][engine] == pytest.approx(expected)
        for engine in ENGINES:
            dense = row["excess_percent"]["dense"]
            assert row[f"{engine}_excess_percent"] == dense["binned"][engine]
            assert row["stepwise"][f"{engine}_excess_percent"] == dense["stepwise"][engine]
            if row["published"] is not None:
                own = row["excess_percent"]["sparse"]["published"][engine]
                assert row["published"][f"{engine}_excess_percent"] == own
        # Lengths are rounded up, which outweighs the requests that are left out here.
        assert row["ideal_j"]["binned"]["dense"] > 1.3 * row["ideal_j"]["stepwise"]["dense"]


def test_ours_and_the_papers_stand_over_the_same_ideals(shown: Run) -> None:
    """Below one another, in the columns of both peaks."""
    text = shown()
    assert "at the dense and at the sparse peak" in " ".join(text.split())
    lines = [line.split() for line in text.splitlines()]
    assert ["paper", "203.16", "-18.15", "506.52", "63.75", "73.00"] in lines
    assert "the two compare in joules, not in percent" in " ".join(text.split())


@pytest.mark.parametrize(
    ("peak", "paper"),
    [("dense", ["203.16", "-18.15", "73.00"]), ("sparse", ["506.52", "63.75", "73.00"])],
)
def test_one_peak_alone(peak: str, paper: list[str], shown: Run) -> None:
    text = shown("--peak", peak)
    lines = [line.split() for line in text.splitlines()]
    assert ["paper", *paper] in lines
    assert f"above the ideal at the {peak} peak [%]" in text
    below = "Over the dense ideal these are below 0"
    assert (below in " ".join(text.split())) == (peak == "dense")
    document = json.loads(shown("--peak", peak, "--format", "json"))
    assert document["peak"] == peak
    for row in document["rows"]:
        own = row["excess_percent"][peak]["binned"]["vllm"]
        assert row["vllm_excess_percent"] == own


def test_rows_without_a_trace_say_that_they_are_reconstructed(document: dict, shown: Run) -> None:
    rows = [row for row in document["rows"] if row["published"]]
    assert len(rows) == 3
    for row in rows:
        assert row["source"] == "reconstructed"
        assert row["trace"].endswith("-reconstructed")
        for engine in ENGINES:
            low, high = row["stepwise_interval_percent"][engine]
            assert low < row["stepwise"][f"{engine}_excess_percent"] < high
    text = shown()
    assert text.count(" reconstructed ") == 3
    assert "Reconstructed: the lengths were made up" in text


def test_a_fetched_dataset_takes_the_place_of_its_reconstruction(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several files that may be it, the one whose lengths are closest to the published ones."""
    monkeypatch.setenv("JOULECAST_CACHE", str(tmp_path))
    monkeypatch.setattr(paper_table4, "StepModel", _NoModel)
    near = load_embedded("burstgpt-reconstructed")
    far = load_embedded("azure-2023-code")
    for name, workload in (("burstgpt-1.1-1", far), ("burstgpt-1.2-3", replace(near, sources=()))):
        folder = tmp_path / "traces" / name
        folder.mkdir(parents=True)
        workload.save(folder / "workload.json")
    document = json.loads(run_cli("table4", "--format", "json").stdout)
    rows = {row["dataset"]: row for row in document["rows"]}
    assert (rows["BurstGPT"]["source"], rows["BurstGPT"]["trace"]) == ("trace", "burstgpt-1.2-3")
    assert rows["Azure Code (2024)"]["source"] == "reconstructed"


class _NoModel:
    """A step model that no table supports: what is tested is which trace a row stands on."""

    @staticmethod
    def of(table: object) -> None:
        raise paper_table4.InputError("none")


def test_both_methods_are_those_of_estimate(document: dict, run_cli: RunCli) -> None:
    row = document["rows"][1]
    for engine in ENGINES:
        words = "azure-2023-conv", "--table", f"h100-sxm/llama-3.1-8b/{engine}"
        at_once = "--serving", "offline", "--format", "json"
        estimate = json.loads(run_cli("estimate", *words, *at_once).stdout)
        assert row["energy_j"]["stepwise"][engine] == pytest.approx(estimate["energy_j"])
        own = row["stepwise"][f"{engine}_excess_percent"]
        assert own == pytest.approx(estimate["excess_percent"]["dense"])


def test_a_gpu_names_its_tables(
    document: dict, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(_: object, tables: dict, *__: object) -> None:
        raise paper_table4.InputError(", ".join(table.name for table in tables.values()))

    monkeypatch.setattr(paper_table4, "build_table4", build)
    assert ", ".join(document["tables"].values()) in run_cli("table4", "--gpu", "h100-sxm").stderr
    assert "h100-sxm" in run_cli("table4", "--gpu", "a100-sxm").stderr
    hand = "h100-sxm/llama-3.1-8b/vllm-by-hand"
    for words in (("--gpu", "h100-sxm"), ("--model", "olmo-7b")):
        assert run_cli("table4", *words, "--table", hand).exit_code == 2


@pytest.mark.parametrize("peak", ["dense", "both"])
def test_a_picture_of_the_table(peak: str, shown: Run, run_cli: RunCli, tmp_path: Path) -> None:
    shown("--peak", peak, "--plot", tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert run_cli("table4", "--plot", tmp_path / "t.txt").exit_code == 1


@pytest.mark.usefixtures("burstgpt_alone")
def test_a_table_without_settings_has_no_stepwise_figures(run_cli: RunCli, tmp_path: Path) -> None:
    """Such as one that was made by hand: the binned figures stand alone, and a note says why."""
    folder = tmp_path / "vllm"
    folder.mkdir()
    shipped = table_folder("h100-sxm/llama-3.1-8b/vllm")
    (folder / "runs.csv").write_bytes((shipped / "runs.csv").read_bytes())
    metadata = json.loads((shipped / "table.json").read_text())
    (folder / "table.json").write_text(json.dumps(metadata | {"engine_settings": {}}))
    words = "table4", "--table", folder, "--table", "h100-sxm/llama-3.1-8b/pytorch"
    (row,) = json.loads(run_cli(*words, "--format", "json").stdout)["rows"]
    assert row["vllm_excess_percent"] > 0
    assert row["stepwise"] is None
    assert row["energy_j"]["stepwise"] == {"pytorch": None, "vllm": None}
    text = " ".join(run_cli(*words).stdout.split())
    assert "stepwise - - - - -" in text
    assert "No stepwise figures of BurstGPT:" in text
    assert "its engine_settings lack what a step model needs" in text
    (line,) = csv.DictReader(io.StringIO(run_cli(*words, "--format", "csv").stdout))
    assert line["energy_j.stepwise.vllm"] == line["ideal_j.stepwise.dense"] == ""
    assert float(line["excess_percent.dense.published.vllm"]) == pytest.approx(-18.15, abs=0.005)


def test_rows_of_the_csv_have_the_figures_of_the_json(document: dict, shown: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(shown("--format", "csv"))))
    assert len(rows) == len(document["rows"])
    for row, own in zip(rows, document["rows"], strict=True):
        assert float(row["energy_j.binned.vllm"]) == own["energy_j"]["binned"]["vllm"]
        assert float(row["ideal_j.stepwise.sparse"]) == own["ideal_j"]["stepwise"]["sparse"]


@pytest.mark.usefixtures("burstgpt_alone")
def test_a_given_trace_fills_its_row(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n9,GPT-4,90,3,93,API log\n9,GPT-4,9,0,9,API log\n"
    )
    words = "table4", "--trace", f"burstgpt={path}", "--trace", f"mine={path}", "--format", "json"
    rows = {row["dataset"]: row for row in json.loads(run_cli(*words).stdout)["rows"]}
    assert rows["BurstGPT"]["source"] == rows["mine"]["source"] == "trace"
    assert rows["BurstGPT"]["published"]["vllm_excess_percent"] == 63.75
    assert rows["mine"]["published"] is None
    assert rows["BurstGPT"]["vllm_excess_percent"] == rows["mine"]["vllm_excess_percent"] > 0


def test_the_sparse_peak_doubles_the_ratio_and_keeps_the_saving(document: dict, shown: Run) -> None:
    sparse = json.loads(shown("--peak", "sparse", "--format", "json"))
    for at_dense, at_sparse in zip(document["rows"][:2], sparse["rows"][:2], strict=True):
        doubled = (100 + at_dense["vllm_excess_percent"]) * 2
        assert 100 + at_sparse["vllm_excess_percent"] == pytest.approx(doubled, rel=1e-4)
        assert at_sparse["saving_percent"] == pytest.approx(at_dense["saving_percent"])


def test_the_warning_about_the_papers_peak(shown: Run) -> None:
    text = " ".join(shown().split())
    assert "51.1 to 244.6 TFLOP/s on a chip with a dense peak of 154.8; 3 of 6 are more" in text


def test_every_key_is_described(document: dict) -> None:
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("| `table4` |"))
    described = set(re.findall(r"`(\w+)`", line))
    assert {*document, *(key for row in document["rows"] for key in row)} <= described


@pytest.fixture
def on_the_papers_card(run_cli: RunCli, burstgpt_alone: None) -> Run:
    def run(*words: object) -> str:
        result = run_cli("table4", "--gpu", "rtx-a6000", *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_papers_card_is_forecast_with_intervals(on_the_papers_card: Run) -> None:
    document = json.loads(on_the_papers_card("--format", "json"))
    assert (document["gpu"], document["model"]) == ("rtx-a6000", "llama-3.1-8b")
    (row,) = document["rows"]
    for method in ("binned", "stepwise"):
        for engine in ENGINES:
            low, high = row[f"{method}_interval_percent"][engine]
            own = row["excess_percent"]["dense"][method][engine]
            assert low < own < high
            # Wide as a card that nobody measured, and no wider than half of its energy each way.
            assert 0.15 < (high - own) / (100 + own) < 0.5
    places = document["published_places"]
    assert set(places) == {"dense", "sparse"}
    for peak, of_peak in places.items():
        for engine, place in of_peak["BurstGPT"].items():
            ratio = 1.0 if peak == "dense" else 309.7 / 154.8
            low, high = (
                (100 + end) * ratio - 100 for end in row["binned_interval_percent"][engine]
            )
            figure = row["published"][f"{engine}_excess_percent"]
            assert place == ("below" if figure < low else "above" if figure > high else "inside")


def test_it_says_what_stands_on_what(on_the_papers_card: Run) -> None:
    text = " ".join(on_the_papers_card().split())
    assert "NVIDIA RTX A6000, llama-3.1-8b (pytorch and vllm forecast)" in text
    assert "gpu scaled: this GPU was not measured; prices of h100-sxm (1 table)" in text
    assert "beside binned, if over the dense ideal: pytorch 506.52 %" in text
    assert "within the intervals of what its method is forecast to give there" in text
    (line,) = csv.DictReader(io.StringIO(on_the_papers_card("--format", "csv")))
    assert float(line["binned_interval_percent.pytorch_low"]) > 0


def test_the_page_has_what_the_command_says(run_cli: RunCli) -> None:
    page = (Path(__file__).parents[2] / "docs" / "table4.md").read_text()
    document = json.loads(run_cli("table4", "--gpu", "rtx-a6000", "--format", "json").stdout)
    rows = {row["dataset"]: row for row in document["rows"] if row["published"]}
    for peak, inside in (("dense", 4), ("sparse", 1)):
        places = document["published_places"][peak]
        assert [place for row in places.values() for place in row.values()].count(
            "inside"
        ) == inside
    for dataset, row in rows.items():
        for engine, name in (("pytorch", "PyTorch"), ("vllm", "vLLM")):
            cells = [dataset, name, f"{row['published'][f'{engine}_excess_percent']:.2f}"]
            for peak in ("dense", "sparse"):
                own = row["excess_percent"][peak]["binned"][engine]
                ratio = (100 + own) / (100 + row["excess_percent"]["dense"]["binned"][engine])
                low, high = (
                    (100 + end) * ratio - 100 for end in row["binned_interval_percent"][engine]
                )
                place = document["published_places"][peak][dataset][engine]
                cells += [f"{own:.0f} ({low:.0f} to {high:.0f})", place]
            assert f"| {' | '.join(cells)} |" in page


def test_other_cards_and_models_are_not_held_against_the_papers_figures(
    run_cli: RunCli, burstgpt_alone: None
) -> None:
    words = ("table4", "--gpu", "l40s", "--model", "qwen2.5-7b")
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    assert document["published_places"] == {"dense": {}, "sparse": {}}
    text = run_cli(*words).stdout
    assert "beside binned" not in text
    # Its data sheet has no sparse peak.
    assert document["rows"][0]["excess_percent"]["sparse"]["binned"]["vllm"] is None
    assert "at the dense peak [%]" in " ".join(text.split())
    refused = run_cli(*words, "--peak", "sparse")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "its data sheet has no sparse peak for bfloat16" in refused.stderr
    own = json.loads(run_cli("table4", "--gpu", "h200-sxm", "--format", "json").stdout)
    assert own["tables"]["vllm"] == "h200-sxm/llama-3.1-8b/vllm"
    assert set(own["rows"][0]["binned_interval_percent"]) == {"pytorch"}
