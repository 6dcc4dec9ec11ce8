"""TRACE as people give it: a shipped name, a saved workload, or a file of requests.

Each function looks first whether its trace is a workload already, and else reads it; how, all of
them take as the keywords of `ReadingOptions`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists, shown_address
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.public.catalog import (
    catalog,
    embedded_names,
    is_embedded,
    load_cached,
    load_embedded,
)
from joulecast.traces.reading.options import DEFAULTS, NO_COLUMN, ReadingKeywords, ReadingOptions
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from joulecast.traces.binning.cluster import Cluster
    from joulecast.traces.binning.timing import TraceInTime
    from joulecast.traces.distribution import Distribution
    from joulecast.traces.reading.arrivals import ArrivalReading
    from joulecast.traces.reading.rows.reading import TraceReading
    from joulecast.traces.requests import TimedRequests
    from joulecast.traces.summary import TraceSummary

_InTime = TypeVar("_InTime", bound="TraceInTime")


@dataclass(frozen=True)
class LoadedTrace:
    """A trace as an estimate and its page want it.

    Attributes:
        workload: The requests on a grid.
        lengths: (i, o) per request in the order of files and rows, shape (n, 2) [tokens]; None if
            only sums are known, or if there are more requests than were asked for.
        counts: Input and output length [tokens] -> how many requests have it; None if only sums are
            known, or if not asked for.
        timed: The requests in the order in which they came; None if their times are not known, or
            not asked for.
        arrivals: What was read as arrival times; None if there is no column of them, or only a
            workload.
        reading: What was read of the log; None if there is only a workload.
        cached: Tokens of each prompt that were in a cache of prefixes, in the order of `lengths`,
            shape (n,) [tokens]; None where the trace says nothing of it, or without `lengths`.
        cluster: The Spark that read it, if one did, and can do more; None for this machine.
        groups: Name of a group -> its workload, their sum is the whole; None if not asked for.
    """

    workload: Workload
    lengths: "npt.NDArray[np.int64] | None" = None
    counts: tuple[Mapping[int, int], Mapping[int, int]] | None = None
    timed: "TimedRequests | None" = None
    arrivals: "ArrivalReading | None" = None
    reading: "TraceReading | None" = None
    cached: "npt.NDArray[np.int64] | None" = None
    cluster: "Cluster | None" = None
    groups: Mapping[str, Workload] | None = None

    @property
    def untimed(self) -> int:
        """Requests of which it is not known when they came, where that is known of others."""
        if self.timed is not None and self.arrivals is not None:
            return self.arrivals.missing
        return self.workload.untimed if self.workload.arrivals is not None else 0


def load_trace(
    trace: str | Path | Workload,
    grid: Grid | None = None,
    most_lengths: int = 0,
    with_counts: bool = False,
    with_arrivals: bool = False,
    cluster: "Cluster | None" = None,
    **reading: Unpack[ReadingKeywords],
) -> LoadedTrace:
    """A workload, and from a file of requests also how long they are.

    Args:
        trace: As in `load_workload`, or a `Workload`.
        grid: The cells; None as in `load_workload`.
        most_lengths: Give the lengths one by one if there are at most so many requests.
        with_counts: Count the lengths, which takes memory for each that occurs.
        with_arrivals: Give the requests with their times, where the trace has these.
        cluster: Spark, to read files there; None to read them here.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Raises:
        InputError: As in `load_workload`.
    """
    options = ReadingOptions(**reading)
    workload = _ready_workload(trace, options)
    if workload is not None:
        on_grid = workload if grid is None else workload.on_grid(grid)
        return LoadedTrace(on_grid, cluster=cluster)
    from joulecast.traces.distribution import length_counts

    with _opened(trace, options, cluster) as everything:
        requests, workload, groups = _binned(everything, grid or POWER_OF_TWO_GRID)
        timed, arrivals = None, requests.arrivals
        if with_arrivals and requests.has_arrivals:
            timed, arrivals = requests.timed()
        lengths, cached = None, None
        if workload.total.requests <= most_lengths:
            lengths, cached = requests.lengths_and_cached()
        return LoadedTrace(
            workload,
            lengths,
            length_counts(requests) if with_counts else None,
            timed,
            arrivals,
            requests.reading(workload),
            cached,
            cluster,
            groups if options.group_by else None,
        )


def load_workload(
    trace: str | Path, grid: Grid | None = None, **reading: Unpack[ReadingKeywords]
) -> Workload:
    """A workload, from whatever names it.

    Args:
        trace: A shipped name, a saved workload, a trace file, a glob, an address (http, https, s3),
            or "-" for standard input. A shipped name wins over a file of that name; write ./NAME
            for the file.
        grid: The cells; by default a workload keeps its own, and a trace goes on
            `POWER_OF_TWO_GRID`.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        Sums over the requests of each cell; failed requests and invalid rows are counted apart.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    return load_trace(trace, grid, **reading).workload


def load_with_lengths(
    trace: str | Path, most: int, **reading: Unpack[ReadingKeywords]
) -> "tuple[Workload, npt.NDArray[np.int64] | None]":
    """A workload and, from a file of at most so many requests, how long each of them is.

    Args:
        trace: As in `load_workload`.
        most: Up to how many requests to give their lengths; `estimate` with the method "stepwise"
            takes 50,000.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        The workload, and (i, o) per request in the file's order, shape (n, 2) [tokens]; None in
        their place if there are more, or if only sums are known.

    Raises:
        InputError: As in `load_workload`.
    """
    loaded = load_trace(trace, most_lengths=most, **reading)
    return loaded.workload, loaded.lengths


