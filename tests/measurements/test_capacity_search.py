"""Largest batches found by trying."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecast.measurements.engines.capacity_search import CapacitySearch, Limits
from joulecast.traces.grid import PAPER_GRID

CELLS = PAPER_GRID.cells()


def truth(memory: float, per_input: float, per_token: float):
    """A law as real engines have it: a peak in the prefill, another at the last step."""

    def largest(i: int, o: int) -> int:
        return int(memory / max(i * per_input, (i + o) * per_token))

    return largest


@given(
    memory=st.floats(1, 1e8),
    per_input=st.floats(0.5, 20),
    per_token=st.floats(0.5, 20),
    wrong_by=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_the_largest_batch_is_found_however_wrong_the_prediction(
    memory: float, per_input: float, per_token: float, wrong_by: float, seed: int
) -> None:
    largest = truth(memory, per_input, per_token)
    search = CapacitySearch(
        lambda i, o, batch: batch <= largest(i, o), lambda i, o: largest(i, o) * wrong_by + 0.1
    )
    cells = random.Random(seed).sample(CELLS, len(CELLS))
    for i, o in cells:
        expected = min(1024, largest(i, o))
        assert search.largest(i, o) == expected
        failed = search.limits[i, o].first_failed
        assert failed == (None if expected == 1024 else expected + 1)
    tries = search.tries
    assert [search.largest(i, o) for i, o in cells] == [min(1024, largest(*c)) for c in cells]
    assert search.tries == tries  # what is known is not tried again


def test_results_bound_their_neighbours() -> None:
    """With a rough prediction, a try or two a cell; where outer cells agree, none."""
    largest = truth(270_000, 1.0, 0.5)
    asked = []

    def fits(i: int, o: int, batch: int) -> bool:
        asked.append((i, o))
        return batch <= largest(i, o)

    search = CapacitySearch(fits, lambda i, o: 1.2 * largest(i, o))
    for i in PAPER_GRID.input_edges:
        for o in (8, 512, 16, 256, 32, 128, 64):
            search.largest(i, o)
    assert search.tries == len(asked) < 0.8 * len(CELLS)
    assert (2048, 32) not in asked
    assert search.limits[2048, 32] == Limits(131, 132)


def test_where_not_one_request_fits() -> None:
    search = CapacitySearch(lambda i, o, batch: i < 512, lambda i, o: 7.0)
    assert search.largest(512, 8) == 0
    assert search.largest(8192, 512) == 0
    assert search.largest(256, 8) == 1024
    assert search.tries < 20


@pytest.mark.parametrize("seed", range(20))
def test_tries_that_contradict_each_other_still_end(seed: int) -> None:
    """Memory may be so tight that the same batch fits once and not again."""
    dice = random.Random(seed)
    search = CapacitySearch(
        lambda i, o, batch: batch <= 2**17 / (i + o) * dice.uniform(0.8, 1.2),
        lambda i, o: 2**17 / (i + o),
    )
    for i, o in dice.sample(CELLS, len(CELLS)):
        assert 0 <= search.largest(i, o) <= 1024
    assert search.tries < 20 * len(CELLS)
