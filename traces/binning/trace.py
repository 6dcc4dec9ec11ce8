"""A trace that can be asked questions, wherever its rows are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.reading.formats import shorten
from joulecast.traces.reading.options import OnInvalid, OnProgress
from joulecast.traces.reading.problems import MALFORMED, PROBLEMS

if TYPE_CHECKING:
    import ibis.expr.types as ir

_WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class Trace(ABC):
    """A trace, nothing of it read yet.

    Attributes:
        name: What the user called it.
        on_invalid: Whether invalid rows end the reading or are left out and counted.
        sources: Provenance, for a workload.
    """

    name: str
    on_invalid: OnInvalid
    sources: tuple[Mapping[str, str], ...]

    @property
    @abstractmethod
    def connection(self) -> Any:
        """The Ibis backend that answers questions."""

    @property
    @abstractmethod
    def stored(self) -> "ir.Table":
        """Lazy table with a row per request as it is stored.

        Columns: `input`, `output`, `arrival_s` [s] where the format has arrival times, and
        `malformed` where the engine tells which rows are no whole rows.
        """

    @property
    def is_duckdb(self) -> bool:
        """Whether DuckDB evaluates the questions: it sums in 128 bits."""
        return bool(self.connection.name == "duckdb")

    @property
    def requests(self) -> "ir.Table":
        """`stored` with the columns of `traces.reading.lengths.with_tokens`."""
        from joulecast.traces.reading.lengths import with_tokens

        return with_tokens(self.stored, self.is_duckdb)

    @property
    def with_problems(self) -> "ir.Table":
        """`stored` with the columns of `traces.reading.lengths.with_problems`."""
        from joulecast.traces.reading.lengths import with_problems

        return with_problems(self.stored, self.is_duckdb)

    def cell_groups(self, grid: Grid) -> list[dict[str, Any]]:
        """The rows of `traces.binning.query.bin_requests`.

        Raises:
            InputError: The engine could not read a source to its end.
        """
        from joulecast.traces.binning.query import bin_requests

        return self.execute(bin_requests(self.requests, grid, self.is_duckdb))

    def execute(self, query: "ir.Table") -> list[dict[str, Any]]:
        """Run a query on `requests` and return its rows.

        Raises:
            InputError: The engine could not read a source to its end.
        """
        try:
            return list(self.connection.to_pyarrow(query).to_pylist())
        except Exception as error:
            raise InputError(f"{self.name}: cannot be read ({first_line(error)})") from error

    def malformed_rows(self) -> int:
        """Rows that could not be split into fields and were left out (`on_invalid="skip"`)."""
        return 0

    def first_problem(self) -> InputError:
        """The error that names an invalid row. Call it only when there is one."""
        requests = self.with_problems
        row = self.execute(requests.filter(requests.problem != 0).limit(1))[0]
        problem = PROBLEMS[row["problem"]]
        if problem == MALFORMED:
            what = "one with too many or too few fields"
        else:
            side = "input" if row["input_problem"] else "output"
            value = "" if row[side] is None else f' "{shorten(str(row[side]))}"'
            what = f"one whose {side} length{value} is {problem}; lengths are counts, 0 or more"
        return InputError(
            f"{self.name}: has invalid rows, such as {what}; mend them or pass --on-invalid skip"
        )


@dataclass(frozen=True)
class EngineTrace(Trace):
    """A trace on an engine of its own, such as Spark or a warehouse.

    Attributes:
        backend: The Ibis backend of that engine.
        table: The trace there, as `stored` must be.
    """

    backend: Any = field(repr=False)
    table: "ir.Table" = field(repr=False)

    @property
    def connection(self) -> Any:
        """The Ibis backend of that engine."""
        return self.backend

    @property
    def stored(self) -> "ir.Table":
        """The trace there."""
        return self.table


_T = TypeVar("_T")


def watched(
    work: Callable[[], _T],
    progress: Callable[[], float],
    watch: OnProgress | None,
    interrupt: Callable[[], object],
) -> _T:
    """Do some work in a thread, so that Ctrl-C is heard, and tell how far it is until it is done.

    Args:
        work: What to do; its errors are raised here.
        progress: Share done, 0 to 1; below 0 if unknown.
        watch: Whom to tell, if anyone.
        interrupt: Ends the work early; called on Ctrl-C.
    """
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(work)
        try:
            while True:
                try:
                    return outcome.result(_WATCH_SECONDS)
                except FutureTimeoutError:
                    if outcome.done():  # the work itself timed out
                        raise
                    if watch is not None and (share := progress()) >= 0:
                        watch(share)
        except (KeyboardInterrupt, SystemExit):
            interrupt()
            raise


def require_lengths(name: str, stored: "ir.Table") -> None:
    """Refuse columns that hold neither numbers nor text."""
    for column in ("input", "output"):
        kind = stored[column].type()
        if not (kind.is_numeric() or kind.is_string()) or kind.is_boolean():
            raise InputError(f"{name}: its {column} column holds {kind}; lengths are whole numbers")


def first_line(error: BaseException) -> str:
    """What an engine says is wrong, without the rest of its page."""
    java = getattr(error, "java_exception", None)
    said = str(error) if java is None else str(java.getMessage())
    lines = said.strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
