"""One query makes a `Workload` of a trace, whatever its size."""

from typing import Any

from joulecast.traces.binning.codes import FAILED, LIMB_BITS, LIMBS, NEGATIVE
from joulecast.traces.binning.trace import Trace
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.reading.problems import MALFORMED, PROBLEMS
from joulecast.traces.workload import CellSums, Failed, Workload


def bin_trace(trace: Trace, grid: Grid) -> Workload:
    """Read a trace once and keep its sums; once more where rows are invalid, to say how.

    Raises:
        InputError: A row is invalid and `trace.on_invalid` is "error", or there are no rows.
    """
    cells: dict[tuple[int, int], CellSums] = {}
    failed = Failed(0, 0)
    has_invalid = False
    rows, columns = grid.shape
    for group in trace.cell_groups(grid):
        row, column = group["row"], group["column"]
        if not (NEGATIVE < row <= rows and FAILED <= column <= columns):
            has_invalid = True
            continue
        sums = CellSums(
            group["requests"], *(_whole_sum(group, key) for key in CellSums._fields[1:])
        )
        if column == FAILED:
            failed = Failed(
                failed.requests + sums.requests, failed.input_tokens + sums.input_tokens
            )
        else:
            cells[row, column] = sums
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
