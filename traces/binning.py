"""One query makes a `Workload` of a trace, whatever its size."""

from typing import Any

import ibis
import ibis.expr.types as ir

from traces.errors import InputError
from traces.grid import Grid
from traces.lengths import MALFORMED, PROBLEMS
from traces.trace import Trace
from traces.workload import CellSums, Failed, Workload

_FAILED = -1

LIMBS, LIMB_BITS = 3, 21
"""Most engines sum whole numbers in 64 bits, and warehouses of logs may hold 10^11 requests whose
squared lengths take 62. So every term is summed in three pieces of 21 bits: a sum of 2^42 pieces
still fits, which is 4 x 10^12 requests in a cell."""


def bin_requests(requests: ir.Table, grid: Grid, is_duckdb: bool = True) -> ir.Table:
    """The query: per cell the six sums of its requests.

    Args:
        requests: A row per request: `input_tokens`, `output_tokens` and `valid`, as
            `traces.lengths.with_tokens` gives them.
        grid: The cells.
        is_duckdb: Whether the engine sums whole numbers in 128 bits.

    Returns:
        `valid` (groups where it is not true are of no use), `row`, `column` (cell indices; column
        -1 for failed requests), `requests`, and the other fields of `CellSums`: as text where the
        engine sums in 128 bits, elsewhere each as sums of its `LIMBS` (`input_tokens_0`, ...),
        which `_whole_sum` puts together.
    """
    cells = requests.select(
        "valid",
        input=requests.input_tokens,
        output=requests.output_tokens,
        row=_bin(requests.input_tokens, grid.input_edges, 0),
        # A further edge at 0 gives failed requests (no output) a column of their own.
        column=_bin(requests.output_tokens, (0, *grid.output_edges), _FAILED),
    )
    i, o = cells.input, cells.output
    terms = dict(zip(CellSums._fields[1:], (i, i * i, o, o * o, i * o), strict=True))
    groups = cells.group_by("valid", "row", "column")
    if is_duckdb:
        sums = groups.agg(requests=cells.count(), **{key: x.sum() for key, x in terms.items()})
        return sums.mutate(**{key: sums[key].cast("string") for key in terms})
    limbs = {
        f"{key}_{k}": ((x >> (LIMB_BITS * k)) & (2**LIMB_BITS - 1)).sum()
        for key, x in terms.items()
        for k in range(LIMBS)
    }
    return groups.agg(requests=cells.count(), **limbs)


def bin_trace(trace: Trace, grid: Grid) -> Workload:
    """Read a trace once and keep its sums; once more where rows are invalid, to say how.

    Raises:
        InputError: A row is invalid and `trace.on_invalid` is "error", or there are no rows.
    """
    cells: dict[tuple[int, int], CellSums] = {}
    failed = Failed(0, 0)
    has_invalid = False
    for group in trace.execute(bin_requests(trace.requests, grid, trace.is_duckdb)):
        if not group["valid"]:
            has_invalid = True
            continue
        sums = CellSums(
            group["requests"], *(_whole_sum(group, key) for key in CellSums._fields[1:])
        )
        if group["column"] == _FAILED:
            failed = Failed(
                failed.requests + sums.requests, failed.input_tokens + sums.input_tokens
            )
        else:
            cells[group["row"], group["column"]] = sums
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
        grid, dict(sorted(cells.items())), failed, dict(sorted(invalid.items())), trace.sources
    )


def count_problems(trace: Trace) -> dict[str, int]:
    """What is wrong with the invalid rows of a trace -> how many."""
    rows = trace.with_problems
    rows = rows.filter(rows.problem != 0)
    found = rows.group_by("problem").agg(requests=rows.count())
    return {PROBLEMS[group["problem"]]: group["requests"] for group in trace.execute(found)}


def _whole_sum(group: dict[str, Any], key: str) -> int:
    if key in group:
        return int(group[key])
    return sum(int(group[f"{key}_{k}"]) << (LIMB_BITS * k) for k in range(LIMBS))


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
