"""Tables as pictures, and one table over another."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from joulecast.measurements.table.table import load_table, table_folder
from tests.conftest import RunCli

PYTORCH, VLLM = (f"h100-sxm/llama-3.1-8b/{name}" for name in ("pytorch", "vllm"))
QUICK, TRAFFIC = (f"h100-sxm/llama-3.1-8b/vllm-{name}" for name in ("quick", "traffic"))
BY_HAND = "h100-sxm/llama-3.1-8b/vllm-by-hand"


def test_one_table_over_another(run_cli: RunCli) -> None:
    result = run_cli("table", "show", PYTORCH, "--over", VLLM, "--format", "json")
    document = json.loads(result.stdout)
    assert (document["table"], document["over"]) == (PYTORCH, VLLM)
    ours, theirs = load_table(PYTORCH).cells, load_table(VLLM).cells
    assert len(document["cells"]) == 56
    for row in document["cells"]:
        cell = row["input_tokens"], row["output_tokens"]
        assert row["over"] == theirs[cell].request_energy_j
        assert row["ratio"] == ours[cell].request_energy_j / theirs[cell].request_energy_j
        assert row["over_coverage"] == "measured"
    shown = run_cli("table", "show", PYTORCH, "--over", VLLM).stdout
    assert "pytorch\nover h100-sxm" in shown
    assert "2.143" in shown


def test_batch_sizes_over_each_other_keep_the_weaker_mark(run_cli: RunCli) -> None:
    words = ("table", "show", PYTORCH, "--over", BY_HAND, "--quantity", "batch-size")
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    (row,) = (r for r in document["cells"] if (r["input_tokens"], r["output_tokens"]) == (8192, 8))
    assert row["ratio"] == 32 / 55
    assert row["coverage"] == row["over_coverage"] == "measured"
    assert document["quantity"] == "batch-size"
    assert "~" in run_cli(*words).stdout.partition("interpolated")[0]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_heat_maps(ending: str, run_cli: RunCli, tmp_path: Path) -> None:
    picture = tmp_path / f"gap.{ending}"
    result = run_cli("table", "show", PYTORCH, "--over", VLLM, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert result.stdout == run_cli("table", "show", PYTORCH, "--over", VLLM).stdout
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert picture.read_bytes().startswith(start)


@pytest.mark.parametrize("over", [(), ("--over", VLLM)])
def test_too_few_cells_to_fill_in_the_others_are_shown_alone(
    over: tuple[str, ...], run_cli: RunCli, tmp_path: Path
) -> None:
    words = ("table", "show", QUICK, *over)
    measured = load_table(QUICK).measured
    assert 0 < len(measured) < 6
    rows = json.loads(run_cli(*words, "--format", "json").stdout)["cells"]
    assert {(row["input_tokens"], row["output_tokens"]) for row in rows} == set(measured)
    picture = tmp_path / "quick.png"
    result = run_cli(*words, "--plot", picture)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert f"too few of {QUICK} to fill in the others" in text
    assert picture.exists()


@pytest.mark.parametrize(
    "words",
    [
        (TRAFFIC, "--plot", "t.png"),
        (TRAFFIC, "--over", VLLM),
        (VLLM, "--over", TRAFFIC),
        (TRAFFIC, "--quantity", "batch-size"),
    ],
)
def test_a_table_of_traffic_has_no_cells_to_draw(words: tuple[str, ...], run_cli: RunCli) -> None:
    result = run_cli("table", "show", *words)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {TRAFFIC}: is of traffic, which tells prices and no cell's energy; show it "
        "without --over, --plot and --quantity\n"
    )
    assert not Path("t.png").exists()


@pytest.mark.slow
def test_one_panel_is_narrower_than_three(run_cli: RunCli, tmp_path: Path) -> None:
    run_cli("table", "show", VLLM, "--plot", tmp_path / "one.png")
    run_cli("table", "show", PYTORCH, "--over", VLLM, "--plot", tmp_path / "three.png")
    panel, panels = imread(tmp_path / "one.png"), imread(tmp_path / "three.png")
    assert panels.shape[1] == pytest.approx(3 * panel.shape[1], abs=3)
    assert np.unique(panel.reshape(-1, 4), axis=0).shape[0] > 56  # a colour a cell


def test_the_svg_says_every_number(run_cli: RunCli, tmp_path: Path) -> None:
    """As text would be read: units on every axis and scale, no cell empty."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        run_cli("table", "show", BY_HAND, "--plot", tmp_path / "t.svg")
    text = (tmp_path / "t.svg").read_text()
    title = "vllm-by-hand (vllm 0.22.0)"
    for words in ("input, I [tokens]", "output, O [tokens]", "in a full batch [J]", title):
        assert words in text
    assert text.count("~</text>") == 24


@pytest.mark.parametrize(
    ("words", "status", "fragment"),
    [
        ((VLLM, "--plot", "x.jpg"), 1, "ends in one of .png"),
        ((VLLM, "--plot", "nowhere/x.png"), 1, "cannot be written"),
        ((VLLM, "--plot", "x.png", "-o", "x.png"), 2, "same file"),
        ((VLLM, "--over", "h100-sxm/llama-3.1-8b/vlm"), 1, "did you mean"),
    ],
)
def test_what_cannot_be_drawn(
    words: tuple[str, ...],
    status: int,
    fragment: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli("table", "show", *words)
    assert result.exit_code == status
    assert fragment in result.stderr
    assert not list(tmp_path.iterdir())


def test_tables_on_other_grids_are_not_compared(run_cli: RunCli, tmp_path: Path) -> None:
    source = load_table(BY_HAND)
    grid = {
        "input_edges": [*source.grid.input_edges, 16384],
        "output_edges": [*source.grid.output_edges],
    }
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "table.json").write_text(json.dumps({**source.metadata, "grid": grid}))
    (folder / "runs.csv").write_bytes((table_folder(BY_HAND) / "runs.csv").read_bytes())
    result = run_cli("table", "show", VLLM, "--over", folder, "--plot", tmp_path / "x.png")
    assert result.exit_code == 1
    assert "another grid" in result.stderr
    assert not (tmp_path / "x.png").exists()
