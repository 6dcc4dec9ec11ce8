"""What a length may be, as expressions that every engine evaluates alike."""

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

from joulecast.traces.reading.problems import MAX_TOKENS

_SPACE = "[ \t\n\x0b\f\r]*"
_DIGITS = "[0-9](_?[0-9])*"
_NUMBER = (
    rf"^{_SPACE}[+-]?({_DIGITS}(\.({_DIGITS})?)?|\.{_DIGITS})([eE][+-]?{_DIGITS})?{_SPACE}$"
    rf"|^{_SPACE}[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?{_SPACE}$"
)
"""Text that is a number: what DuckDB reads as one, but for NaN."""


def with_tokens(table: ir.Table, is_duckdb: bool = True) -> ir.Table:
    """Add the lengths as whole numbers; few operations, since every row goes through them.

    Args:
        table: `input` and `output` as they are stored, text or numbers; where the engine tells,
            also `malformed`, whether their row is no whole row.
        is_duckdb: Whether text may be left to the engine's own reading of numbers; others, such as
            Spark ("17d" is a number there), are held to that of DuckDB.

    Returns:
        The table with `input_number` and `output_number`, the lengths as they are stored but for
        text; `input_tokens` and `output_tokens` (int64): null for what is no whole number within 32
        bits, and in malformed rows; and `valid`: true where both are lengths, else false or null.
    """
    for side in ("input", "output"):
        table = table.mutate(**{f"{side}_number": _number(table[side], is_duckdb)})
        number = table[f"{side}_number"]
        tokens = number.try_cast("int32")
        if not number.type().is_integer():  # the cast rounds
            tokens = (tokens == number).ifelse(tokens, ibis.null("int32"))
        if "malformed" in table.columns:
            tokens = table.malformed.ifelse(ibis.null("int32"), tokens)
        table = table.mutate(**{f"{side}_tokens": tokens.cast("int64")})
    return table.mutate(valid=(table.input_tokens >= 0) & (table.output_tokens >= 0))


def with_problems(table: ir.Table, is_duckdb: bool = True) -> ir.Table:
    """Add what is wrong with each length; slower, for rows of which something is.

    Args:
        table: As for `with_tokens`.
        is_duckdb: Likewise.

    Returns:
        The table of `with_tokens` with `input_problem`, `output_problem` and `problem`: 0, or a
        code of `traces.reading.problems.PROBLEMS`; that of the input if both have one.
    """
    table = with_tokens(table, is_duckdb)
    for side in ("input", "output"):
        columns = (table[side], table[f"{side}_number"], table[f"{side}_tokens"])
        table = table.mutate(**{f"{side}_problem": _problem(*columns)})
    clean = table.input_problem == 0
    problem = clean.ifelse(table.output_problem, table.input_problem)
    if "malformed" in table.columns:
        problem = table.malformed.ifelse(6, problem).cast("int8")
    return table.mutate(problem=problem)


def _number(value: Any, is_duckdb: bool) -> Any:
    kind = value.type()
    if kind.is_integer():
        return value
    if not kind.is_string():
        return value.cast("float64")
    if is_duckdb:
        return value.try_cast("float64")
    digits = value.re_replace(r"[_ \t\n\x0b\f\r]", "")
    return value.re_search(_NUMBER).ifelse(digits, ibis.null("string")).try_cast("float64")


def _problem(value: Any, number: Any, tokens: Any) -> Any:
    missing = value.isnull()
    if value.type().is_string():
        missing |= value == ""
        no_number, negative = ~value.re_search(_NUMBER), value.strip().startswith("-")
    else:
        no_number = number.isnan() if number.type().is_floating() else ibis.literal(False)
        negative = number < 0
    # A missing value is no NaN, but to some engines NaN is a missing value.
    reasons = [(missing, 1), (no_number, 2)]
    return ibis.cases(
        (tokens >= 0, 0),
        *(reasons if value.type().is_string() else reasons[::-1]),
        (negative, 3),
        (number.isnull() | (number > MAX_TOKENS), 5),
        else_=4,
    ).cast("int8")


def union(tables: Sequence[ir.Table]) -> ir.Table:
    """All rows of several tables; lengths as text where they are stored in different ways."""
    if len({tuple(table.schema().items()) for table in tables}) > 1:
        tables = [
            table.mutate(input=_text(table.input), output=_text(table.output)) for table in tables
        ]
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def _text(value: Any) -> Any:
    # The shortest text of a 32-bit float is another number in 64 bits.
    exact = value.cast("float64") if value.type().is_floating() else value
    return exact.cast("string")
