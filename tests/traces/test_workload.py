import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.load import load_workload
from joulecast.traces.workload import Failed, Workload
from tests.conftest import workload_of

request_lists = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 1_000)), max_size=60)


@given(request_lists, request_lists)
def test_addition_is_that_of_the_requests(first, second) -> None:
    both = workload_of(PAPER_GRID, first) + workload_of(PAPER_GRID, second)
    assert dict(both.cells) == dict(workload_of(PAPER_GRID, first + second).cells)


@given(request_lists)
def test_merging_cells_equals_binning_coarser(requests) -> None:
    fine = workload_of(POWER_OF_TWO_GRID, requests)
    assert dict(fine.on_grid(PAPER_GRID).cells) == dict(workload_of(PAPER_GRID, requests).cells)


@given(request_lists, st.integers(0, 5), st.dictionaries(st.just("missing"), st.integers(1, 9)))
def test_saved_and_loaded_is_the_same(tmp_path_factory, requests, failed, invalid) -> None:
    path = tmp_path_factory.mktemp("w") / "w.json"
    workload = replace(
        workload_of(PAPER_GRID, requests),
        failed=Failed(failed, 7 * failed),
        invalid=invalid,
        sources=({"name": "log.csv"},),
    )
    workload.save(path)
    loaded = Workload.load(path)
    assert loaded == workload
    assert loaded.sources == workload.sources
    assert load_workload(str(path), PAPER_GRID) == workload


def test_sums_stay_exact_where_floats_would_not() -> None:
    huge = CellSums(10**12, 8000 * 10**12 + 1, 64 * 10**18 + 1, 10**13, 10**14 + 1, 8 * 10**16 + 1)
    workload = Workload(PAPER_GRID, {(7, 1): huge})
    assert (workload + workload).total.input_tokens_squared == 2 * (64 * 10**18 + 1)


def test_size_does_not_grow_with_requests(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def size(rows: int) -> int:
        lengths = rng.integers((0, 1), (9000, 600), (rows, 2))
        text = "input_tokens,output_tokens\n" + "\n".join(f"{i},{o}" for i, o in lengths)
        (tmp_path / "t.csv").write_text(text)
        return len(load_workload(str(tmp_path / "t.csv"), PAPER_GRID).to_json())

    most = (len(PAPER_GRID.input_edges) + 1) * (len(PAPER_GRID.output_edges) + 1)
    assert size(200_000) < most * 100 + 2000


def test_ten_million_requests_are_as_small_as_ten() -> None:
    ten = workload_of(PAPER_GRID, [(100, 10)] * 10)
    many = ten
    for _ in range(20):
        many = many + many
    assert many.total.requests > 10_000_000
    assert len(many.to_json()) < len(ten.to_json()) + 60


def test_a_grid_that_cuts_cells_is_refused() -> None:
    with pytest.raises(InputError, match="give the trace itself"):
        workload_of(PAPER_GRID, [(1, 1)]).on_grid(POWER_OF_TWO_GRID)
    with pytest.raises(InputError, match="give the trace itself"):
        workload_of(PAPER_GRID, [(1, 1)]).on_grid(Grid((32, 128), (8, 512)))
    with pytest.raises(InputError, match="do not add"):
        workload_of(PAPER_GRID, []) + workload_of(POWER_OF_TWO_GRID, [])


def spoil(path: str, value: object):
    def change(document: dict) -> None:
        *parents, last = path.split(".")
        for key in parents:
            document = document[int(key) if key.isdigit() else key]
        document[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil("version", 2),
        spoil("columns", []),
        spoil("grid.input_edges", [8, 4]),
        spoil("failed", {"requests": -1, "input_tokens": 0}),
        spoil("failed", {"requests": 1}),
        spoil("invalid", {"missing": "many"}),
        spoil("cells.0.0", 33),
        spoil("cells.0.2", 0),
        spoil("cells.0.2", -1),
        spoil("cells.0.2", 1.5),
        spoil("cells.0.3", 10**9),
        spoil("cells.0.4", 1),
        spoil("cells.0.7", 10**12),
        spoil("cells.0", [32, 8, 1]),
        spoil("cells", [[32, 8, 1, 1, 1, 1, 1, 1]] * 2),
        spoil("sources", [1]),
        spoil("failed", None),
        spoil("cells.0.3", 0),
        spoil("cells.0.2", 10**400),
        spoil("failed", {"requests": 0, "input_tokens": 5}),
        lambda document: document.pop("cells"),
    ],
)
def test_a_workload_that_cannot_be_true_is_refused(change, tmp_path: Path) -> None:
    document = workload_of(PAPER_GRID, [(10, 5), (20, 8), (200, 100)]).to_dict()
    change(document)
    (tmp_path / "w.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"w\.json: is not a valid workload"):
        Workload.load(tmp_path / "w.json")


def test_a_cut_off_workload_is_refused(tmp_path: Path) -> None:
    text = workload_of(PAPER_GRID, [(10, 5)]).to_json()
    (tmp_path / "w.json").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="not whole JSON"):
        load_workload(str(tmp_path / "w.json"))


@pytest.mark.parametrize(
    "sums",
    [
        [5, 50, 500, 0, 0, 0],  # no output at all; such requests are failed ones
        [2, 10, 50, 6, 18, 5],  # i * o adds up to less than the inputs alone
    ],
)
def test_sums_that_no_requests_have_are_refused(sums: list[int]) -> None:
    document = workload_of(PAPER_GRID, [(5, 3), (5, 3)]).to_dict()
    document["cells"] = [[32, 8, *sums]]
    with pytest.raises(InputError, match="is not a valid workload"):
        Workload.from_dict(document)
