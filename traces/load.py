"""TRACE as people give it: a shipped name, a saved workload, a file of requests, a table, several.

Each function looks first whether its trace is a workload already, and else reads it; how, all of
them take as the keywords of `ReadingOptions`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, Unpack

from joulecast.traces.errors import InputError
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.inputs.equal import equal_lengths
from joulecast.traces.inputs.inputs import Parts, TraceInput, trace_name
from joulecast.traces.inputs.thinning import Thinning
from joulecast.traces.inputs.together import timeless, together
from joulecast.traces.reading.options import DEFAULTS, ReadingKeywords, ReadingOptions
from joulecast.traces.ready import ready_and_sources
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
        timeless: What of a trace does not tell when its requests came, where the rest does, so
            that no times are known of the whole.
        rows: Which row of the trace each of `lengths` is, from 1, shape (n,); None if not asked
            for, or of a workload.
        thinning: What was left out on purpose; None for nothing.
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
    timeless: tuple[str, ...] = ()
    rows: "npt.NDArray[np.int64] | None" = None
    thinning: Thinning | None = None

    @property
    def untimed(self) -> int:
        """Requests of which it is not known when they came, where that is known of others."""
        if self.timed is not None and self.arrivals is not None:
            return self.arrivals.missing
        return self.workload.untimed if self.workload.arrivals is not None else 0


def load_trace(
    trace: TraceInput,
    grid: Grid | None = None,
    most_lengths: int = 0,
    with_counts: bool = False,
    with_arrivals: bool = False,
    cluster: "Cluster | None" = None,
    with_rows: bool = False,
    **reading: Unpack[ReadingKeywords],
) -> LoadedTrace:
    """A workload, and from a file of requests also how long they are.

    Args:
        trace: As in `load_workload`.
        grid: The cells; None as in `load_workload`.
        most_lengths: Give the lengths one by one if there are at most so many requests.
        with_counts: Count the lengths, which takes memory for each that occurs.
        with_arrivals: Give the requests with their times, where the trace has these.
        cluster: Spark, to read files there; None to read them here.
        with_rows: Give the requests one by one, with or without their times, however many there
            are, and which row of the trace each is.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Raises:
        InputError: As in `load_workload`.
    """
    options = ReadingOptions(**reading)
    ready, sources = ready_and_sources(trace, options)
    if ready:
        whole = replace(_with_ready(ready, sources, grid, reading, cluster), cluster=cluster)
        return _with_equal_lengths(whole, most_lengths, with_rows)
    from joulecast.traces.distribution import length_counts

    with _opened(sources, options, cluster) as everything:
        requests, workload, groups = _binned(everything, grid or POWER_OF_TWO_GRID)
        timed, arrivals = None, requests.arrivals
        if with_arrivals and requests.has_arrivals:
            timed, arrivals = requests.timed(with_rows)
        lengths, cached, rows = None, None, None
        if workload.total.requests <= most_lengths or (with_rows and timed is None):
            lengths, cached = requests.lengths_and_cached()
            rows = requests.rows() if with_rows else None
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
            requests.timeless,
            rows,
        )


def _with_ready(
    ready: Mapping[str, Workload],
    sources: Parts,
    grid: Grid | None,
    reading: ReadingKeywords,
    cluster: "Cluster | None" = None,
) -> LoadedTrace:
    """Workloads and, if there are any, files of requests, of which then only sums are known too."""
    parts, without_times = dict(ready), set[str]()
    read = None
    if sources:
        loaded = load_trace(sources, cluster=cluster, **reading)
        parts[trace_name(sources)] = loaded.workload
        read = loaded.reading
        without_times |= set(loaded.timeless)
    workloads, names = list(parts.values()), list(parts)
    without_times |= {names[k] for k in timeless(workloads)}
    whole = together(workloads, grid)
    return LoadedTrace(whole, reading=read, timeless=tuple(sorted(without_times)))


def _with_equal_lengths(loaded: LoadedTrace, most: int, is_asked: bool) -> LoadedTrace:
    """The same with lengths one by one, where the sums of a workload tell them: all are equal."""
    workload = loaded.workload
    each = equal_lengths(workload)
    if each is None or workload.arrivals is not None:
        return loaded
    if workload.total.requests > most and not is_asked:
        return loaded
    import numpy as np

    i, o, c = each
    count = workload.total.requests
    cached = None if c is None else np.full(count, c)
    return replace(loaded, lengths=np.tile([i, o], (count, 1)), cached=cached)


def load_workload(
    trace: TraceInput, grid: Grid | None = None, **reading: Unpack[ReadingKeywords]
) -> Workload:
    """A workload, from whatever names it.

    Args:
        trace: A shipped name, a saved workload, a trace file, a glob, an address (http, https, s3),
            or "-" for standard input. A shipped name wins over a file of that name; write ./NAME
            for the file. Or a `Workload`, a table of pandas, Polars or Arrow, an array of NumPy of
            shape (n, 2) or with named fields, a list of pairs (input, output) [tokens]; or a list
            of such traces, which together are one.
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
    trace: TraceInput, most: int, **reading: Unpack[ReadingKeywords]
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