def load_from_spark(
    source: str,
    master: str,
    grid: Grid = POWER_OF_TWO_GRID,
    **reading: Unpack[ReadingKeywords],
) -> Workload:
    """A workload that Spark bins; only the sums of the cells come back from the workers.

    Args:
        source: A file or a glob that driver and workers find under the same path, or an address of
            a file system that Spark knows, such as hdfs:// or s3a://, whose files are all alike.
        master: Spark's master URL, such as "spark://host:7077", "yarn" or "local[2]".
        grid: The cells.
        **reading: How to read, as the attributes of `ReadingOptions` say, but for `memory_limit`
            and `watch`. Arrival times are read by the workers' own joulecast.

    Returns:
        The workload, equal to the one that `load_workload` reads from the same rows.

    Raises:
        InputError: No PySpark, no Java, no cluster, no such files, or they are not a trace.
    """
    from joulecast.traces.binning.cluster import cluster_at

    with cluster_at(master) as cluster:
        return load_trace(source, grid, cluster=cluster, **reading).workload


def load_from_table(
    address: str,
    table_name: str,
    grid: Grid = POWER_OF_TWO_GRID,
    **reading: Unpack[ReadingKeywords],
) -> Workload:
    """A workload that a database bins; only the sums of the cells leave it.

    Args:
        address: Connection string of an Ibis backend, such as "duckdb://log.db",
            "trino://user@host/catalog/schema" or "postgres://user@host/database".
        table_name: The table; parts before it, such as a schema, with dots between.
        grid: The cells.
        **reading: How to read, as the attributes of `ReadingOptions` say, but for `memory_limit`
            and `watch`.

    Returns:
        The workload, equal to the one that `load_workload` reads from the same rows, but that no
        arrival times are read.

    Raises:
        InputError: No such backend, database, table or columns.
    """
    from joulecast.traces.binning.cells import bin_trace
    from joulecast.traces.binning.databases import open_table

    with open_table(address, table_name, ReadingOptions(**reading)) as requests:
        return bin_trace(requests, grid)


def summarise(trace: str | Path | Workload, **reading: Unpack[ReadingKeywords]) -> "TraceSummary":
    """Length statistics: exact from a file of requests, quantiles to a bin from a workload.

    Args:
        trace: As in `load_workload`, or a `Workload`.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        The columns of the paper's Tables 1 to 3, lengths in tokens.

    Raises:
        InputError: As in `load_workload`.
    """
    from joulecast.traces.summary import summarise_trace, summarise_workload

    options = ReadingOptions(**reading)
    workload = _ready_workload(trace, options)
    if workload is not None:
        return summarise_workload(workload)
    from joulecast.traces.binning.file_trace import open_trace

    with open_trace(str(trace), options) as requests:
        whole, workload, groups = _binned(requests, PAPER_GRID)
        return summarise_trace(whole, workload, groups if options.group_by else None)


def load_distributions(
    trace: str | Path, grid: Grid = PAPER_GRID, **reading: Unpack[ReadingKeywords]
) -> "tuple[Distribution, Distribution]":
    """Distributions of input and output lengths: true from a file of requests, binned always.

    Args and errors are those of `load_workload`.
    """
    from joulecast.traces.distribution import distributions

    loaded = load_trace(trace, grid, with_counts=True, **reading)
    return distributions(loaded.workload, loaded.counts)


def trace_name(trace: str | Path | Workload) -> str:
    """What to call a trace in results and messages, without what may be secret."""
    if not isinstance(trace, Workload):
        return shown_address(str(trace))
    return next((source.get("name", "workload") for source in trace.sources), "workload")


def is_reconstructed(trace: str | Path) -> bool:
    """Whether a name or a saved workload is of requests made up to have published figures."""
    workload = _ready_workload(trace, DEFAULTS)
    return workload is not None and workload.is_reconstructed


@contextmanager
def _opened(
    trace: str | Path | Workload, options: ReadingOptions, cluster: "Cluster | None" = None
) -> "Iterator[TraceInTime]":
    """Files of requests, open for questions, here or on Spark."""
    if cluster is not None:
        from joulecast.traces.binning.spark import open_spark

        yield open_spark(str(trace), cluster, options)
        return
    # DuckDB takes longer to import than a shipped workload takes to estimate.
    from joulecast.traces.binning.file_trace import open_trace

    with open_trace(str(trace), options) as requests:
        yield requests


def _binned(trace: "_InTime", grid: Grid) -> "tuple[_InTime, Workload, dict[str, Workload]]":
    """A trace without a row that sums all others, its workload, and those of its groups."""
    from joulecast.traces.binning.cells import bin_groups

    workload, groups = bin_groups(trace, grid)
    others = trace.without_total(workload)
    return (others, workload, groups) if others.has_all else (others, *bin_groups(others, grid))


def _ready_workload(trace: str | Path | Workload, options: ReadingOptions) -> Workload | None:
    """The workload that is given, or that a name or a file is; None for a file of requests."""
    workload = trace if isinstance(trace, Workload) else _saved_workload(str(trace))
    if workload is not None and options.names_columns:
        raise InputError(f"{trace_name(trace)}: is a workload and has no columns to name")
    is_timeless = options.arrival_column == NO_COLUMN
    return workload.without_arrivals() if workload is not None and is_timeless else workload


def _saved_workload(name: str) -> Workload | None:
    """The workload that a name stands for; None if it is that of a file of requests."""
    if is_embedded(name):
        return load_embedded(name)
    if _is_saved_workload(name):
        return Workload.load(Path(name))
    if name == STANDARD_INPUT or exists(name) or not re.fullmatch(r"[\w.-]+", name):
        return None
    workload = load_cached(name)
    if workload is None and "." not in name:
        raise unknown_name("trace or file", name, {*embedded_names(), *catalog()})
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
