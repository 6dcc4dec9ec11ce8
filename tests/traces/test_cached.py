"""What a trace says of cached prompt tokens, from its rows to requests that are drawn."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.traces.binning.cells import bin_trace, cell_sums
from joulecast.traces.binning.file_trace import FileTrace, open_trace
from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.reading.lengths import REQUESTS, Stored, union
from joulecast.traces.requests import TimedRequests
from joulecast.traces.sampling import sample_requests, sample_with_cached
from joulecast.traces.slices import Slices
from joulecast.traces.summary import summarise_workload
from joulecast.traces.workload import Workload
from tests.conftest import RunCli, workload_of

requests_with_cached = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 1000), st.floats(0, 1)), max_size=40
)
Rows = list[tuple[int, int, float]]


def workload_with(rows: Rows, grid=PAPER_GRID) -> Workload:
    lengths = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    cached = np.array([int(share * i) for i, _, share in rows], dtype=np.int64)
    return Workload.of_lengths(grid, lengths, cached)


@given(requests_with_cached, requests_with_cached)
def test_cached_tokens_merge_by_addition(first: Rows, second: Rows) -> None:
    both = workload_with(first) + workload_with(second)
    assert both == workload_with(first + second)
    assert both.cached_tokens == sum(int(share * i) for i, _, share in first + second)
    assert workload_with(first, POWER_OF_TWO_GRID).on_grid(PAPER_GRID) == workload_with(first)


def test_what_is_not_known_adds_nothing() -> None:
    known, unknown = workload_with([(100, 5, 0.5)]), workload_of(PAPER_GRID, [(100, 5), (900, 5)])
    assert unknown.cached_tokens is None
    assert (unknown + unknown).cached is None
    assert unknown.on_grid(PAPER_GRID).cached is None
    for both in (known + unknown, unknown + known):
        assert both.cached_tokens == 50
        assert both.cached == {(1, 0): 50, (4, 0): 0}
    assert known.without_cached() == workload_of(PAPER_GRID, [(100, 5)])


@given(requests_with_cached)
def test_saved_and_loaded_is_the_same(rows: Rows) -> None:
    workload = workload_with(rows)
    document = json.loads(workload.to_json())
    assert Workload.from_dict(document) == workload
    del document["cached"]  # as files of before are
    assert Workload.from_dict(document) == workload.without_cached()
    assert "cached" not in workload.without_cached().to_dict()


@pytest.mark.parametrize("value", [[1], [-1, 0], [0.5, 0], [101, 0], {}, "1", [None, 0], [True, 0]])
def test_cached_tokens_that_no_requests_have_are_refused(value: object) -> None:
    document = workload_with([(100, 5, 0.5), (900, 5, 0.5)]).to_dict()
    document["cached"] = value
    with pytest.raises(InputError, match="is not a valid workload"):
        Workload.from_dict(document)


@given(requests_with_cached.filter(bool))
@settings(max_examples=50)
def test_what_is_drawn_keeps_the_share_of_each_cell(rows: Rows) -> None:
    workload = workload_with(rows)
    lengths, cached = sample_with_cached(workload, len(rows), np.random.default_rng(0))
    assert cached is not None
    assert (cached >= 0).all()
    assert (cached <= lengths[:, 0]).all()
    drawn = Workload.of_lengths(PAPER_GRID, lengths, cached)
    for cell, sums in drawn.cells.items():
        true = workload.cells[cell]
        share = workload.cached_in(cell) / max(1, true.input_tokens)
        assert drawn.cached_in(cell) == pytest.approx(share * sums.input_tokens, abs=1.01)
    plain, none = sample_with_cached(workload.without_cached(), len(rows), np.random.default_rng(0))
    assert none is None
    assert np.array_equal(plain, lengths)


def test_requests_in_time_take_their_cached_tokens_along() -> None:
    arrivals, lengths = np.array([3.0, 1.0, 2.0]), np.array([[30, 1], [10, 1], [20, 1]])
    timed = TimedRequests.in_order(arrivals, lengths, np.array([3, 1, 2]))
    assert timed.cached.tolist() == [1, 2, 3]
    assert timed.faster(2).cached.tolist() == [1, 2, 3]
    assert timed.between(0.5, 1.5).cached.tolist() == [2]
    assert timed.dealt(0, 2).cached.tolist() == [1, 3]
    assert timed.dealt(1, 2).without_cached().cached is None
    rated = TimedRequests.at_rate(lengths, 1.0, np.random.default_rng(0), np.array([3, 1, 2]))
    assert rated.cached.tolist() == [3, 1, 2]


def test_slices_draw_cached_tokens() -> None:
    whole = workload_with([(100, 5, 0.5)] * 40 + [(900, 5, 0.0)] * 10)
    counts = {cell: sums.requests for cell, sums in whole.cells.items()}
    drawn = sample_requests(
        replace(whole, arrivals=Slices(0, {0: counts})), np.random.default_rng(1)
    )
    assert drawn.cached[drawn.lengths[:, 0] == 100].tolist() == [50] * 40
    assert not drawn.cached[drawn.lengths[:, 0] == 900].any()


def with_cached(trace: FileTrace, cached: str) -> FileTrace:
    """The same with a column of cached tokens, which SQL works out."""
    trace.database.execute(f"ALTER VIEW {REQUESTS} RENAME TO as_read")
    trace.database.execute(
        f"CREATE TEMP VIEW {REQUESTS} AS SELECT *, CAST({cached} AS BIGINT) AS cached FROM as_read"
    )
    return replace(trace, stored=trace.stored._replace(has_cached=True))


LOG = "input_tokens,output_tokens,arrival_s\n100,5,2\n900,5,1\n7,0,3\n1000,700,0\n9000,3,4\n"
HALF = (
    "CASE CAST(input AS INT) WHEN 900 THEN NULL WHEN 9000 THEN 10000 "
    "ELSE CAST(input AS INT) // 2 END"
)
"""Half of a prompt, nothing known of one, and more than there is of another."""


@pytest.mark.parametrize("log", [LOG, LOG.replace("arrival_s", "note")])
def test_a_column_of_cached_tokens_is_binned_and_delivered(log: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(log)
    with open_trace(str(path)) as opened:
        plain = bin_trace(opened, PAPER_GRID)
        trace = with_cached(opened, HALF)
        workload = bin_trace(trace, PAPER_GRID)
        lengths, cached = trace.lengths_and_cached()
        assert workload.without_cached() == plain
        assert workload.cached_tokens == 50 + 0 + 500 + 9000
        assert workload.cached == Workload.of_lengths(PAPER_GRID, lengths, cached).cached
        assert cached.tolist() == [50, 0, 500, 9000]
        if trace.has_arrivals:
            assert trace.timed()[0].cached.tolist() == [500, 0, 50, 9000]


def test_other_engines_sum_cached_tokens_alike() -> None:
    """In pieces of 21 bits, as for those that sum in 64."""
    database = duckdb.connect()
    database.execute(
        f"CREATE VIEW {REQUESTS} AS SELECT * FROM (VALUES (100, 5, 60), (90, 5, NULL), "
        "(2000000000, 5, 1999999999), (50, 5, 51), (50, 5, -3)) AS rows(input, output, cached)"
    )
    stored = Stored("whole", "whole", is_duckdb=False, has_cached=True)
    query = cell_sums(stored, PAPER_GRID)
    answer = database.execute(query.sql)
    names = [column[0] for column in answer.description]
    assert names == list(query.types)
    groups = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    cached = [sum(int(group[f"cached_tokens_{k}"]) << 21 * k for k in range(3)) for group in groups]
    assert sorted(cached) == [110, 1_999_999_999]


def test_files_with_and_without_a_column_go_together() -> None:
    views = {"one": Stored("whole", "whole"), "two": Stored("text", "whole", has_cached=True)}
    select, stored = union(views)
    assert stored == Stored("text", "whole", has_cached=True)
    database = duckdb.connect()
    database.execute("CREATE VIEW one AS SELECT 5 AS input, 3 AS output")
    database.execute("CREATE VIEW two AS SELECT '7' AS input, 3 AS output, 2 AS cached")
    assert database.execute(select).fetchall() == [("5", 3, None), ("7", 3, 2)]
    assert union({"one": views["one"]})[1] == views["one"]


def test_the_summary_tells_them(run_cli: RunCli, tmp_path: Path) -> None:
    workload = workload_with([(100, 5, 0.5), (900, 5, 0.1)])
    assert summarise_workload(workload).to_dict()["cached"] == {
        "tokens": 140,
        "share_of_input": 0.14,
    }
    assert "cached" not in summarise_workload(workload.without_cached()).to_dict()
    workload.save(tmp_path / "w.json")
    shown = run_cli("trace", "summary", tmp_path / "w.json").stdout
    assert "140 input tokens (14.0 %) were in a cache" in shown
