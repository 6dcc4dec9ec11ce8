"""One query makes a `Workload` of a trace, whatever its size."""

from typing import Any

import ibis
import ibis.expr.types as ir

from traces.errors import InputError
from traces.grid import Grid
from traces.reader import MALFORMED, PROBLEMS, Trace, describe_sources
from traces.workload import CellSums, Failed, Workload

_FAILED = -1


def bin_requests(requests: ir.Table, grid: Grid) -> ir.Table:
    """The query: per cell the six sums of its requests, and per problem the rows that have it.

    Args:
        requests: A row per request: `input_tokens`, `output_tokens` (whole numbers, null where
            invalid) and `problem` (0 where valid).
        grid: The cells.

    Returns:
        `problem`, `row`, `column` (cell indices; column -1 for failed requests) and the fields of
        `CellSums`. Sums are text, since they may exceed 64 bits.
    """
    i, o = requests.input_tokens, requests.output_tokens
    cells = requests.select(
        "problem",
        input=i,
        output=o,
        row=_edges_below(i, grid.input_edges),
        # A further edge at 0 gives failed requests (no output) a column of their own.
        column=_edges_below(o, (0, *grid.output_edges)) - 1,
    )
    i, o = cells.input, cells.output
    sums = cells.group_by("problem", "row", "column").agg(
        requests=cells.count(),
        input_tokens=i.sum(),
        input_tokens_squared=(i * i).sum(),
        output_tokens=o.sum(),
        output_tokens_squared=(o * o).sum(),
        input_times_output=(i * o).sum(),
    )
    return sums.mutate(**{name: sums[name].cast("string") for name in CellSums._fields[1:]})


def bin_trace(trace: Trace, grid: Grid) -> Workload:
    """Read a trace once and keep its sums.

    Raises:
        InputError: A row is invalid and `trace.on_invalid` is "error", or there are no rows.
    """
    cells: dict[tuple[int, int], CellSums] = {}
    failed = Failed(0, 0)
    invalid: dict[str, int] = {}
    for group in trace.execute(bin_requests(trace.requests, grid)):
        if group["problem"]:
            reason = PROBLEMS[group["problem"]]
            invalid[reason] = invalid.get(reason, 0) + group["requests"]
            continue
        sums = CellSums(*(int(group[name]) for name in CellSums._fields))
        if group["column"] == _FAILED:
            failed = Failed(
                failed.requests + sums.requests, failed.input_tokens + sums.input_tokens
            )
        else:
            cells[group["row"], group["column"]] = sums
    if malformed := trace.malformed_rows():
        invalid[MALFORMED] = malformed
    if invalid and trace.on_invalid == "error":
        raise trace.first_problem()
    if not (cells or failed.requests or invalid):
        raise InputError(f"{trace.name}: has a header but no requests")
    return Workload(
        grid,
        dict(sorted(cells.items())),
        failed,
        dict(sorted(invalid.items())),
        describe_sources(trace.files, trace.format),
    )


def _edges_below(lengths: Any, edges: tuple[int, ...]) -> Any:
    """Ceiling assignment: the index of the smallest edge >= the length, their number if none is."""
    index = ibis.literal(0, "int8")
    for edge in edges:
        index = index + (lengths > edge).cast("int8")
    return index
