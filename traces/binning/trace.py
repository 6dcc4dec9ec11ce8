"""A trace that can be asked questions, wherever its rows are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from joulecast.traces.errors import InputError
from joulecast.traces.reading.formats import shorten
from joulecast.traces.reading.lengths import Kind, Stored, kind_of, with_problems
from joulecast.traces.reading.options import OnInvalid, OnProgress
from joulecast.traces.reading.problems import MALFORMED, PROBLEMS

_WATCH_SECONDS = 0.2


class Query(NamedTuple):
    """A question to any engine.

    Attributes:
        sql: In DuckDB's dialect, of `traces.reading.lengths.REQUESTS`.
        types: The columns of its answer and their types, as Ibis calls them.
    """

    sql: str
    types: Mapping[str, str]


class Slicing(NamedTuple):
    """How requests are put into slices of time.

    Attributes:
        arrival_s: When a request comes [s], null where that is not known, as SQL.
        exponent: Slices are 2^exponent seconds wide.
    """

    arrival_s: str
    exponent: int


@dataclass(frozen=True)
class Trace(ABC):
    """A trace, nothing of it read yet.

    Attributes:
        name: What the user called it.
        on_invalid: Whether invalid rows end the reading or are left out and counted.
        sources: Provenance, for a workload.
        stored: How its rows are stored.
    """

    name: str
    on_invalid: OnInvalid
    sources: tuple[Mapping[str, str], ...]
    stored: Stored

    @abstractmethod
    def ask(self, query: Query) -> list[dict[str, Any]]:
        """The rows of the answer.

        Raises:
            InputError: The engine could not read a source to its end.
        """

    def slicing(self) -> Slicing | None:
        """How its requests are put into slices of time; None if it has no arrival times."""
        return None

    def grouping(self) -> str | None:
        """The group of a request, as SQL; None if all are one."""
        return None

    def group_name(self, value: Any) -> str:
        """What a group is called, by its value in `grouping`."""
        return "none" if value is None else str(value)

    def why_empty(self) -> str:
        """Why it has no requests, where it has none."""
        return "has a header but no requests"

    def malformed_rows(self) -> int:
        """Rows that could not be split into fields and were left out (`on_invalid="skip"`)."""
        return 0

    def first_problem(self) -> InputError:
        """The error that names an invalid row. Call it only when there is one."""
        query = Query(
            "SELECT problem, input_problem, CAST(input AS TEXT) AS input, "
            "CAST(output AS TEXT) AS output "
            f"FROM ({with_problems(self.stored)}) AS invalid WHERE problem <> 0 LIMIT 1",
            {"problem": "int64", "input_problem": "int64", "input": "string", "output": "string"},
        )
        row = self.ask(query)[0]
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


def length_kind(name: str, column: str, type_name: str) -> Kind:
    """How an engine of its own, such as Spark or a warehouse, stores lengths.

    Args:
        name: What to call the trace in messages.
        column: "input" or "output".
        type_name: Of that column, as the engine or Ibis calls it.

    Raises:
        InputError: The column holds neither numbers nor text.
    """
    kind = kind_of(type_name)
    if kind is None:
        raise InputError(
            f"{name}: its {column} column holds {type_name}; lengths are whole numbers"
        )
    return kind


def first_line(error: BaseException) -> str:
    """What an engine says is wrong, without the rest of its page."""
    java = getattr(error, "java_exception", None)
    said = str(error) if java is None else str(java.getMessage())
    lines = said.strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
