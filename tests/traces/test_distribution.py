"""How long requests are, truly and on the grid; and the picture of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecast.traces.cell_sums import CellSums
from joulecast.traces.distribution import distributions
from joulecast.traces.grid import PAPER_GRID, Grid
from joulecast.traces.load import load_distributions, load_workload
from joulecast.traces.workload import Failed, Workload
from tests.conftest import RunCli

HEAD = "input_tokens,output_tokens\n"


def test_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "10,1\n10,9\n40,600\n9000,8\n50,0\n")
    inputs, outputs = load_distributions(path)
    assert (inputs.lengths, inputs.shares) == ((10, 40, 9000), (0.5, 0.75, 1.0))
    assert inputs.edges == PAPER_GRID.input_edges
    assert inputs.binned_shares == (0.5, *[0.75] * 7)  # one of four lies beyond 8192
    assert outputs.lengths == (1, 8, 9, 600)
    assert outputs.binned_shares == (0.5, *[0.75] * 6)


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 700)), min_size=1, max_size=40))
def test_both_agree_at_the_edges(lengths: list[tuple[int, int]]) -> None:
    cells: dict[tuple[int, int], CellSums] = {}
    for i, o in lengths:
        (row,), (column,) = PAPER_GRID.assign([i], [o])
        request = CellSums(1, i, i * i, o, o * o, i * o)
        cell = int(row), int(column)
        cells[cell] = cells[cell].merged(request) if cell in cells else request
    workload = Workload(PAPER_GRID, cells, Failed(0, 0), {}, ())
    counts = tuple({x: column.count(x) for x in column} for column in zip(*lengths, strict=True))
    for side in distributions(workload, counts):
        for edge, share in zip(side.edges, side.binned_shares, strict=True):
            below = [s for x, s in zip(side.lengths, side.shares, strict=True) if x <= edge]
            assert share == pytest.approx(below[-1] if below else 0.0)
        assert side.shares[-1] == pytest.approx(1.0)


def test_of_a_workload_only_the_bins_are_known(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "10,1\n40,600\n")
    load_workload(path).save(tmp_path / "w.json")
    inputs, outputs = load_distributions(tmp_path / "w.json", Grid((16, 8192), (512,)))
    assert (inputs.lengths, inputs.binned_shares) == ((), (0.5, 1.0))
    assert outputs.binned_shares == (0.5,)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures(ending: str, run_cli: RunCli, tmp_path: Path) -> None:
    trace, picture = tmp_path / "t$x$.csv", tmp_path / f"p.{ending}"
    trace.write_text(HEAD + "10,1\n40,600\n0,3\n")
    for source in (trace, "azure-2023-conv"):
        result = run_cli("trace", "plot", source, "-o", picture)
        assert result.exit_code == 0, result.output
        assert picture.stat().st_size > 10_000
        picture.unlink()


def test_only_failed_requests_make_an_empty_picture(run_cli: RunCli, tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(HEAD + "10,0\n")
    result = run_cli("trace", "plot", trace, "-o", tmp_path / "p.png")
    assert result.exit_code == 1
    assert "no requests with output" in result.stderr
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("output", "status", "fragment"),
    [("p.jpg", 1, "ends in one of"), ("nowhere/p.png", 1, "cannot be written")],
)
def test_what_cannot_be_drawn(
    output: str, status: int, fragment: str, run_cli: RunCli, tmp_path: Path
) -> None:
    result = run_cli("trace", "plot", "azure-2023-code", "-o", tmp_path / output)
    assert result.exit_code == status
    assert fragment in result.stderr
