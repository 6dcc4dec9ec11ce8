"""What rows stand for: one request, several, a part of one, or none; as SQL of DuckDB.

Where the columns of a format say more than lengths (`roles.py`), all rows are read once into a
table with `input` and `output` as they are stored and the columns of `role_columns`. A look at it
decides what they mean (`decide.py`), and a view of the requests is made of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from joulecast.traces.reading.arrivals import VIEW_COLUMNS, named
from joulecast.traces.reading.formats import TraceFormat
from joulecast.traces.reading.lengths import Kind, Stored

Reason = Literal["where", "no lengths", "other calls", "cached answers", "repeated", "totals"]

REASONS: Mapping[Reason, str] = {
    "where": "not meeting --where",
    "no lengths": "without lengths, as other rows of such logs are",
    "other calls": "calls that generate no text, such as embeddings",
    "cached answers": "answered from a cache, at no cost",
    "repeated": "repeating the name of a request",
    "totals": "the sum of all others",
}
"""Why a row is no request of its own, and that in words."""

_OTHER_CALLS = "embed|moderation|rerank|transcri|speech|image_?(generation|edit|variation)"


def role_columns(trace_format: TraceFormat, values: Mapping[str, str]) -> dict[str, str]:
    """Columns of a table of rows besides the lengths: names, and what they are as SQL.

    Args:
        trace_format: Which columns hold what.
        values: Every column that is read -> what it is as SQL.
    """
    if trace_format.is_plain:
        return {}
    roles = trace_format.roles
    texts = {column: f"CAST({value} AS TEXT)" for column, value in values.items()}
    cases = [
        f"WHEN NOT {condition.sql(texts[column])} THEN 'where'"
        for column, condition in zip(roles.where, roles.conditions, strict=True)
    ]
    if trace_format.is_sparse:
        lengths = values[trace_format.input_column], values[trace_format.output_column]
        cases.append(f"WHEN {lengths[0]} IS NULL AND {lengths[1]} IS NULL THEN 'no lengths'")
    if roles.call is not None:
        matches = f"REGEXP_MATCHES(LOWER({texts[roles.call]}), '{_OTHER_CALLS}')"
        cases.append(f"WHEN {matches} THEN 'other calls'")
    if roles.hit is not None:
        is_hit = f"LOWER({texts[roles.hit]}) IN ('true', '1', 't', 'yes', 'hit')"
        cases.append(f"WHEN {is_hit} THEN 'cached answers'")
    numbers = {
        **{f"also_input_{k}": column for k, column in enumerate(roles.also_input)},
        **{f"also_output_{k}": column for k, column in enumerate(roles.also_output)},
        "cached": roles.cached,
        "reasoning": roles.reasoning,
        "total": roles.total,
        '"count"': roles.requests or roles.perhaps_requests,
    }
    named_texts = {"id": roles.id, "model": roles.model, "group_name": roles.group}
    named_texts["blocks"] = roles.blocks
    return {
        "reason": f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS TEXT)",
        **{name: _number(texts[column]) for name, column in numbers.items() if column is not None},
        **{name: texts[column] for name, column in named_texts.items() if column is not None},
    }


def _number(text: str) -> str:
    """A number beside the lengths: 0 where it is missing, NaN where it is none."""
    return (
        f"CASE WHEN {text} IS NULL OR TRIM({text}) = '' THEN 0 "
        f"ELSE COALESCE(TRY_CAST({text} AS DOUBLE), 'nan'::DOUBLE) END"
    )


@dataclass(frozen=True)
class RowRules:
    """What the rows of a table mean.

    Attributes:
        format: Which columns hold what.
        stored: How lengths are stored in the rows.
        added: Columns of the table that are added to `input`, and to `output`.
        has_counts: Whether rows sum several requests.
        has_repeats: Whether rows repeat the name of a request.
        rows: Rows in all.
        left_out: Why rows are no requests of their own -> how many.
        models: Names of models -> their rows among those that are requests.
        remarks: What else is to be said, each a line.
        total: The row, from 0, that sums all others.
    """

    format: TraceFormat
    stored: Stored
    added: tuple[tuple[str, ...], tuple[str, ...]]
    has_counts: bool
    has_repeats: bool
    rows: int
    left_out: Mapping[Reason, int]
    models: Mapping[str, int]
    remarks: tuple[str, ...]
    total: int | None = None

    @property
    def added_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns of the log that are added to inputs, and to outputs."""
        spelled = self.format.roles.spelled
        inputs, outputs = self.added
        return tuple(map(spelled.__getitem__, inputs)), tuple(map(spelled.__getitem__, outputs))

    @property
    def requests_stored(self) -> Stored:
        """How lengths are stored in the requests."""
        kinds: list[Kind] = [
            "whole" if self.has_counts else "real" if added else kind
            for added, kind in zip(self.added, self.stored[:2], strict=True)
        ]
        return self.stored._replace(
            input=kinds[0], output=kinds[1], has_cached=self.format.roles.cached is not None
        )

    def requests(self, table: str) -> str:
        """A query of the requests in a table of rows, in their order; with `row` where they lie."""
        columns = {
            "input": self._length("input", self.added[0], self.stored.input),
            "output": self._length("output", self.added[1], self.stored.output),
            "row": "rowid",
        }
        if self.format.roles.cached is not None:
            is_count = "cached >= 0 AND FLOOR(cached) = cached AND NOT ISNAN(cached)"
            columns["cached"] = f"CASE WHEN {is_count} THEN TRY_CAST(cached AS BIGINT) END"
        if self.format.roles.group is not None:
            columns["group_name"] = "group_name"
        times = VIEW_COLUMNS if self.format.arrival_column is not None else ()
        columns |= {name: name for name in times}
        own = dict(columns)
        if self.has_repeats:
            own |= {"id": ID, "own_input": "input"}
        if self.has_counts:
            own["n"] = 'CAST("count" AS BIGINT)'
        query = f"SELECT {named(own)} FROM {table} WHERE reason IS NULL"
        if self.total is not None:
            query += f" AND rowid <> {self.total}"
        if self.has_repeats:
            query = (
                f"SELECT * EXCLUDE (id, own_input) FROM ({query}) AS kept QUALIFY id IS NULL "
                f"OR ({VALID}) IS NOT TRUE OR {_LAST} ORDER BY row"
            )
        return _each(query, columns) if self.has_counts else query

    def _length(self, side: str, added: tuple[str, ...], kind: Kind) -> str:
        """A length as the requests have it: with what is added, as a number where it must be."""
        if not added and not self.has_counts:
            return side
        if kind != "text":
            return " + ".join((f"CAST({side} AS DOUBLE)", *added))
        number = f"COALESCE(TRY_CAST({side} AS DOUBLE), 'nan'::DOUBLE)"
        own = f"CASE WHEN {side} IS NULL OR TRIM({side}) = '' THEN NULL ELSE {number} END"
        return " + ".join((own, *added))


def _each(query: str, columns: Mapping[str, str]) -> str:
    """The requests that rows sum: as equal as whole tokens allow."""
    shares = {
        name: f"CAST(({whole} * (k + 1)) // n - ({whole} * k) // n AS BIGINT)"
        for name in ("input", "output", "cached")
        if name in columns and (whole := f"TRY_CAST({name} AS HUGEINT)")
    }
    own = {name: shares.get(name, name) for name in columns}
    return (
        f"SELECT {named(own)} FROM (SELECT *, UNNEST(RANGE(n)) AS k FROM ({query}) AS sums) "
        "AS each_of_them"
    )


ID = "NULLIF(NULLIF(TRIM(id), ''), 'nan')"
VALID = "TRY_CAST(input AS DOUBLE) >= 0 AND TRY_CAST(output AS DOUBLE) >= 0"
"""Whether a row can be a part of a request: what is invalid stays, to be told."""

_LAST = (
    "ROW_NUMBER() OVER (PARTITION BY id, TRY_CAST(own_input AS DOUBLE) "
    "ORDER BY TRY_CAST(output AS DOUBLE) DESC NULLS LAST, row DESC) = 1"
)
"""Of rows with the same name and input, that with the longest output, and of these the last."""
