"""One query makes a `Workload` of a trace, whatever its size: per cell, the six sums."""

from collections.abc import Mapping, Sequence
from typing import Any

from joulecast.traces.binning.trace import Query, Slicing, Trace
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.reading.lengths import Stored, cached_tokens, with_problems, with_tokens
from joulecast.traces.reading.problems import MALFORMED, PROBLEMS
from joulecast.traces.slices import Slices
from joulecast.traces.workload import Failed, Workload

LIMBS, LIMB_BITS = 3, 21
"""Most engines sum whole numbers in 64 bits, and warehouses of logs may hold 10^11 requests whose
squared lengths take 62. So every term is summed in three pieces of 21 bits: a sum of 2^42 pieces
still fits, which is 4 x 10^12 requests in a cell."""

_NEGATIVE, _FAILED = -1, -1
"""Row of negative inputs, and column of requests without output; negative outputs come below."""

_OVER_ANY_LENGTH = 2**31 + 1
_TERMS = dict(zip(CellSums._fields[1:], ("i", "i * i", "o", "o * o", "i * o"), strict=True))
_CACHED = {"cached_tokens": "c"}


def bin_trace(trace: Trace, grid: Grid) -> Workload:
    """Read a trace once and keep its sums; once more where rows are invalid, to say how.

    Raises:
        InputError: A row is invalid and `trace.on_invalid` is "error", or there are no rows.
    """
    cells: dict[tuple[int, int], CellSums] = {}
    slices: dict[int, dict[tuple[int, int], int]] = {}
    cached: dict[tuple[int, int], int] = {}
    failed = Failed(0, 0)
    has_invalid = False
    rows, columns = grid.shape
    slicing = trace.slicing()
    for group in trace.ask(cell_sums(trace.stored, grid, slicing)):
        row, column = group["input_bin"], group["output_bin"]
        if not (_NEGATIVE < row <= rows and _FAILED <= column <= columns):
            has_invalid = True
            continue
        sums = CellSums(group["requests"], *(_whole_sum(group, term) for term in _TERMS))
        if column == _FAILED:
            failed = Failed(
                failed.requests + sums.requests, failed.input_tokens + sums.input_tokens
            )
        else:
            cells[row, column] = sums
            if trace.stored.has_cached:
                cached[row, column] = _whole_sum(group, "cached_tokens")
            for index, requests in group.get("slices") or ():
                slices.setdefault(index, {})[row, column] = requests
    invalid: dict[str, int] = {}
    if malformed := trace.malformed_rows():
        invalid[MALFORMED] = malformed
    if (has_invalid or invalid) and trace.on_invalid == "error":
        raise trace.first_problem()
    if has_invalid:
        invalid |= count_problems(trace)
    if not (cells or failed.requests or invalid):
        raise InputError(f"{trace.name}: has a header but no requests")
    return Workload(
        grid,
        dict(sorted(cells.items())),
        failed,
        dict(sorted(invalid.items())),
        trace.sources,
        Slices(slicing.exponent, slices).within_bounds() if slicing and slices else None,
        dict(sorted(cached.items())) if trace.stored.has_cached else None,
    )


def count_problems(trace: Trace) -> dict[str, int]:
    """What is wrong with the invalid rows of a trace -> how many."""
    query = Query(
        f"SELECT problem, COUNT(*) AS requests FROM ({with_problems(trace.stored)}) AS rows "
        "WHERE problem <> 0 GROUP BY 1",
        {"problem": "int64", "requests": "int64"},
    )
    return {PROBLEMS[group["problem"]]: group["requests"] for group in trace.ask(query)}


