"""TRACE as people give it: a shipped name, a saved workload, or a file of requests."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.public.catalog import (
    catalog,
    embedded_names,
    is_embedded,
    load_cached,
    load_embedded,
)
from joulecast.traces.reading.sniff import STANDARD_INPUT, OnInvalid
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from joulecast.traces.binning.duckdb_files import FileTrace
    from joulecast.traces.binning.trace import Watch
    from joulecast.traces.distribution import Distribution
    from joulecast.traces.summary import TraceSummary


@dataclass(frozen=True)
class LoadedTrace:
    """A trace as an estimate and its page want it.

    Attributes:
        workload: The requests on a grid.
        lengths: (i, o) per request in the file's order, shape (n, 2) [tokens]; None if only sums
            are known, or if there are more requests than were asked for.
        counts: Input and output length [tokens] -> how many requests have it; None if only sums are
            known, or if not asked for.
    """

    workload: Workload
    lengths: "npt.NDArray[np.int64] | None" = None
    counts: tuple[Mapping[int, int], Mapping[int, int]] | None = None


def load_trace(
    trace: str | Path,
    grid: Grid | None = None,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
    memory_limit: str | None = None,
    watch: "Watch | None" = None,
    most_lengths: int = 0,
    with_counts: bool = False,
) -> LoadedTrace:
    """A workload, and from a file of requests also how long they are.

    Args:
        trace: As in `load_workload`, as is everything down to `watch`.
        grid: The cells wanted.
        input_column: Column of the input length [tokens].
        output_column: Column of the output length [tokens].
        on_invalid: "error" or "skip".
        memory_limit: Most memory that reading may take, such as "500MB".
        watch: Told what share of a long read is done, 0 to 1.
        most_lengths: Give the lengths one by one if there are at most so many requests.
        with_counts: Count the lengths, which takes memory for each that occurs.

    Raises:
        InputError: As in `load_workload`.
    """
    from joulecast.traces.distribution import length_counts, request_lengths

    trace = str(trace)
    workload = _ready_workload(trace, input_column, output_column)
    if workload is not None:
        return LoadedTrace(workload if grid is None else workload.on_grid(grid))
    columns = input_column, output_column
    with _binned(trace, grid or POWER_OF_TWO_GRID, *columns, on_invalid, memory_limit, watch) as (
        opened,
        workload,
    ):
        return LoadedTrace(
            workload,
            request_lengths(opened) if workload.total.requests <= most_lengths else None,
            length_counts(opened) if with_counts else None,
        )


def load_workload(
    trace: str | Path,
    grid: Grid | None = None,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
    memory_limit: str | None = None,
    watch: "Watch | None" = None,
) -> Workload:
    """A workload, from whatever names it.

    Args:
        trace: A shipped name, a saved workload, a trace file, a glob, an address (http, https, s3),
            or "-" for standard input. A shipped name wins over a file of that name; write ./NAME
            for the file.
        grid: The cells wanted; by default a workload keeps its own, and a trace goes on
            `POWER_OF_TWO_GRID`.
        input_column: Column of the input length [tokens], where the format is not a known one;
            dots lead into the objects of JSON rows.
        output_column: Column of the output length [tokens], likewise.
        on_invalid: "error" to end at the first invalid row, "skip" to leave such rows out.
        memory_limit: Most memory that reading may take, such as "500MB".
        watch: Told what share of a long read is done, 0 to 1.

    Returns:
        Sums over the requests of each cell; failed requests and invalid rows are counted apart.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    columns = input_column, output_column
    return load_trace(trace, grid, *columns, on_invalid, memory_limit, watch).workload


def is_reconstructed(trace: str | Path) -> bool:
    """Whether a name or a saved workload is of requests made up to have published figures."""
    workload = _ready_workload(str(trace), None, None)
    return workload is not None and workload.is_reconstructed


def load_with_lengths(
    trace: str | Path,
    most: int,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
    memory_limit: str | None = None,
    watch: "Watch | None" = None,
) -> "tuple[Workload, npt.NDArray[np.int64] | None]":
    """A workload and, from a file of at most so many requests, how long each of them is.

    Args:
        trace: As in `load_workload`, as is everything but `most`.
        most: Up to how many requests their lengths are wanted; `estimate` with the method
            "stepwise" takes 50,000.
        input_column: Column of the input length [tokens].
        output_column: Column of the output length [tokens].
        on_invalid: "error" or "skip".
        memory_limit: Most memory that reading may take, such as "500MB".
        watch: Told what share of a long read is done, 0 to 1.

    Returns:
        The workload, and (i, o) per request in the file's order, shape (n, 2) [tokens]; None in
        their place if there are more, or if only sums are known.

    Raises:
        InputError: As in `load_workload`.
    """
    columns = input_column, output_column
    loaded = load_trace(trace, None, *columns, on_invalid, memory_limit, watch, most)
    return loaded.workload, loaded.lengths


