"""Requests drawn with a workload's lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID
from joulecast.traces.public.catalog import load_embedded
from joulecast.traces.sampling import sample_lengths
from tests.conftest import workload_of


def test_every_cell_gives_its_own_with_its_mean_and_spread() -> None:
    workload = load_embedded("azure-2023-conv")
    total = workload.total
    drawn = sample_lengths(workload, total.requests, np.random.default_rng(1))
    assert drawn.shape == (total.requests, 2)
    rows, columns = workload.grid.assign(drawn[:, 0], drawn[:, 1])
    requests = np.zeros_like(workload.requests)
    np.add.at(requests, (rows, columns), 1)
    is_inside = np.ones_like(requests, dtype=bool)
    is_inside[-1], is_inside[:, -1] = False, False
    assert np.array_equal(requests[is_inside], workload.requests[is_inside])
    i, o = drawn.T.astype(float)
    assert i.mean() == pytest.approx(total.input_tokens / total.requests, rel=0.01)
    assert o.mean() == pytest.approx(total.output_tokens / total.requests, rel=0.01)
    assert (i @ i) == pytest.approx(total.input_tokens_squared, rel=0.02)
    assert (o @ o) == pytest.approx(total.output_tokens_squared, rel=0.02)


def test_a_part_is_like_the_whole_and_a_seed_repeats() -> None:
    workload = load_embedded("azure-2023-code")
    drawn, again, otherwise = (
        sample_lengths(workload, 2000, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, otherwise)
    mean = workload.total.input_tokens / workload.total.requests
    assert drawn[:, 0].mean() == pytest.approx(mean, rel=0.08)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 1500)), min_size=1, max_size=30),
    st.sampled_from([PAPER_GRID, POWER_OF_TWO_GRID]),
)
def test_any_sums_can_be_drawn_from(requests: list[tuple[int, int]], grid) -> None:
    workload = workload_of(grid, requests)
    drawn = sample_lengths(workload, len(requests), np.random.default_rng(0))
    assert drawn.shape == (len(requests), 2)
    assert drawn.min() >= 1
    rows, columns = grid.assign(drawn[:, 0], drawn[:, 1])
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        assert (row, column) in workload.cells


@pytest.mark.parametrize("tail", ["gamma", "uniform"])
def test_lengths_beyond_the_grid_have_their_mean_and_spread(tail: str) -> None:
    requests = [(10_000 + 10 * k, 600 + k) for k in range(1000)]
    workload = workload_of(PAPER_GRID, requests)
    drawn = sample_lengths(workload, 40_000, np.random.default_rng(3), tail).astype(float)
    true = np.array(requests, dtype=float)
    assert drawn.mean(axis=0) == pytest.approx(true.mean(axis=0), rel=0.01)
    assert drawn.std(axis=0) == pytest.approx(true.std(axis=0), rel=0.02)
    longest = drawn.max(axis=0) / true.max(axis=0)
    # Evenly spread lengths end where the true ones do; the others go on.
    assert (longest == pytest.approx(1, abs=0.01)) == (tail == "uniform")


def test_a_uniform_tail_never_reaches_back_into_the_grid() -> None:
    """Where the spread asks for that, it ends at the edge, and the mean stays."""
    requests = [(8200, 600)] * 90 + [(100_000, 600)] * 10
    workload = workload_of(PAPER_GRID, requests)
    drawn = sample_lengths(workload, 40_000, np.random.default_rng(3), "uniform")[:, 0]
    assert drawn.min() > 8192
    assert drawn.mean() == pytest.approx(0.9 * 8200 + 0.1 * 100_000, rel=0.01)


def test_equal_requests_are_drawn_as_they_are() -> None:
    workload = workload_of(PAPER_GRID, [(700, 30)] * 9)
    drawn = sample_lengths(workload, 9, np.random.default_rng(0))
    assert drawn.tolist() == [[700, 30]] * 9