def summarise(trace: TraceInput, **reading: Unpack[ReadingKeywords]) -> "TraceSummary":
    """Length statistics: exact from a file of requests, quantiles to a bin from a workload.

    Args:
        trace: As in `load_workload`.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Returns:
        The columns of the paper's Tables 1 to 3, lengths in tokens.

    Raises:
        InputError: As in `load_workload`.
    """
    from joulecast.traces.summary import summarise_trace, summarise_workload

    options = ReadingOptions(**reading)
    ready, sources = ready_and_sources(trace, options)
    if ready:
        loaded = _with_ready(ready, sources, None, reading)
        return replace(summarise_workload(loaded.workload), reading=loaded.reading)
    from joulecast.traces.binning.file_trace import open_trace

    with open_trace(sources, options) as requests:
        whole, workload, groups = _binned(requests, PAPER_GRID)
        return summarise_trace(whole, workload, groups if options.group_by else None)


def load_distributions(
    trace: TraceInput, grid: Grid = PAPER_GRID, **reading: Unpack[ReadingKeywords]
) -> "tuple[Distribution, Distribution]":
    """Distributions of input and output lengths: true from a file of requests, binned always.

    Args and errors are those of `load_workload`.
    """
    from joulecast.traces.distribution import distributions

    loaded = load_trace(trace, grid, with_counts=True, **reading)
    return distributions(loaded.workload, loaded.counts)


def is_reconstructed(trace: TraceInput) -> bool:
    """Whether a name or a saved workload is of requests made up to have published figures."""
    ready, _ = ready_and_sources(trace, DEFAULTS)
    return any(workload.is_reconstructed for workload in ready.values())


@contextmanager
def _opened(
    sources: Parts, options: ReadingOptions, cluster: "Cluster | None" = None
) -> "Iterator[TraceInTime]":
    """Files of requests and tables, open for questions, here or on Spark."""
    if cluster is not None:
        from joulecast.traces.binning.spark import open_spark

        yield open_spark(_one_source(sources), cluster, options)
        return
    # DuckDB takes longer to import than a shipped workload takes to estimate.
    from joulecast.traces.binning.file_trace import open_trace

    with open_trace(sources, options) as requests:
        yield requests


def _one_source(sources: Parts) -> str:
    """What Spark reads.

    Raises:
        InputError: It is more than one, or not in a file.
    """
    if len(sources) > 1 or not isinstance(sources[0], str):
        raise InputError(
            f"{trace_name(sources)}: Spark reads one file, glob or address; give one, or read "
            "without Spark"
        )
    return sources[0]


def _binned(trace: "_InTime", grid: Grid) -> "tuple[_InTime, Workload, dict[str, Workload]]":
    """A trace without a row that sums all others, its workload, and those of its groups."""
    from joulecast.traces.binning.cells import bin_groups

    workload, groups = bin_groups(trace, grid)
    others = trace.without_total(workload)
    return (others, workload, groups) if others.has_all else (others, *bin_groups(others, grid))
