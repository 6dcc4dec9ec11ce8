import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid


def test_paper_grid_is_the_list_and_the_other_is_the_formula() -> None:
    assert PAPER_GRID.shape == (8, 7)
    assert POWER_OF_TWO_GRID.shape == (10, 7)
    assert set(POWER_OF_TWO_GRID.input_edges) - set(PAPER_GRID.input_edges) == {16, 64}


@pytest.mark.parametrize(
    ("length", "row"), [(0, 0), (1, 0), (32, 0), (33, 1), (128, 1), (8192, 7), (8193, 8)]
)
def test_lengths_go_to_the_smallest_edge_that_holds_them(length: int, row: int) -> None:
    rows, _ = PAPER_GRID.assign([length], [1])
    assert rows.tolist() == [row]


@given(st.integers(0, 20_000), st.integers(1, 2_000))
def test_ceiling_assignment_as_defined(i: int, o: int) -> None:
    (row,), (column,) = PAPER_GRID.assign([i], [o])
    for index, edges, length in (
        (row, PAPER_GRID.input_edges, i),
        (column, PAPER_GRID.output_edges, o),
    ):
        holding = [edge for edge in edges if edge >= length]
        assert (edges[index] if index < len(edges) else None) == (min(holding, default=None))


@pytest.mark.parametrize("edges", [(), (8, 8), (16, 8), (0, 8), (-1,), (1.5,)])
def test_edges_that_make_no_grid(edges: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="edges"):
        Grid(edges, (8,))


def test_refining() -> None:
    assert POWER_OF_TWO_GRID.refines(PAPER_GRID)
    assert not PAPER_GRID.refines(POWER_OF_TWO_GRID)
    assert Grid.from_dict(PAPER_GRID.to_dict()) == PAPER_GRID
