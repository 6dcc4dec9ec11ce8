"""What a length may be, as expressions that every engine evaluates alike."""

from typing import Any

import ibis
import ibis.expr.types as ir

MAX_TOKENS = 2**31 - 1
"""Longest believable length [tokens]; its square fits 64 bits."""

MALFORMED = "malformed row"
"""A CSV row that has too many or too few fields."""

PROBLEMS = {
    1: "missing",
    2: "not a number",
    3: "negative",
    4: "fractional",
    5: "2^31 or more",
    6: MALFORMED,
}
"""What can be wrong with a length, by the code that `with_problems` gives."""

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
        The table with `input_tokens` and `output_tokens` (int64, of use where `valid`) and `valid`:
        true where both are lengths, false or null elsewhere.
    """
    for side in ("input", "output"):
        number = _number(table[side], is_duckdb)
        table = table.mutate(**{f"{side}_number": number})
        # Null for what is no number or not within 32 bits.
        tokens = table[f"{side}_number"].try_cast("int32").cast("int64")
        table = table.mutate(**{f"{side}_tokens": tokens})
    # A fraction was rounded, and a negative length has another magnitude.
    valid = (table.input_tokens.abs() == table.input_number) & (
        table.output_tokens.abs() == table.output_number
    )
    if "malformed" in table.columns:
        valid &= ~table.malformed
    return table.mutate(valid=valid)


def with_problems(table: ir.Table, is_duckdb: bool = True) -> ir.Table:
    """Add what is wrong with each length; slower, for rows of which something is.

    Args:
        table: As for `with_tokens`.
        is_duckdb: Likewise.

    Returns:
        The table of `with_tokens` with `input_problem`, `output_problem` and `problem`: 0, or a
        code of `PROBLEMS`; that of the input if both have one.
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
        (tokens.abs() == number, 0),
        *(reasons if value.type().is_string() else reasons[::-1]),
        (negative, 3),
        (number.isnull() | (number > MAX_TOKENS), 5),
        else_=4,
    ).cast("int8")
