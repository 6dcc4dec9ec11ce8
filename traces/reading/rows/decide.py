"""What the rows of a log mean, decided from all of them together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import named
from joulecast.traces.reading.formats import BY_NAME, TraceFormat, shorten
from joulecast.traces.reading.lengths import Stored
from joulecast.traces.reading.rows.rules import ID, REASONS, VALID, Reason, RowRules

_MOST_MODELS, _MANY_MODELS = 8, 1000
_MOST_ROWS = 0.99
"""A column means what it means in so many of the rows that tell."""

_OVER = {"cached": 0.5, "reasoning": 0.01}
"""A part that is larger than the whole in more than this share of rows is none of it."""

_MOST_REQUESTS = 10**12
_OF_ANY_MAKER = {"joulecast", BY_NAME, "named columns"}
"""Formats of which nobody knows whether inputs leave out what a cache gave."""

MOST_APART = 20_000_000
"""Requests that rows sum, which are taken apart one by one."""


Ask = Callable[[str], list[dict[str, Any]]]


def decide(ask: Ask, name: str, trace_format: TraceFormat, stored: Stored, table: str) -> RowRules:
    """What the rows of a table mean, after a look at all of them.

    Args:
        ask: Answers a query.
        name: What to call the trace in messages.
        trace_format: Which columns hold what.
        stored: How lengths are stored in the rows.
        table: Of the rows.

    Raises:
        InputError: What they mean cannot be told, or a count of requests is none.
    """
    roles = trace_format.roles
    counted = ask(f"SELECT reason, COUNT(*) AS rows FROM {table} GROUP BY 1")
    reasons = {row["reason"]: row["rows"] for row in counted}
    if roles.conditions and set(reasons) == {"where"}:
        raise InputError(f"{name}: no row meets --where {roles.where_text}")
    left_out: dict[Reason, int] = {
        reason: reasons[reason] for reason in REASONS if reason in reasons
    }
    remarks: list[str] = []
    added = _added(ask, trace_format, table, remarks)
    has_counts = _has_counts(ask, name, trace_format, table)
    if has_counts:
        remarks.append(
            f'"{roles.requests}" says how many requests a row sums; they are taken as equal, and '
            "when each came is not known"
        )
        remarks += _without_requests(ask, str(roles.requests), table)
        trace_format = replace(trace_format, arrival_column=None)
    if repeated := _repeated(ask, trace_format, table, remarks):
        left_out["repeated"] = repeated
    _look_at_cached(ask, trace_format, table, added, remarks)
    models = _models(ask, trace_format, table, remarks)
    return RowRules(
        trace_format,
        stored,
        added,
        has_counts,
        bool(repeated),
        sum(reasons.values()),
        left_out,
        models,
        tuple(remarks),
    )


_Added = tuple[tuple[str, ...], tuple[str, ...]]


def _added(ask: Ask, trace_format: TraceFormat, table: str, remarks: list[str]) -> _Added:
    """Columns that are added to inputs and to outputs.

    Names say which. Where rows have a total that contradicts them, what agrees with it counts; else
    a part that is larger than its whole is none of it.
    """
    roles = trace_format.roles
    spelled = roles.spelled
    usual: _Added = (
        tuple(name for name in spelled if name.startswith("also_input")),
        tuple(name for name in spelled if name.startswith("also_output")),
    )
    perhaps: _Added = (
        () if usual[0] or roles.cached is None else ("cached",),
        () if roles.reasoning is None else ("reasoning",),
    )
    best = usual
    if roles.total is not None:
        best = _agreeing(ask, table, roles.total, usual, perhaps, remarks)
    elif any(perhaps):
        best = _with_parts_over(ask, table, usual, perhaps)
    for name in (*best[0], *best[1]):
        if name not in (*usual[0], *usual[1]):
            length = trace_format.input_column if name in best[0] else trace_format.output_column
            remarks.append(f'"{spelled[name]}" is not within "{length}", so it is added to it')
    if roles.total is None and trace_format.name in _OF_ANY_MAKER:
        remarks += [
            f'"{trace_format.input_column}" is taken to leave out "{spelled[name]}", as in '
            f"Anthropic's usage; if it has it, say --cached-column {roles.cached or spelled[name]}"
            for name in best[0]
            if name.startswith("also_input")
        ]
    dropped = [name for side in (0, 1) for name in usual[side] if name not in best[side]]
    if dropped:
        columns = " and ".join(f'"{spelled[name]}"' for name in dropped)
        remarks.append(f'{columns} is not added to lengths, since "{roles.total}" agrees without')
    return best


_LENGTHS = "TRY_CAST(input AS DOUBLE)", "TRY_CAST(output AS DOUBLE)"


def _agreeing(
    ask: Ask, table: str, total: str, usual: _Added, perhaps: _Added, remarks: list[str]
) -> _Added:
    """What has to be added for lengths to agree with the total of most rows; else as usual."""
    choices = [
        (inputs, outputs)
        for inputs in dict.fromkeys((usual[0], (), perhaps[0]))
        for outputs in dict.fromkeys((usual[1], (), perhaps[1], usual[1] + perhaps[1]))
    ]
    agree = {
        f"agree_{k}": f"COUNT(*) FILTER (total = {' + '.join((*_LENGTHS, *inputs, *outputs))})"
        for k, (inputs, outputs) in enumerate(choices)
    }
    (row,) = ask(
        f"SELECT {named(agree)}, COUNT(*) FILTER (total > 0) AS totals FROM {table} "
        "WHERE reason IS NULL"
    )
    rows = {choice: row[f"agree_{k}"] for k, choice in enumerate(choices)}
    best = max(choices, key=lambda choice: (rows[choice], choice == usual))
    if 2 * rows[usual] >= row["totals"] or rows[best] < _MOST_ROWS * row["totals"]:
        best = usual
    if rows[best] < row["totals"]:
        remarks.append(
            f'"{total}" is not the sum of input and output in {row["totals"] - rows[best]:,} of '
            f"{row['totals']:,} rows, which are taken as they are"
        )
    return best


def _with_parts_over(ask: Ask, table: str, usual: _Added, perhaps: _Added) -> _Added:
    """The usual, and parts that are larger than their whole, which are none of it."""
    asked = {}
    for names, length in zip(perhaps, _LENGTHS, strict=True):
        for name in names:
            asked[f"{name}_over"] = f"COUNT(*) FILTER ({name} > {length} AND NOT ISNAN({name}))"
            asked[f"{name}_some"] = f"COUNT(*) FILTER ({name} > 0)"
    (row,) = ask(f"SELECT {named(asked)} FROM {table} WHERE reason IS NULL")

    def over(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(n for n in names if row[f"{n}_over"] > _OVER[n] * row[f"{n}_some"])

    return (*usual[0], *over(perhaps[0])), (*usual[1], *over(perhaps[1]))


def _has_counts(ask: Ask, name: str, trace_format: TraceFormat, table: str) -> bool:
    """Whether rows sum other numbers of requests than one each.

    Raises:
        InputError: A column may say so, or is to say so and does not.
    """
    roles = trace_format.roles
    column = roles.requests or roles.perhaps_requests
    if column is None:
        return False
    (row,) = ask(
        'SELECT COUNT(*) AS rows, SUM("count") FILTER (NOT ISNAN("count")) AS requests, '
        'COUNT(*) FILTER ("count" <> 1) AS others, COUNT(*) FILTER '
        f'(NOT ("count" BETWEEN 0 AND {_MOST_REQUESTS} AND FLOOR("count") = "count")) AS invalid '
        f"FROM {table} WHERE reason IS NULL"
    )
    if not row["others"] or (roles.requests is None and row["invalid"] == row["rows"]):
        return False
    if roles.requests is None:
        raise InputError(
            f'{name}: column "{column}" may say how many requests a row sums; say so with '
            f"--count-column {column}, or that it does not with --count-column none"
        )
    if (row["requests"] or 0) > MOST_APART:
        raise InputError(
            f'{name}: its rows sum {row["requests"]:,.0f} requests ("{column}"); more than '
            f"{MOST_APART:,} are not taken apart, so read fewer rows with --where"
        )
    if row["invalid"]:
        raise InputError(
            f'{name}: column "{column}" is to say how many requests a row sums, and '
            f"{row['invalid']:,} of {row['rows']:,} rows have no such number there; mend them, or "
            "take each row for one request with --count-column none"
        )
    return True


def _without_requests(ask: Ask, column: str, table: str) -> list[str]:
    """What is to be said of rows that sum no requests and have tokens."""
    tokens = " + ".join(f"COALESCE({length}, 0)" for length in _LENGTHS)
    (row,) = ask(
        f"SELECT COUNT(*) AS rows, SUM({tokens}) AS tokens FROM {table} "
        f'WHERE reason IS NULL AND "count" = 0 AND {tokens} > 0'
    )
    if not row["rows"]:
        return []
    said = f"{row['rows']:,} rows have {row['tokens']:,.0f} tokens and no requests"
    return [f'{said} ("{column}" is 0 or empty), and are left out']


def _repeated(ask: Ask, trace_format: TraceFormat, table: str, remarks: list[str]) -> int:
    """Rows that are parts of a request that another row tells whole."""
    column = trace_format.roles.id
    if column is None:
        return 0
    (row,) = ask(
        "SELECT COALESCE(SUM(rows), 0) - COUNT(*) AS repeated, COUNT(*) - COUNT(DISTINCT id) AS "
        f"others FROM (SELECT {ID} AS id, TRY_CAST(input AS DOUBLE) AS input, COUNT(*) AS rows "
        f"FROM {table} WHERE reason IS NULL AND {ID} IS NOT NULL AND {VALID} GROUP BY 1, 2) "
        "AS names"
    )
    if row["others"]:
        remarks.append(
            f'{row["others"]:,} rows have a name ("{column}") that an earlier one has, and another '
            "input; each is taken for a request"
        )
    if row["repeated"]:
        remarks.append(
            f'{row["repeated"]:,} rows repeat a name ("{column}") and its input, as parts of a '
            "streamed answer do; the longest of each was kept"
        )
    return int(row["repeated"])


def _look_at_cached(
    ask: Ask, trace_format: TraceFormat, table: str, added: _Added, remarks: list[str]
) -> None:
    """Say where what a cache of prefixes gave is no count."""
    column = trace_format.roles.cached
    if column is None:
        return
    is_none = "ISNAN(cached) OR cached < 0 OR FLOOR(cached) <> cached"
    length = " + ".join((_LENGTHS[0], *added[0]))
    (row,) = ask(
        f"SELECT COUNT(*) FILTER ({is_none}) AS invalid, COUNT(*) FILTER (NOT ({is_none}) AND "
        f"cached > {length}) AS over FROM {table} WHERE reason IS NULL"
    )
    if row["over"]:
        remarks.append(
            f'"{column}" is more than the input in {row["over"]:,} rows, of which all is taken as '
            "cached"
        )
    if row["invalid"]:
        remarks.append(
            f'"{column}" has no count of tokens in {row["invalid"]:,} rows, which are taken as '
            "without any"
        )


def _models(ask: Ask, trace_format: TraceFormat, table: str, remarks: list[str]) -> dict[str, int]:
    """Names of models -> their rows, the most frequent first."""
    column = trace_format.roles.model
    if column is None:
        return {}
    rows = ask(
        f"SELECT COALESCE(model, '(none)') AS model, COUNT(*) AS rows FROM {table} "
        f"WHERE reason IS NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MANY_MODELS}"
    )
    models = {row["model"]: row["rows"] for row in rows}
    if len(models) > 1 and trace_format.roles.group != column:
        shown = [f"{shorten(model)} {rows:,}" for model, rows in [*models.items()][:_MOST_MODELS]]
        more = ", ..." if len(models) > _MOST_MODELS else ""
        remarks.append(
            f'{len(models)} models in "{column}" ({", ".join(shown)}{more}), all taken for the one '
            f"that is estimated; --where '{column} = \"NAME\"' keeps one"
        )
    return models
