"""TRACE as people give it: a shipped name, a saved workload, a file of requests, a table, several.

Each function looks first whether its trace is a workload already, and else reads it; how, all of
them take as the keywords of `ReadingOptions`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from joulecast.traces.errors import InputError, unknown_name
from joulecast.traces.files import exists
from joulecast.traces.grid import PAPER_GRID, POWER_OF_TWO_GRID, Grid
from joulecast.traces.inputs import Parts, TraceInput, parts_of, trace_name
from joulecast.traces.public.catalog import (
    catalog,
    embedded_names,
    is_embedded,
    load_cached,
    load_embedded,
)
from joulecast.traces.reading.options import DEFAULTS, NO_ARRIVALS, ReadingKeywords, ReadingOptions
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.traces.together import timeless, together
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from joulecast.traces.binning.file_trace import FileTrace
    from joulecast.traces.distribution import Distribution
    from joulecast.traces.reading.arrivals import ArrivalReading
    from joulecast.traces.requests import TimedRequests
    from joulecast.traces.summary import TraceSummary


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
        timeless: What of a trace does not tell when its requests came, where the rest does, so
            that no times are known of the whole.
    """

    workload: Workload
    lengths: "npt.NDArray[np.int64] | None" = None
    counts: tuple[Mapping[int, int], Mapping[int, int]] | None = None
    timed: "TimedRequests | None" = None
    arrivals: "ArrivalReading | None" = None
    timeless: tuple[str, ...] = ()

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
    **reading: Unpack[ReadingKeywords],
) -> LoadedTrace:
    """A workload, and from a file of requests also how long they are.

    Args:
        trace: As in `load_workload`.
        grid: The cells; None as in `load_workload`.
        most_lengths: Give the lengths one by one if there are at most so many requests.
        with_counts: Count the lengths, which takes memory for each that occurs.
        with_arrivals: Give the requests with their times, where the trace has these.
        **reading: How to read, as the attributes of `ReadingOptions` say.

    Raises:
        InputError: As in `load_workload`.
    """
    from joulecast.traces.distribution import length_counts

    options = ReadingOptions(**reading)
    ready, sources = _ready_and_sources(trace, options)
    if ready:
        return _with_ready(ready, sources, grid, reading)
    with _binned(sources, grid or POWER_OF_TWO_GRID, options) as (requests, workload):
        timed, arrivals = None, requests.arrivals
        if with_arrivals and requests.has_arrivals:
            timed, arrivals = requests.timed()
        return LoadedTrace(
            workload,
            requests.lengths() if workload.total.requests <= most_lengths else None,
            length_counts(requests) if with_counts else None,
            timed,
            arrivals,
            requests.timeless,
        )


def _with_ready(
    ready: Mapping[str, Workload],
    sources: Parts,
    grid: Grid | None,
    reading: ReadingKeywords,
) -> LoadedTrace:
    """Workloads and, if there are any, files of requests, of which then only sums are known too."""
    parts, without_times = dict(ready), set[str]()
    if sources:
        loaded = load_trace(sources, **reading)
        parts[trace_name(sources)] = loaded.workload
        without_times |= set(loaded.timeless)
    workloads, names = list(parts.values()), list(parts)
    without_times |= {names[k] for k in timeless(workloads)}
    return LoadedTrace(together(workloads, grid), timeless=tuple(sorted(without_times)))


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
            and `watch`.

    Returns:
        The workload, equal to the one that `load_workload` reads from the same rows, but that no
        arrival times are read.

    Raises:
        InputError: No PySpark, no Java, no cluster, no such files, or they are not a trace.
    """
    from joulecast.traces.binning.cells import bin_trace
    from joulecast.traces.binning.spark import open_spark

    with open_spark(source, master, ReadingOptions(**reading)) as requests:
        return bin_trace(requests, grid)


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
    ready, sources = _ready_and_sources(trace, options)
    if ready:
        return summarise_workload(_with_ready(ready, sources, None, reading).workload)
    with _binned(sources, PAPER_GRID, options) as binned:
        return summarise_trace(*binned)


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
    ready, _ = _ready_and_sources(trace, DEFAULTS)
    return any(workload.is_reconstructed for workload in ready.values())


@contextmanager
def _binned(
    sources: Parts, grid: Grid, options: ReadingOptions
) -> "Iterator[tuple[FileTrace, Workload]]":
    """A file of requests, open for more questions, and its workload."""
    # DuckDB takes longer to import than a shipped workload takes to estimate.
    from joulecast.traces.binning.cells import bin_trace
    from joulecast.traces.binning.file_trace import open_trace

    with open_trace(sources, options) as requests:
        yield requests, bin_trace(requests, grid)


def _ready_and_sources(
    trace: TraceInput, options: ReadingOptions
) -> tuple[dict[str, Workload], Parts]:
    """The workloads that are given, or that names and files are, and what is to be read."""
    ready: dict[str, Workload] = {}
    sources = Parts()
    for part in parts_of(trace):
        saved = _saved_workload(part) if isinstance(part, str) else part
        if isinstance(saved, Workload):
            name = trace_name(part)
            name = name if name not in ready else f"{name} ({len(ready) + 1})"
            is_timeless = options.arrival_column == NO_ARRIVALS
            ready[name] = saved.without_arrivals() if is_timeless else saved
        else:
            sources.append(part)
    if ready and not sources and options.names_columns:
        raise InputError(f"{next(iter(ready))}: is a workload and has no columns to name")
    return ready, sources


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
