"""TRACE as people give it: a shipped name, a saved workload, or a file of requests."""

import json
import re
from pathlib import Path

from traces.catalog import embedded_names, is_embedded, load_embedded
from traces.errors import unknown_name
from traces.grid import POWER_OF_TWO_GRID, Grid
from traces.sources import STANDARD_INPUT, OnInvalid
from traces.workload import Workload


def load_workload(
    trace: str,
    grid: Grid = POWER_OF_TWO_GRID,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
) -> Workload:
    """A workload on the wanted grid, from whatever names it.

    Args:
        trace: A shipped name, a saved workload, a trace file, a glob, or "-" for standard input.
        grid: The cells wanted.
        input_column: Column of the input length, where the format is not a known one.
        output_column: Column of the output length, likewise.
        on_invalid: "error" or "skip".

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    if is_embedded(trace) and not Path(trace).exists():
        return load_embedded(trace).on_grid(grid)
    if is_saved_workload(trace):
        return Workload.load(Path(trace)).on_grid(grid)
    require_trace(trace)
    # Ibis and DuckDB take longer to import than a shipped workload takes to estimate.
    from traces.binning import bin_trace
    from traces.reader import open_trace

    with open_trace(trace, input_column, output_column, on_invalid) as opened:
        return bin_trace(opened, grid)


def require_trace(trace: str) -> None:
    """Raise the helpful error for something that looks like a misspelt name, not like a file."""
    if trace != STANDARD_INPUT and not Path(trace).exists() and re.fullmatch(r"[\w-]+", trace):
        raise unknown_name("trace or file", trace, embedded_names())


def is_saved_workload(trace: str) -> bool:
    """Whether a file begins as `Workload.save` begins it."""
    path = Path(trace)
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(4096).decode("utf-8", errors="replace")
    except OSError:
        return False
    start = re.match(r'\s*\{\s*"format"\s*:\s*("[^"]*")', head)
    return start is not None and json.loads(start[1]) == "joulecast workload"
