"""What may be given as a trace: names and files, workloads, tables in memory, several of them.

Tables are told by what they are called, so that no library of tables is imported for it.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from joulecast.traces.errors import InputError
from joulecast.traces.files import shown_address
from joulecast.traces.workload import Workload


class ArrowStream(Protocol):
    """A table of any library that hands its rows on as Arrow does."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows, as a capsule."""


TraceInput = str | Path | Workload | Sized | ArrowStream
"""A name, a path, a glob or an address; a workload; a table (pandas, Polars, Arrow), an array of
NumPy or a list of pairs (input, output) [tokens]; or a list of those, which are one trace."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """A list of pairs, told from a list of traces.

    Attributes:
        rows: Input and output length of each request [tokens].
    """

    rows: Sequence[Any]

    def __len__(self) -> int:
        return len(self.rows)


_STREAM_NAME = "Arrow stream"
_TABLES = {
    ("pandas", "DataFrame"): "pandas table",
    ("polars", "DataFrame"): "Polars table",
    ("polars", "LazyFrame"): "Polars table",
    ("pyarrow", "Table"): "Arrow table",
    ("pyarrow", "RecordBatch"): "Arrow table",
    ("pyarrow", "RecordBatchReader"): _STREAM_NAME,
    ("numpy", "ndarray"): "NumPy array",
}
_PAIRS_NAME, _OTHER_NAME = "list of pairs", "table"
_COLUMNS = {"Series", "Index", "MultiIndex", "Array", "ChunkedArray", "Expr"}
_ADVICE = (
    "give a path, a name, a workload, a table of pandas, Polars or Arrow, an array of shape (n, 2) "
    "or a list of pairs"
)


def table_name(part: object) -> str | None:
    """What to call a table in memory; None if it is none."""
    if isinstance(part, Pairs):
        return _PAIRS_NAME
    for kind in type(part).__mro__:
        name = _TABLES.get((kind.__module__.partition(".")[0], kind.__name__))
        if name is not None:
            return name
    is_other = hasattr(part, "__arrow_c_stream__") and type(part).__name__ not in _COLUMNS
    return _OTHER_NAME if is_other else None


class Parts(list[Any]):
    """Traces that are given as one: paths as text, workloads, tables, `Pairs`."""


def parts_of(trace: TraceInput) -> Parts:
    """The traces that are given as one.

    Raises:
        InputError: It is nothing that can be a trace, or something is given twice.
    """
    if isinstance(trace, Parts):
        return trace
    if not isinstance(trace, (list, tuple)):
        return Parts([_part(trace)])
    if not trace:
        raise InputError(f"the list is empty; {_ADVICE}")
    is_part = [_is_part(each) for each in trace]
    if not any(is_part):
        return Parts([Pairs(trace)])
    if not all(is_part):
        position = is_part.index(False)
        kind = type(trace[position]).__name__
        raise InputError(
            f"position {position} of the list (counted from 0) holds a {kind} object beside "
            "traces; give traces alone, or pairs alone"
        )
    parts = Parts(map(_part, trace))
    _require_each_once(parts)
    return parts


def require_lasting(trace: TraceInput) -> None:
    """Refuse what can be read once, where several looks at it are needed.

    Raises:
        InputError: Standard input, or a stream.
    """
    for part in parts_of(trace):
        if part == "-" if isinstance(part, str) else table_name(part) == _STREAM_NAME:
            raise InputError(
                f"{_name_of(part)}: can be read once, and each model takes a look of its own; keep "
                "it in a file or a table, and give that"
            )


def trace_name(trace: TraceInput) -> str:
    """What to call a trace in results and messages, without what may be secret."""
    return some_of([_name_of(part) for part in parts_of(trace)])


def some_of(names: Sequence[str]) -> str:
    """Names in a line, the first of them where there are many."""
    most = 3
    unnamed = len(names) - most
    return ", ".join(names) if unnamed <= 0 else f"{', '.join(names[:most])} and {unnamed} more"


def _name_of(part: Any) -> str:
    if isinstance(part, str):
        return shown_address(part)
    if isinstance(part, Workload):
        return next((source.get("name", "workload") for source in part.sources), "workload")
    return table_name(part) or _OTHER_NAME


def _part(part: Any) -> Any:
    """One trace: a path as text, all else as it is."""
    if isinstance(part, (str, Path)):
        return str(part)
    if isinstance(part, Workload) or table_name(part) is not None:
        return part
    name = type(part).__name__
    if isinstance(part, Iterator):
        raise InputError(
            f"a {name} gives its rows once, and a trace is looked at more often; give a list of "
            "them"
        )
    if name in _COLUMNS or (hasattr(part, "__arrow_c_array__") and name.endswith("Array")):
        raise InputError(
            f"{name} is one column; give a table with a column of input lengths and one of "
            "output lengths"
        )
    if isinstance(part, Mapping):
        raise InputError(
            f"a {name} object is no trace; make a table of it, such as a pandas.DataFrame"
        )
    raise InputError(f"a {name} object is no trace; {_ADVICE}")


def _is_part(part: object) -> bool:
    """Whether a member of a list is a trace, not a pair of lengths."""
    name = table_name(part)
    if name == "NumPy array":
        return getattr(part, "ndim", 0) == 2 or getattr(part, "dtype", None).names is not None  # type: ignore[union-attr]
    return name is not None or isinstance(part, (str, Path, Workload))


def _require_each_once(parts: Sequence[Any]) -> None:
    """Refuse what would be counted twice.

    Raises:
        InputError: A name, a file, a workload or a table stands there again.
    """
    seen: dict[object, Any] = {}
    for part in parts:
        for identity in identities_of(part):
            if identity in seen:
                raise given_twice(_name_of(part), seen[identity], _name_of(part))
            seen[identity] = _name_of(part)


def given_twice(name: str, first: str, second: str) -> InputError:
    """The error for a trace that would be counted twice.

    Args:
        name: Its name.
        first: What it was given as first.
        second: And again.
    """
    how = "" if first == second == name else f', as "{first}" and as "{second}"'
    return InputError(f"{name}: is given twice{how}; give it once")


def identities_of(part: Any) -> Iterator[object]:
    """What no other trace may have in common with it: its name, the file itself, the object."""
    if not isinstance(part, str):
        yield id(part)
        return
    yield part
    try:
        status = Path(part).stat()
    except (OSError, ValueError):
        return
    yield status.st_dev, status.st_ino
