"""Requests per slice of time: binned, merged, saved, regridded and drawn from."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.load import load_trace, load_workload, summarise
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.sampling import sample_requests
from joulecast.traces.slices import MOST_SLICES, Slices, exponent_for
from joulecast.traces.workload import Workload
from tests.conftest import RunCli

Request = tuple[float, int, int]

requests_in_time = st.lists(
    st.tuples(st.floats(0, 5e6), st.integers(0, 20_000), st.integers(1, 1_000)),
    min_size=1,
    max_size=30,
)


def sliced(rows: list[Request], grid=POWER_OF_TWO_GRID) -> Workload:
    """A workload by a plain loop."""
    workload = Workload.of_lengths(grid, np.array([row[1:] for row in rows]))
    times = [row[0] for row in rows]
    exponent = exponent_for(min(times), max(times), len(times))
    counts: dict[int, dict[tuple[int, int], int]] = {}
    for at, i, o in rows:
        cell = sum(e < i for e in grid.input_edges), sum(e < o for e in grid.output_edges)
        held = counts.setdefault(int(at // 2.0**exponent), {})
        held[cell] = held.get(cell, 0) + 1
    return Workload(grid, workload.cells, arrivals=Slices(exponent, counts).within_bounds())


def write(path: Path, rows: list[Request]) -> Path:
    lines = "".join(f"{at!r},{i},{o}\n" for at, i, o in rows)
    path.write_text(f"arrival_s,input_tokens,output_tokens\n{lines}")
    return path


@settings(max_examples=30)
@given(requests_in_time)
def test_slices_of_a_file_are_those_of_a_plain_loop(tmp_path_factory, rows) -> None:
    path = write(tmp_path_factory.mktemp("s") / "t.csv", rows)
    assert load_workload(path) == sliced(rows)


@given(requests_in_time, requests_in_time, requests_in_time)
def test_addition_is_that_of_the_requests(first, second, third) -> None:
    whole = sliced(first + second + third)
    assert sliced(first) + sliced(second) + sliced(third) == whole
    assert sliced(first) + (sliced(second) + sliced(third)) == whole
    assert whole.untimed == 0


@given(requests_in_time)
def test_coarser_cells_and_files_keep_them(tmp_path_factory, rows) -> None:
    fine = sliced(rows)
    assert fine.on_grid(PAPER_GRID) == sliced(rows, PAPER_GRID)
    path = tmp_path_factory.mktemp("s") / "w.json"
    fine.save(path)
    assert Workload.load(path) == fine
    assert json.loads(path.read_text()) == fine.to_dict()


def test_a_workload_of_before_has_no_slices(tmp_path: Path) -> None:
    workload = sliced([(0.5, 10, 5)])
    document = workload.to_dict()
    del document["arrivals"]
    old = Workload.from_dict(document)
    assert old == workload.without_arrivals()
    assert (old.arrivals, old.untimed) == (None, 1)
    both = old + workload
    assert both.arrivals == workload.arrivals
    assert both.untimed == 1


def test_one_clock_from_1970_and_one_from_its_start_do_not_add() -> None:
    with pytest.raises(InputError, match="decades apart"):
        sliced([(5.0, 10, 5)]) + sliced([(1.7e9, 10, 5)])


def test_there_are_never_more_than_some_thousands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(0)
    rows = [(rng.uniform(0, 1e5) + 5e5 * (k % 2), 100, 10) for k in range(20_000)]
    path = write(tmp_path / "t.csv", rows)
    arrivals = load_workload(path).arrivals
    assert arrivals is not None
    assert arrivals.width_s == 64
    assert 2000 < len(arrivals.counts) <= MOST_SLICES
    assert arrivals.requests == 20_000
    monkeypatch.setattr("joulecast.traces.slices.MANY", 20_000)
    assert load_workload(path).arrivals == arrivals.at_exponent(8)  # 256 s
    parts = [
        load_workload(write(tmp_path / "p.csv", rows[k : k + 9_000])) for k in (0, 9_000, 18_000)
    ]
    assert sum(parts[1:], parts[0]) == load_workload(path)


def test_pauses_take_no_slices(tmp_path: Path) -> None:
    """Bursts within a second decide how long requests wait: few of them are kept as they are."""
    rows = [(86_400.0 * day + k / 64, 100, 10) for day in range(30) for k in range(64)]
    arrivals = load_workload(write(tmp_path / "t.csv", rows)).arrivals
    assert arrivals is not None
    assert (arrivals.width_s, len(arrivals.counts)) == (1 / 64, 1920)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slice_s", 3),
        ("slice_s", "1"),
        ("slice_s", True),
        ("first_slice", 1.5),
        ("first_slice", 2**70),
        ("slices", []),
        ("slices", [[0, 0]]),
        ("slices", [[0, 0, 0]]),
        ("slices", [[0, 9, 1]]),
        ("slices", [[0, 0, 1.0]]),
        ("slices", [[0, 0, 3]]),
        ("slices", [[0, 0, 1, 0, 1]]),
        ("slices", [[1, 0, 1], [0, 0, 1]]),
        ("slices", None),
    ],
)
def test_slices_that_cannot_be_true_are_refused(key: str, value: object) -> None:
    document = sliced([(0.5, 10, 5), (1.5, 10, 5)]).to_dict()
    document["arrivals"][key] = value
    with pytest.raises(InputError, match="is not a valid workload"):
        Workload.from_dict(document)


def test_requests_drawn_from_slices(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = [(rng.expovariate(1e-3), rng.randint(1, 9000), rng.randint(1, 600)) for _ in range(3000)]
    workload = load_workload(write(tmp_path / "t.csv", rows))
    drawn = sample_requests(workload, np.random.default_rng(0))
    again = sample_requests(workload, np.random.default_rng(0))
    assert (drawn.arrival_s == again.arrival_s).all()
    assert (drawn.lengths == again.lengths).all()
    assert len(drawn) == 3000
    assert (np.diff(drawn.arrival_s) >= 0).all()
    assert Workload.of_lengths(POWER_OF_TWO_GRID, drawn.lengths).requests.tolist() == (
        workload.requests.tolist()
    )
    arrivals = workload.arrivals
    assert arrivals is not None
    true_s = np.sort([at for at, _, _ in rows])
    assert np.abs(drawn.arrival_s - (true_s - true_s[0])).max() < 2 * arrivals.width_s
    with pytest.raises(InputError, match="knows no arrival times"):
        sample_requests(workload.without_arrivals(), np.random.default_rng(0))


def test_lengths_stay_with_their_slice() -> None:
    """Long requests in the first hour, short ones in the second."""
    rows = [(float(k), 5000, 300) for k in range(3600)]
    rows += [(3600.0 + k, 20, 3) for k in range(3600)]
    drawn = sample_requests(sliced(rows), np.random.default_rng(2))
    assert (drawn.lengths[:3598, 0] > 4096).all()
    assert (drawn.lengths[3602:, 0] <= 32).all()


def test_shipped_traces_come_in_time(azure_folder: Path) -> None:
    for name, span_s in (("azure-2023-conv", 3501.7), ("azure-2023-code", 3435.9)):
        workload = load_embedded(name)
        loaded = load_trace(azure_folder / f"{name}.csv", with_arrivals=True)
        assert workload == loaded.workload
        assert workload.untimed == 0
        assert loaded.timed is not None
        assert loaded.timed.span_s == pytest.approx(span_s, abs=0.1)
        assert sample_requests(workload, np.random.default_rng(0)).span_s == pytest.approx(
            span_s, abs=2
        )


def test_rates_of_a_day(tmp_path: Path, run_cli: RunCli) -> None:
    """One request a minute, and ten a second for the last minute of 24 hours."""
    rows = [(60.0 * k, 100, 10) for k in range(1440)]
    rows += [(86_336 + k / 10, 100, 10) for k in range(640)]
    path = write(tmp_path / "day.csv", rows)
    of_file = summarise(path)
    assert of_file.rates is not None
    assert of_file.rates.mean == pytest.approx(2080 / 86_399.9)
    assert of_file.rates.stretch_s == 64
    assert of_file.rates.busiest == pytest.approx(641 / 64)
    run_cli("trace", "bin", path, "-o", tmp_path / "w.json")
    of_sums = summarise(tmp_path / "w.json")
    assert of_sums.rates is not None
    assert (of_sums.slice_s, of_sums.rates.busiest) == (1 / 64, of_file.rates.busiest)
    assert of_sums.span_s == pytest.approx(86_400, abs=64)
    text = run_cli("trace", "summary", path).stdout
    assert "86,399.9 s: 0.0241 requests a second, 10.0 in the busiest 64 s" in text


def test_binning_says_what_was_read(tmp_path: Path, run_cli: RunCli) -> None:
    path = write(tmp_path / "t.csv", [(0.0, 10, 5), (99.0, 10, 5)])
    result = run_cli("trace", "bin", path, "-o", tmp_path / "w.json")
    assert 'arrival times in 2 slices of 0.015625 s ("arrival_s": seconds)' in result.stderr
    path.write_text("input_tokens,output_tokens\n1,2\n")
    result = run_cli("trace", "bin", path, "-o", tmp_path / "w.json")
    assert "no arrival times" in result.stderr
