"""The six sums over the requests of a cell, and whether any requests can have them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from joulecast.traces.grid import Grid

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LONGEST = 2**31
_TOO_MANY = 2**126
_SHORT = 2**20
"""So many squares of lengths below this stay below 2^63."""
_PIECE = 1 << 16
"""Requests at a time, where each takes memory beside the sums."""


class CellSums(NamedTuple):
    """Sums over the requests of one cell, exact at any size.

    Attributes:
        requests: n.
        input_tokens: sum i [tokens].
        input_tokens_squared: sum i^2 [tokens^2].
        output_tokens: sum o [tokens].
        output_tokens_squared: sum o^2 [tokens^2].
        input_times_output: sum i*o [tokens^2].
    """

    requests: int
    input_tokens: int
    input_tokens_squared: int
    output_tokens: int
    output_tokens_squared: int
    input_times_output: int

    @classmethod
    def of_lengths(cls, lengths: "npt.NDArray[np.int32 | np.int64]") -> "CellSums":
        """The sums over requests (i, o) [tokens], shape (n, 2)."""
        pieces = (lengths[begin : begin + _PIECE] for begin in range(0, len(lengths), _PIECE))
        return total_of(map(cls._of_piece, pieces))

    @classmethod
    def _of_piece(cls, lengths: "npt.NDArray[np.int32 | np.int64]") -> "CellSums":
        """The same of at most `_PIECE` requests."""
        # Python's integers hold any sum, but take longer.
        i, o = lengths.astype("int64" if lengths.max(initial=0) < _SHORT else object).T
        return cls(*map(int, (len(i), i.sum(), i @ i, o.sum(), o @ o, i @ o)))

    def merged(self, other: "CellSums") -> "CellSums":
        """The sums over both sets of requests."""
        return CellSums(*(a + b for a, b in zip(self, other, strict=True)))


NO_REQUESTS = CellSums(0, 0, 0, 0, 0, 0)


def total_of(cells: Iterable[CellSums]) -> CellSums:
    """The sums over the requests of several cells."""
    total = NO_REQUESTS
    for sums in cells:
        total = total.merged(sums)
    return total


def cells_from_lists(grid: Grid, rows: Any) -> dict[tuple[int, int], CellSums]:
    """The cells of a saved workload.

    Raises:
        ValueError: No requests have such sums.
    """
    inputs: list[int | None] = [*grid.input_edges, None]
    outputs: list[int | None] = [*grid.output_edges, None]
    cells: dict[tuple[int, int], CellSums] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != 2 + len(CellSums._fields):
            raise ValueError(f"cell {number} does not have {2 + len(CellSums._fields)} values")
        input_edge, output_edge, *values = row
        if input_edge not in inputs or output_edge not in outputs:
            raise ValueError(f"cell {number} ({input_edge}, {output_edge}) is not in its grid")
        require_counts(values, f"cell {number}")
        cell = inputs.index(input_edge), outputs.index(output_edge)
        if cell in cells:
            raise ValueError(f"cell {number} ({input_edge}, {output_edge}) is there twice")
        cells[cell] = sums = CellSums(*values)
        low, high = _bounds(grid.output_edges, cell[1])
        # Requests without output are not in cells.
        _check_sums(sums, _bounds(grid.input_edges, cell[0]), (max(1, low), high))
    return cells


def cached_from_list(
    cells: Mapping[tuple[int, int], CellSums], tokens: Any
) -> dict[tuple[int, int], int] | None:
    """Cached prompt tokens of each cell of a saved workload.

    Args:
        cells: As the workload lists them.
        tokens: A number for each; None where nothing is known of a cache of prefixes.

    Raises:
        ValueError: No requests of these cells have so many.
    """
    if tokens is None:
        return None
    if not isinstance(tokens, list) or len(tokens) != len(cells):
        raise ValueError("cached has a number of tokens for each cell")
    require_counts(tokens, "cached")
    for sums, cached in zip(cells.values(), tokens, strict=True):
        if cached > sums.input_tokens:
            raise ValueError(f"{cached} of a cell's {sums.input_tokens} input tokens are no part")
    return dict(zip(cells, tokens, strict=True))


def _bounds(edges: tuple[int, ...], index: int) -> tuple[int, int | None]:
    """Shortest and longest length in a bin [tokens]."""
    lowest = 0 if index == 0 else edges[index - 1] + 1
    return lowest, edges[index] if index < len(edges) else None


def require_counts(values: Iterable[Any], what: str) -> None:
    """Refuse what counts nothing.

    Raises:
        ValueError: A value is no whole number from 0 on, or larger than any count.
    """
    if any(type(value) is not int or not 0 <= value < _TOO_MANY for value in values):
        raise ValueError(f"{what}: counts are whole numbers from 0 to 2^126")


def _check_sums(
    sums: CellSums, inputs: tuple[int, int | None], outputs: tuple[int, int | None]
) -> None:
    """Whether any requests of that cell could have these sums."""
    n = sums.requests
    for name, first, second, (low, high) in (
        ("input", sums.input_tokens, sums.input_tokens_squared, inputs),
        ("output", sums.output_tokens, sums.output_tokens_squared, outputs),
    ):
        if not n * low <= first or (high is not None and first > n * high):
            raise ValueError(f"{n} requests of a cell cannot have {first} {name} tokens")
        if n * second < first * first or not first <= second <= first * (high or LONGEST):
            raise ValueError(f"the squared {name} lengths of a cell do not fit its lengths")
    cross = sums.input_times_output
    least = max(outputs[0] * sums.input_tokens, inputs[0] * sums.output_tokens)
    if cross < least or n < 1 or cross**2 > sums.input_tokens_squared * sums.output_tokens_squared:
        raise ValueError("a cell's sums do not fit one another")