def load_from_spark(
    source: str,
    master: str,
    grid: Grid = POWER_OF_TWO_GRID,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
) -> Workload:
    """A workload that Spark bins; only the sums of the cells come back from the workers.

    Args:
        source: A file or a glob that driver and workers find under the same path, or an address of
            a file system that Spark knows, such as hdfs:// or s3a://, whose files are all alike.
        master: Spark's master URL, such as "spark://host:7077", "yarn" or "local[2]".
        grid: The cells wanted.
        input_column: Column of the input length [tokens], where the format is not a known one.
        output_column: Column of the output length [tokens], likewise.
        on_invalid: "error" or "skip".

    Returns:
        The workload, equal to the one that `load_workload` reads from the same rows.

    Raises:
        InputError: No PySpark, no Java, no cluster, no such files, or they are not a trace.
    """
    from joulecast.traces.binning.binning import bin_trace
    from joulecast.traces.binning.spark import open_spark

    with open_spark(source, master, input_column, output_column, on_invalid) as opened:
        return bin_trace(opened, grid)


def load_from_table(
    address: str,
    table_name: str,
    grid: Grid = POWER_OF_TWO_GRID,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
) -> Workload:
    """A workload that a database bins; only the sums of the cells leave it.

    Args:
        address: Connection string of an Ibis backend, such as "duckdb://log.db",
            "trino://user@host/catalog/schema" or "postgres://user@host/database".
        table_name: The table; parts before it, such as a schema, with dots between.
        grid: The cells wanted.
        input_column: Column of the input length [tokens], where the format is not a known one.
        output_column: Column of the output length [tokens], likewise.
        on_invalid: "error" or "skip".

    Returns:
        The workload, equal to the one that `load_workload` reads from the same rows.

    Raises:
        InputError: No such backend, database, table or columns.
    """
    from joulecast.traces.binning.binning import bin_trace
    from joulecast.traces.binning.databases import open_table

    with open_table(address, table_name, input_column, output_column, on_invalid) as opened:
        return bin_trace(opened, grid)


def summarise(
    trace: str | Path | Workload,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
    memory_limit: str | None = None,
    watch: "Watch | None" = None,
) -> "TraceSummary":
    """Length statistics: exact from a file of requests, quantiles to a bin from a workload.

    Args:
        trace: As in `load_workload`, or a `Workload`.
        input_column: Column of the input length [tokens].
        output_column: Column of the output length [tokens].
        on_invalid: "error" or "skip".
        memory_limit: Most memory that reading may take, such as "500MB".
        watch: Told what share of a long read is done, 0 to 1.

    Returns:
        The columns of the paper's Tables 1 to 3, lengths in tokens.

    Raises:
        InputError: As in `load_workload`.
    """
    from joulecast.traces.summary import summarise_trace, summarise_workload

    if isinstance(trace, Workload):
        return summarise_workload(trace)
    trace = str(trace)
    workload = _ready_workload(trace, input_column, output_column)
    if workload is not None:
        return summarise_workload(workload)
    columns = input_column, output_column
    with _binned(trace, PAPER_GRID, *columns, on_invalid, memory_limit, watch) as binned:
        return summarise_trace(*binned)


def load_distributions(
    trace: str | Path,
    grid: Grid = PAPER_GRID,
    input_column: str | None = None,
    output_column: str | None = None,
    on_invalid: OnInvalid = "error",
    memory_limit: str | None = None,
    watch: "Watch | None" = None,
) -> "tuple[Distribution, Distribution]":
    """Distributions of input and output lengths: true from a file of requests, binned always.

    Args and errors are those of `load_workload`.
    """
    from joulecast.traces.distribution import distributions, length_counts

    trace = str(trace)
    workload = _ready_workload(trace, input_column, output_column)
    if workload is not None:
        return distributions(workload.on_grid(grid), None)
    columns = input_column, output_column
    with _binned(trace, grid, *columns, on_invalid, memory_limit, watch) as (opened, workload):
        return distributions(workload, length_counts(opened))


@contextmanager
def _binned(
    trace: str,
    grid: Grid,
    input_column: str | None,
    output_column: str | None,
    on_invalid: OnInvalid,
    memory_limit: str | None,
    watch: "Watch | None",
) -> "Iterator[tuple[FileTrace, Workload]]":
    """A file of requests, open for more questions, and its workload."""
    # DuckDB takes longer to import than a shipped workload takes to estimate.
    from joulecast.traces.binning.binning import bin_trace
    from joulecast.traces.binning.duckdb_files import open_trace

    columns = input_column, output_column
    with open_trace(trace, *columns, on_invalid, memory_limit, watch) as opened:
        yield opened, bin_trace(opened, grid)


def _ready_workload(
    trace: str, input_column: str | None, output_column: str | None
) -> Workload | None:
    """The workload that a name or a file already is; None for a file of requests."""
    workload = None
    if is_embedded(trace):
        workload = load_embedded(trace)
    elif _is_saved_workload(trace):
        workload = Workload.load(Path(trace))
    elif trace != STANDARD_INPUT and not exists(trace) and re.fullmatch(r"[\w.-]+", trace):
        workload = load_cached(trace)
        if workload is None and "." not in trace:
            raise unknown_name("trace or file", trace, {*embedded_names(), *catalog()})
    if workload is not None and (input_column, output_column) != (None, None):
        raise InputError(f"{trace}: is a workload and has no columns to name")
    return workload


def _is_saved_workload(trace: str) -> bool:
    """Whether a file says that it is one, wherever in its head it says so."""
    path = Path(trace)
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(1 << 16).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return False
    mark = re.search(r'"format"\s*:\s*"joulecast workload"', head)
    return head.lstrip().startswith("{") and mark is not None
