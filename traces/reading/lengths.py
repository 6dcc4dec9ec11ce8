"""What a length may be, as SQL in DuckDB's dialect; sqlglot puts it into those of other engines.

The queries are made of `REQUESTS`, a row per request with `input` and `output` as they are stored
and, where the engine tells which rows are no whole rows, `malformed`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from joulecast.traces.reading.problems import MALFORMED, MAX_TOKENS, PROBLEMS

REQUESTS = "joulecast_requests"
"""A name that no table has in which a database keeps its own."""

Kind = Literal["text", "whole", "real"]
"""How lengths are stored: as text, as whole numbers of any size, or as other numbers."""

_KINDS: Mapping[Kind, re.Pattern[str]] = {
    "text": re.compile(r"(string|(var)?char)(\(.*\))?"),
    "whole": re.compile(r"u?(tiny|small|big|huge)?int(eger|8|16|32|64)?"),
    "real": re.compile(r"(float|double|decimal)(32|64)?(\(.*\))?"),
}
_SPACES = " \t\n\x0b\f\r"
_DIGITS = "[0-9](_?[0-9])*"
_NUMBER = (
    rf"^[{_SPACES}]*[+-]?({_DIGITS}(\.({_DIGITS})?)?|\.{_DIGITS})([eE][+-]?{_DIGITS})?[{_SPACES}]*$"
    rf"|^[{_SPACES}]*[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?[{_SPACES}]*$"
)
"""Text that is a number: what DuckDB reads as one, but for NaN."""

_CODES = {problem: code for code, problem in PROBLEMS.items()}


def kind_of(type_name: str) -> Kind | None:
    """How a column is stored, by the name of its type; None if it can hold no lengths.

    Args:
        type_name: As DuckDB, Spark or Ibis call it.
    """
    name = type_name.lower().removeprefix("!")
    return next((kind for kind, names in _KINDS.items() if names.fullmatch(name)), None)


class Stored(NamedTuple):
    """How the rows of a trace are stored.

    Attributes:
        input: How input lengths are.
        output: How output lengths are.
        has_malformed: Whether there is a column `malformed`.
        is_duckdb: Whether the engine's own casts are DuckDB's; others, such as Spark ("17d" is a
            number there), are held to the same.
        has_cached: Whether there is a column `cached` (BIGINT): how many tokens of a prompt were in
            a cache of prefixes; null for none.
    """

    input: Kind
    output: Kind
    has_malformed: bool = False
    is_duckdb: bool = True
    has_cached: bool = False


def with_tokens(stored: Stored, table: str = REQUESTS) -> str:
    """Add the lengths as whole numbers; few operations, since every row goes through them.

    Returns:
        A query that adds to the columns of the table `input_number` and `output_number`, the
        lengths as they are stored but for text, and `input_tokens` and `output_tokens` (64 bits):
        null for what is no whole number within 32 bits, and in malformed rows.
    """
    numbers = (
        f"SELECT *, {_number('input', stored.input, stored.is_duckdb)} AS input_number, "
        f"{_number('output', stored.output, stored.is_duckdb)} AS output_number FROM {table}"
    )
    return (
        f"SELECT *, {_tokens('input', stored.input, stored)} AS input_tokens, "
        f"{_tokens('output', stored.output, stored)} AS output_tokens "
        f"FROM ({numbers}) AS numbers"
    )


def with_problems(stored: Stored, table: str = REQUESTS) -> str:
    """Add what is wrong with each length; slower, for rows of which something is.

    Returns:
        The query of `with_tokens` with `input_problem`, `output_problem` and `problem`: 0, or a
        code of `traces.reading.problems.PROBLEMS`; that of the input if both have one.
    """
    problems = (
        f"SELECT *, {_problem('input', stored.input)} AS input_problem, "
        f"{_problem('output', stored.output)} AS output_problem "
        f"FROM ({with_tokens(stored, table)}) AS lengths"
    )
    malformed = f"WHEN malformed THEN {_CODES[MALFORMED]} " if stored.has_malformed else ""
    return (
        f"SELECT *, CASE {malformed}WHEN input_problem = 0 THEN output_problem "
        f"ELSE input_problem END AS problem FROM ({problems}) AS problems"
    )


def succeeded(stored: Stored, table: str = REQUESTS) -> str:
    """A query of the valid requests that did not fail."""
    return (
        f"SELECT * FROM ({with_tokens(stored, table)}) AS lengths "
        "WHERE input_tokens >= 0 AND output_tokens > 0"
    )


def cached_tokens(length: str) -> str:
    """How many tokens of a prompt were in a cache of prefixes, as SQL: at most all of them.

    Args:
        length: Of the prompt, as SQL.
    """
    return f"LEAST(GREATEST(COALESCE(cached, 0), 0), {length})"


def as_stored(column: str, kind: Kind) -> str:
    """A column of lengths as `REQUESTS` has it: real numbers in 64 bits."""
    return f"CAST({column} AS DOUBLE)" if kind == "real" else column


def union(views: Mapping[str, Stored], others: Sequence[str] = ()) -> tuple[str, Stored]:
    """All rows of several views, in their order.

    Args:
        views: Name of a view -> how its lengths are stored.
        others: Columns besides `input` and `output`.

    Returns:
        A query, and how its lengths are stored: as text where that is not the same in all views.
    """
    inputs, outputs = zip(*(stored[:2] for stored in views.values()), strict=True)
    has_cached = any(stored.has_cached for stored in views.values())
    common = next(iter(views.values()))._replace(
        input=_common_kind(inputs), output=_common_kind(outputs), has_cached=has_cached
    )
    selects = []
    for view, stored in views.items():
        columns = [
            _cast("input", stored.input, common.input),
            _cast("output", stored.output, common.output),
            *others,
        ]
        if has_cached:
            columns.append("cached" if stored.has_cached else "CAST(NULL AS BIGINT) AS cached")
        selects.append(f"SELECT {', '.join(columns)} FROM {view}")
    return " UNION ALL ".join(selects), common


def _cast(column: str, kind: Kind, common: Kind) -> str:
    return column if kind == common else f"CAST({column} AS TEXT) AS {column}"


def _common_kind(kinds: Sequence[Kind]) -> Kind:
    return kinds[0] if len(set(kinds)) == 1 else "text"


def _number(column: str, kind: Kind, is_duckdb: bool) -> str:
    if kind != "text":
        return column
    if is_duckdb:
        return f"TRY_CAST({column} AS DOUBLE)"
    digits = f"TRANSLATE({column}, '_{_SPACES}', '')"
    number = f"CASE WHEN REGEXP_MATCHES({column}, '{_NUMBER}') THEN {digits} END"
    return f"TRY_CAST({number} AS DOUBLE)"


def _tokens(side: str, kind: Kind, stored: Stored) -> str:
    number = f"{side}_number"
    tokens = f"TRY_CAST({number} AS INT)"  # faster than comparisons
    conditions = ["NOT malformed"] if stored.has_malformed else []
    if not stored.is_duckdb:  # but some know no such cast, or have no 32 bits
        tokens = number
        conditions.append(f"{number} BETWEEN {-MAX_TOKENS - 1} AND {MAX_TOKENS}")
    if kind != "whole":  # the cast rounds
        conditions.append(f"{tokens if stored.is_duckdb else f'FLOOR({number})'} = {number}")
    if conditions:
        tokens = f"CASE WHEN {' AND '.join(conditions)} THEN {tokens} END"
    return f"CAST({tokens} AS BIGINT)"


def _problem(side: str, kind: Kind) -> str:
    missing, no_number, negative = f"{side} IS NULL", f"ISNAN({side}_number)", f"{side}_number < 0"
    if kind == "text":
        missing += f" OR {side} = ''"
        no_number = f"NOT REGEXP_MATCHES({side}, '{_NUMBER}')"
        negative = f"REGEXP_MATCHES({side}, '^[{_SPACES}]*-')"
    reasons = {"missing": missing, "not a number": no_number, "negative": negative}
    if kind == "whole":
        del reasons["not a number"]
    if kind == "real":  # a missing value is no NaN, but to some engines NaN is a missing value
        reasons = {"not a number": no_number, **reasons}
    reasons["2^31 or more"] = f"{side}_number IS NULL OR {side}_number > {MAX_TOKENS}"
    cases = " ".join(f"WHEN {when} THEN {_CODES[problem]}" for problem, when in reasons.items())
    return f"CASE WHEN {side}_tokens >= 0 THEN 0 {cases} ELSE {_CODES['fractional']} END"
