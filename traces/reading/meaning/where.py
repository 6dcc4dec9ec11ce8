"""Which rows are wanted: `model = "llama" and status != failure`, as SQL."""

import re
from typing import NamedTuple

from joulecast.traces.errors import InputError

_CONDITION = re.compile(
    r"""\s*(?P<column>"(?:[^"]|"")+"|[^\s"'=!<>~()]+)\s*
    (?P<operator>==|!=|<>|<=|>=|=|<|>|~|\bin\b)\s*
    (?P<values>\((?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^)"'])*\)
    |"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"'()]+)\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_VALUE = re.compile(r"""\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|[^,"']+)\s*(?:,|$)""")
_PLAIN_COLUMN = re.compile(r"""[^\s"'=!<>~()]+""")
_PLAIN_VALUE = re.compile(r"""[^\s"'(),]+""")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SQL_OPERATORS = {"==": "=", "!=": "<>"}


class Condition(NamedTuple):
    """One condition on a column.

    Attributes:
        column: As the user names it.
        operator: =, <>, <, <=, >, >=, "~" (contains) or "in".
        values: What it is compared with, as text; several for "in".
        are_numbers: Whether all values are numbers without quotes, and compared as such.
    """

    column: str
    operator: str
    values: tuple[str, ...]
    are_numbers: bool

    @property
    def text(self) -> str:
        """It as `parse_where` takes it."""
        column = self.column if _PLAIN_COLUMN.fullmatch(self.column) else _marked(self.column)
        shown = [value if self._is_plain(value) else _marked(value) for value in self.values]
        right = f"({', '.join(shown)})" if self.operator == "in" else shown[0]
        return f"{column} {self.operator} {right}"

    def _is_plain(self, value: str) -> bool:
        """Whether a value without quotes is read as the same again."""
        is_number = _NUMBER.fullmatch(value) is not None
        return _PLAIN_VALUE.fullmatch(value) is not None and self.are_numbers == is_number

    def sql(self, value: str) -> str:
        """Whether a value, SQL of a text, meets it; one that is missing meets <> and = ""."""
        if self.operator in ("=", "<>") and self.values == ("",):
            return f"COALESCE({value}, '') {self.operator} ''"
        if self.operator == "~":
            return f"COALESCE(CONTAINS(LOWER({value}), LOWER({_quoted(self.values[0])})), FALSE)"
        left = f"TRY_CAST({value} AS DOUBLE)" if self.are_numbers else value
        right = list(self.values) if self.are_numbers else [*map(_quoted, self.values)]
        if self.operator == "in":
            return f"COALESCE({left} IN ({', '.join(right)}), FALSE)"
        if self.operator == "<>":
            return f"{left} IS DISTINCT FROM {right[0]}"
        return f"COALESCE({left} {self.operator} {right[0]}, FALSE)"


def parse_where(text: str) -> tuple[Condition, ...]:
    """The conditions of `COLUMN OPERATOR VALUE and ...`, all of which must be met.

    Operators are =, !=, <, <=, >, >=, ~ (contains, capitals do not count) and in (A, B). Values
    and names of columns with blanks stand in quotes; `COLUMN = ""` is one without a value. Numbers
    without quotes are compared as numbers, all else as text.

    Raises:
        InputError: That is not what it is.
    """
    conditions = []
    at = 0
    while match := _CONDITION.match(text, at):
        conditions.append(_condition(match))
        at = match.end()
        joint = re.compile(r"and\b", re.IGNORECASE).match(text, at)
        if joint is None or joint.end() == len(text.rstrip()):
            break
        at = joint.end()
    if not conditions or at < len(text):
        raise InputError(
            f"--where {text!r}: is not understood from {text[at:] or text!r} on; write COLUMN = "
            'VALUE, such as model = "llama-3.1-8b" and status != "failure"'
        )
    return tuple(conditions)


def _condition(match: re.Match[str]) -> Condition:
    operator, said = match["operator"].lower(), match["values"]
    if operator == "in":
        inner = said[1:-1] if said.startswith("(") else said
        raw = [value.strip() for value in _VALUE.findall(inner)]
    else:
        raw = [said]
    if not raw or (said.startswith("(") and operator != "in"):
        raise InputError(f"--where: {match[0].strip()!r} needs a value; write COLUMN = VALUE")
    return Condition(
        _unquoted(match["column"]),
        _SQL_OPERATORS.get(operator, operator),
        tuple(map(_unquoted, raw)),
        all(_NUMBER.fullmatch(value) for value in raw),
    )


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def _marked(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
