"""The file of a log: gzipped CSV that says itself what it holds, whole or not at all.

`# key: JSON` lines are facts of the window, `# column name: meaning` lines say what the columns
hold; then come a header and rows. `pandas.read_csv(path, comment="#")` reads it.
"""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecast.measurements.facts import is_number
from joulecast.measurements.steplog.columns import LOG_COLUMNS, Column, Kind
from joulecast.traces.errors import InputError
from joulecast.traces.files import parse_json, write_bytes
from joulecast.traces.reading.formats import shorten

SUFFIX = ".csv.gz"
ADVICE = "get the file again"

_FACT = re.compile(r"# (\w+): (.*)")
_COLUMN = re.compile(r"# column (\w+): (.*)")
_WHOLE = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:e[+-]?\d{1,2})?")


@dataclass(frozen=True)
class LogFile:
    """What a log's file says.

    Attributes:
        path: The file.
        facts: Of the window: when it began and ended, what the meter read, on what it ran.
        meanings: Column -> what it holds, in words.
        columns: Column -> its values, shape (rows,): int64 for counts, float64 with NaN where a
            value is missing, texts as objects.
        first_line: Line of the first row.
    """

    path: Path
    facts: Mapping[str, Any]
    meanings: Mapping[str, str]
    columns: Mapping[str, npt.NDArray[Any]]
    first_line: int

    @property
    def window(self) -> tuple[float, float]:
        """When the metered window began and ended [s, monotonic clock]."""
        return self.facts["window_begin"], self.facts["window_end"]

    def refusal(self, row: int, text: str) -> InputError:
        """An error that names the line of a row."""
        return InputError(f"{self.path}:{self.first_line + row}: {text}; {ADVICE}")


def log_path(folder: Path, name: str, log: str) -> Path:
    """Where a log of a window lies.

    Args:
        folder: Of the window's logs.
        name: Of the window.
        log: Which one: steps, ticks, states or requests.
    """
    return folder / f"{name}.{log}{SUFFIX}"


def write_log(
    path: Path,
    log: str,
    facts: Mapping[str, Any],
    rows: Sequence[Sequence[Any]],
    meanings: Mapping[str, str] | None = None,
) -> None:
    """Write a log, whole or not at all.

    Args:
        path: The file.
        log: Which one: steps, ticks, states or requests.
        facts: `window_begin` and `window_end` [s, monotonic clock], and whatever else JSON takes.
        rows: Values in the order of the log's columns; None for one that is missing.
        meanings: Column -> what it holds, where that differs from what `columns.py` says.

    Raises:
        InputError: The folder is missing, read-only or full.
    """
    text = io.StringIO()
    for key, value in facts.items():
        text.write(f"# {key}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}\n")
    columns = LOG_COLUMNS[log]
    for name, column in columns.items():
        text.write(f"# column {name}: {(meanings or {}).get(name, column.meaning)}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_shown(value) for value in row] for row in rows)
    write_bytes(path, gzip.compress(text.getvalue().encode(), 9, mtime=0))


def _shown(value: Any) -> Any:
    """Times to the microsecond, large sums without an exponent, whole numbers as they are."""
    if value is None:
        return ""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) >= 1e5 else round(value, 6)
    return value


def read_log(path: Path, log: str) -> LogFile:
    """Read a log, believing nothing.

    Args:
        path: The file.
        log: Which one it must be: steps, ticks, states or requests.

    Raises:
        InputError: It is none, it is cut off, or a value cannot be true; the line is named.
    """
    lines = list(_lines(path))
    facts: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    head = 0
    while head < len(lines) and lines[head].startswith("#"):
        _read_head(path, head + 1, lines[head], facts, meanings)
        head += 1
    columns = LOG_COLUMNS[log]
    if head == len(lines):
        raise InputError(f"{path}:{head + 1}: its header is missing; {ADVICE}")
    _check_header(path, head + 1, lines[head], columns)
    _check_window(path, facts)
    rows = _rows(path, head + 2, lines[head + 1 :], len(columns))
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    values = {
        name: _values(path, head + 2, name, column, texts)
        for (name, column), texts in zip(columns.items(), cells, strict=True)
    }
    return LogFile(path, facts, meanings, values, head + 2)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a gzipped text, each of them whole."""
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    raise InputError(f"{path}:{number}: is cut off in mid line; {ADVICE}")
                yield line[:-1].decode("utf-8")
    except EOFError as error:
        raise InputError(f"{path}:{number + 1}: is cut off; {ADVICE}") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}:{number + 1}: is not whole gzip ({error}); {ADVICE}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: is not UTF-8; {ADVICE}") from error


def _read_head(
    path: Path, number: int, line: str, facts: dict[str, Any], meanings: dict[str, str]
) -> None:
    """One of the lines before the header, into facts or meanings."""
    if column := _COLUMN.fullmatch(line):
        meanings[column[1]] = column[2]
        return
    fact = _FACT.fullmatch(line)
    if fact is None:
        raise InputError(
            f'{path}:{number}: is "{shorten(line)}", not "# key: value" of the window; {ADVICE}'
        )
    if fact[1] in facts:
        raise InputError(f'{path}:{number}: gives "{fact[1]}" twice; {ADVICE}')
    try:
        facts[fact[1]] = parse_json(fact[2])
    except ValueError as error:
        raise InputError(
            f'{path}:{number}: its "{fact[1]}" is not JSON ({error}); {ADVICE}'
        ) from error


def _check_header(path: Path, number: int, line: str, columns: Mapping[str, Column]) -> None:
    if line.split(",") != list(columns):
        raise InputError(
            f'{path}:{number}: its columns are "{shorten(line)}", not {",".join(columns)}; {ADVICE}'
        )


def _check_window(path: Path, facts: Mapping[str, Any]) -> None:
    """Every log tells the window that it belongs to."""
    for key in ("window_begin", "window_end"):
        value: Any = facts.get(key)
        if not is_number(value) or value < 0:
            raise InputError(
                f'{path}: its "{key}" is {json.dumps(value)}, not a time [s] of 0 or more; {ADVICE}'
            )
    if facts["window_begin"] >= facts["window_end"]:
        raise InputError(f"{path}: its window ends before it begins; {ADVICE}")


def _rows(path: Path, first: int, lines: Sequence[str], width: int) -> list[list[str]]:
    """The cells of each row, all of the same number."""
    rows = []
    for number, line in enumerate(lines, start=first):
        cells = next(csv.reader([line])) if '"' in line else line.split(",")
        if len(cells) != width:
            raise InputError(f"{path}:{number}: has {len(cells)} values, not {width}; {ADVICE}")
        rows.append(cells)
    return rows


def _values(
    path: Path, first: int, name: str, column: Column, texts: Sequence[str]
) -> npt.NDArray[Any]:
    """The values of a column, checked one by one."""
    if column.kind is Kind.TEXT:
        return np.array(texts, dtype=object)
    pattern = _WHOLE if column.kind is Kind.COUNT else _NUMBER
    for number, text in enumerate(texts, start=first):
        if text == "" and column.may_be_empty:
            continue
        if not pattern.fullmatch(text) or (text[0] == "-" and column.kind is not Kind.NUMBER):
            raise InputError(
                f'{path}:{number}: its {name} is "{shorten(text)}", not {column.kind.value}; '
                f"{ADVICE}"
            )
    if column.kind is Kind.COUNT:
        return np.array([int(text) for text in texts], dtype=np.int64)
    return np.array([float(text) if text else math.nan for text in texts])
