"""One query makes a `Workload` of a trace, whatever its size: per cell, the six sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from joulecast.traces.binning.trace import Query, Slicing, Trace
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.reading.lengths import Stored, cached_tokens, with_problems, with_tokens
from joulecast.traces.reading.problems import MALFORMED, PROBLEMS
from joulecast.traces.slices import Slices
from joulecast.traces.workload import NOTHING_FAILED, Failed, Workload

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
    return bin_groups(trace, grid)[0]


def bin_groups(trace: Trace, grid: Grid) -> tuple[Workload, dict[str, Workload]]:
    """The same, and that of each group, where the trace is read by groups; their sum is the whole.

    Raises:
        InputError: As in `bin_trace`.
    """
    parts: dict[Any, _Part] = {}
    has_invalid = False
    slicing = trace.slicing()
    for row in trace.ask(cell_sums(trace.stored, grid, slicing, trace.grouping())):
        part = parts.setdefault(row.get("group_name"), _Part(grid))
        has_invalid |= not part.add(row)
    invalid: dict[str, int] = {}
    if malformed := trace.malformed_rows():
        invalid[MALFORMED] = malformed
    if (has_invalid or invalid) and trace.on_invalid == "error":
        raise trace.first_problem()
    if has_invalid:
        invalid |= count_problems(trace)
    named = {trace.group_name(value): part for value, part in parts.items()}
    groups = {name: part.workload(trace, slicing) for name, part in sorted(named.items())}
    groups = {name: group for name, group in groups.items() if group.cells or group.failed.requests}
    if not (groups or invalid):
        raise InputError(f"{trace.name}: {trace.why_empty()}")
    whole = sum(groups.values(), _Part(grid).workload(trace, None))
    return replace(whole, invalid=dict(sorted(invalid.items()))), groups


@dataclass
class _Part:
    """Adds up the cells of a group."""

    grid: Grid
    cells: dict[tuple[int, int], CellSums] = field(default_factory=dict)
    slices: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    cached: dict[tuple[int, int], int] = field(default_factory=dict)
    failed: Failed = NOTHING_FAILED

    def add(self, group: Mapping[str, Any]) -> bool:
        """Take a row of the answer to `cell_sums`; whether it is of valid requests."""
        rows, columns = self.grid.shape
        row, column = group["input_bin"], group["output_bin"]
        if not (_NEGATIVE < row <= rows and _FAILED <= column <= columns):
            return False
        sums = CellSums(group["requests"], *(_whole_sum(group, term) for term in _TERMS))
        if column == _FAILED:
            requests, tokens = self.failed
            self.failed = Failed(requests + sums.requests, tokens + sums.input_tokens)
            return True
        self.cells[row, column] = sums
        if any(name.startswith("cached_tokens") for name in group):
            self.cached[row, column] = _whole_sum(group, "cached_tokens")
        for index, requests in group.get("slices") or ():
            self.slices.setdefault(index, {})[row, column] = requests
        return True

    def workload(self, trace: Trace, slicing: Slicing | None) -> Workload:
        """What was added."""
        slices = Slices(slicing.exponent, self.slices) if slicing and self.slices else None
        return Workload(
            self.grid,
            dict(sorted(self.cells.items())),
            self.failed,
            {},
            trace.sources,
            None if slices is None else slices.within_bounds(),
            dict(sorted(self.cached.items())) if trace.stored.has_cached else None,
        )


def count_problems(trace: Trace) -> dict[str, int]:
    """What is wrong with the invalid rows of a trace -> how many."""
    query = Query(
        f"SELECT problem, COUNT(*) AS requests FROM ({with_problems(trace.stored)}) AS rows "
        "WHERE problem <> 0 GROUP BY 1",
        {"problem": "int64", "requests": "int64"},
    )
    return {PROBLEMS[group["problem"]]: group["requests"] for group in trace.ask(query)}


def cell_sums(
    stored: Stored, grid: Grid, slicing: Slicing | None = None, grouping: str | None = None
) -> Query:
    """The query: per cell the six sums of its requests, and that of their cached tokens if told.

    Args:
        stored: How the rows of the trace are stored.
        grid: The cells.
        slicing: How to count them per slice of time, too.
        grouping: The group of a request, as SQL; None for one.

    Returns:
        `input_bin` and `output_bin` (indices of the cell; those below that of a failed request, or
        over that of the overflow, hold invalid requests, whose sums are of no use), `requests`, and
        the other fields of `CellSums`: as text where the engine sums in 128 bits, elsewhere each as
        sums of its `LIMBS` (`input_tokens_0`, ...). With slices, also `slices`: a list of pairs,
        the slice and how many of the cell's requests come in it. With groups, also `group_name`.
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
    named = "" if grouping is None else "group_name, "
    bins = (
        f"SELECT {named}i, o{', c' if stored.has_cached else ''}, "
        f"{_bin('i', input_edges, _NEGATIVE)} AS input_bin, "
        f"{_bin('o', output_edges, _FAILED - 1)} AS output_bin{_slice(slicing)} "
        f"FROM (SELECT {'' if grouping is None else f'{grouping} AS group_name, '}"
        f"input_tokens AS i, output_tokens AS o{_cached(stored)}{_arrival(slicing)} "
        f"FROM ({with_tokens(stored)}) AS lengths) AS pairs"
    )
    total = "CAST(SUM({}) AS TEXT)" if stored.is_duckdb else "SUM({})"
    if slicing is not None:
        return _sliced(bins, terms, total, named)
    selected = _selected({name: total.format(term) for name, term in terms.items()})
    types = dict.fromkeys(terms, "string" if stored.is_duckdb else "int64")
    return Query(
        f"SELECT {named}input_bin, output_bin, COUNT(*) AS requests, {selected} FROM ({bins}) "
        f"AS bins GROUP BY {named}input_bin, output_bin",
        {"input_bin": "int64", "output_bin": "int64", "requests": "int64", **types},
    )


def _sliced(bins: str, terms: Mapping[str, str], total: str, named: str) -> Query:
    """Sums per cell and slice first, then per cell: as many lists as there are cells.

    Args:
        bins: A query of the rows, each with its cell and slice.
        terms: What to add up of them, as SQL by name.
        total: How their sum is given, as SQL with a place for it.
        named: The column of their groups, with a comma behind it; empty without groups.
    """
    inner = _selected({name: f"SUM({term})" for name, term in terms.items()})
    outer = _selected({name: total.format(name) for name in terms})
    cell = f"{named}input_bin, output_bin"
    return Query(
        f"SELECT {cell}, CAST(SUM(requests) AS BIGINT) AS requests, {outer}, "
        "LIST([slice, requests]) FILTER (slice IS NOT NULL) AS slices FROM ("
        f"SELECT {cell}, slice, COUNT(*) AS requests, {inner} FROM ({bins}) AS bins "
        f"GROUP BY {cell}, slice) AS sliced GROUP BY {cell}",
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


def _whole_sum(group: Mapping[str, Any], term: str) -> int:
    if term in group:
        return int(group[term])
    return sum(int(group[f"{term}_{k}"]) << (LIMB_BITS * k) for k in range(LIMBS))
