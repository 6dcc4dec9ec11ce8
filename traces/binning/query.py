"""The query that bins a trace: one Ibis expression for every engine."""

from typing import Any

import ibis
import ibis.expr.types as ir

from joulecast.traces.binning.codes import FAILED, LIMB_BITS, LIMBS, NEGATIVE
from joulecast.traces.grid import Grid
from joulecast.traces.workload import CellSums

_OVER_ANY_LENGTH = 2**31 + 1


def bin_requests(requests: ir.Table, grid: Grid, is_duckdb: bool = True) -> ir.Table:
    """The query: per cell the six sums of its requests.

    Args:
        requests: A row per request: `input_tokens` and `output_tokens`, as
            `traces.reading.lengths.with_tokens` gives them.
        grid: The cells.
        is_duckdb: Whether the engine sums whole numbers in 128 bits.

    Returns:
        `row`, `column` (cell indices; a row `NEGATIVE` and a column below `FAILED`, or either over
        the index of the overflow, hold invalid requests, whose sums are of no use), `requests`, and
        the other fields of `CellSums`: as text where the engine sums in 128 bits, elsewhere each as
        sums of its `LIMBS` (`input_tokens_0`, ...).
    """
    # Three more edges than a grid has: below 0, at 0 for failed requests (no output), and over any
    # length, beyond which nulls end up; so validity needs no column and no comparison of its own.
    cells = requests.select(
        input=requests.input_tokens,
        output=requests.output_tokens,
        row=_bin(requests.input_tokens, (-1, *grid.input_edges, _OVER_ANY_LENGTH), NEGATIVE),
        column=_bin(
            requests.output_tokens, (-1, 0, *grid.output_edges, _OVER_ANY_LENGTH), FAILED - 1
        ),
    )
    i, o = cells.input, cells.output
    terms = dict(zip(CellSums._fields[1:], (i, i * i, o, o * o, i * o), strict=True))
    groups = cells.group_by("row", "column")
    if is_duckdb:
        sums = groups.agg(requests=cells.count(), **{key: x.sum() for key, x in terms.items()})
        return sums.mutate(**{key: sums[key].cast("string") for key in terms})
    limbs = {
        f"{key}_{k}": ((x >> (LIMB_BITS * k)) & (2**LIMB_BITS - 1)).sum()
        for key, x in terms.items()
        for k in range(LIMBS)
    }
    return groups.agg(requests=cells.count(), **limbs)


def _bin(lengths: Any, edges: tuple[int, ...], first: int) -> Any:
    """Ceiling assignment: `first` plus the index of the smallest edge >= the length.

    A search tree of comparisons, since it makes log2(edges) of them for a length and tells the
    engine how few results there can be. Lengths over the last edge get the index after it.
    """
    if not edges:
        return ibis.literal(first, "int8")
    middle = len(edges) // 2
    return (lengths <= edges[middle]).ifelse(
        _bin(lengths, edges[:middle], first),
        _bin(lengths, edges[middle + 1 :], first + middle + 1),
    )