def cell_sums(stored: Stored, grid: Grid, slicing: Slicing | None = None) -> Query:
    """The query: per cell the six sums of its requests, and that of their cached tokens if told.

    Args:
        stored: How the rows of the trace are stored.
        grid: The cells.
        slicing: How to count them per slice of time, too.

    Returns:
        `input_bin` and `output_bin` (indices of the cell; those below that of a failed request, or
        over that of the overflow, hold invalid requests, whose sums are of no use), `requests`, and
        the other fields of `CellSums`: as text where the engine sums in 128 bits, elsewhere each as
        sums of its `LIMBS` (`input_tokens_0`, ...). With slices, also `slices`: a list of pairs,
        the slice and how many of the cell's requests come in it.
    """
    # Three more edges than a grid has: below 0, at 0 for failed requests (no output), and over any
    # length, beyond which nulls end up; so validity needs no column and no comparison of its own.
    input_edges = (-1, *grid.input_edges, _OVER_ANY_LENGTH)
    output_edges = (-1, 0, *grid.output_edges, _OVER_ANY_LENGTH)
    terms = {**_TERMS, **_CACHED} if stored.has_cached else _TERMS
    if stored.is_duckdb:
        terms = dict(terms)
    else:
        terms = {
            f"{name}_{k}": f"(({term}) >> {LIMB_BITS * k}) & {2**LIMB_BITS - 1}"
            for name, term in terms.items()
            for k in range(LIMBS)
        }
    bins = (
        f"SELECT i, o{', c' if stored.has_cached else ''}, "
        f"{_bin('i', input_edges, _NEGATIVE)} AS input_bin, "
        f"{_bin('o', output_edges, _FAILED - 1)} AS output_bin{_slice(slicing)} "
        f"FROM (SELECT input_tokens AS i, output_tokens AS o{_cached(stored)}{_arrival(slicing)} "
        f"FROM ({with_tokens(stored)}) AS lengths) AS pairs"
    )
    total = "CAST(SUM({}) AS TEXT)" if stored.is_duckdb else "SUM({})"
    if slicing is not None:
        return _sliced(bins, terms, total)
    selected = _selected({name: total.format(term) for name, term in terms.items()})
    types = dict.fromkeys(terms, "string" if stored.is_duckdb else "int64")
    return Query(
        f"SELECT input_bin, output_bin, COUNT(*) AS requests, {selected} FROM ({bins}) AS bins "
        "GROUP BY 1, 2",
        {"input_bin": "int64", "output_bin": "int64", "requests": "int64", **types},
    )


def _sliced(bins: str, terms: Mapping[str, str], total: str) -> Query:
    """Sums per cell and slice first, then per cell: as many lists as there are cells.

    Args:
        bins: A query of the rows, each with its cell and slice.
        terms: What to add up of them, as SQL by name.
        total: How their sum is given, as SQL with a place for it.
    """
    inner = _selected({name: f"SUM({term})" for name, term in terms.items()})
    outer = _selected({name: total.format(name) for name in terms})
    return Query(
        f"SELECT input_bin, output_bin, CAST(SUM(requests) AS BIGINT) AS requests, {outer}, "
        "LIST([slice, requests]) FILTER (slice IS NOT NULL) AS slices FROM ("
        f"SELECT input_bin, output_bin, slice, COUNT(*) AS requests, {inner} FROM ({bins}) AS bins "
        "GROUP BY 1, 2, 3) AS sliced GROUP BY 1, 2",
        {},
    )


def _cached(stored: Stored) -> str:
    return f", {cached_tokens('input_tokens')} AS c" if stored.has_cached else ""


def _selected(values: Mapping[str, str]) -> str:
    return ", ".join(f"{value} AS {name}" for name, value in values.items())


def _arrival(slicing: Slicing | None) -> str:
    return "" if slicing is None else f", {slicing.arrival_s} AS arrival_s"


def _slice(slicing: Slicing | None) -> str:
    if slicing is None:
        return ""
    return f", CAST(FLOOR(arrival_s / {2.0**slicing.exponent!r}) AS BIGINT) AS slice"


def _bin(length: str, edges: Sequence[int], first: int) -> str:
    """Ceiling assignment: `first` plus the index of the smallest edge >= the length.

    A search tree of comparisons, since it makes log2(edges) of them for a length and tells the
    engine how few results there can be. Lengths over the last edge get the index after it.
    """
    if not edges:
        return str(first)
    middle = len(edges) // 2
    below = _bin(length, edges[:middle], first)
    above = _bin(length, edges[middle + 1 :], first + middle + 1)
    return f"CASE WHEN {length} <= {edges[middle]} THEN {below} ELSE {above} END"


def _whole_sum(group: dict[str, Any], term: str) -> int:
    if term in group:
        return int(group[term])
    return sum(int(group[f"{term}_{k}"]) << (LIMB_BITS * k) for k in range(LIMBS))
