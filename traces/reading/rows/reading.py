"""What was read of a log, so that it can be said: which columns, from how many rows, what else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from joulecast.traces.reading.rows.rules import REASONS, Reason, RowRules

if TYPE_CHECKING:
    from joulecast.traces.reading.formats import TraceFormat


class TotalRow(NamedTuple):
    """A row that has the sums of all others.

    Attributes:
        number: Its line, or which row of several files it is.
        input_tokens: Its input [tokens].
        is_left_out: Whether it is left out, since it is called a total or has nothing but numbers.
    """

    number: int
    input_tokens: int
    is_left_out: bool


@dataclass(frozen=True)
class TraceReading:
    """What was read of a log.

    Attributes:
        format: What people call its format.
        columns: What they were taken for -> the columns: "input" and "output" (those that are added
            after the first), "arrival", "cached", "count", "id", "model".
        rows: Rows in all.
        requests: Requests in these, failed and invalid ones included.
        left_out: Why rows are no requests of their own -> how many.
        models: Names of models -> their rows among those that are requests.
        remarks: What else is to be said, each a line.
        where: The conditions that rows had to meet, as `--where` takes them; None without any.
    """

    format: str
    columns: Mapping[str, tuple[str, ...]]
    rows: int
    requests: int
    left_out: Mapping[Reason, int] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    where: str | None = None

    @classmethod
    def of(
        cls, trace_format: "TraceFormat", rules: RowRules | None, requests: int
    ) -> "TraceReading":
        """What was read in a format, with the rules that its rows were taken by, if any."""
        roles = trace_format.roles
        added: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        if rules is not None:
            added = rules.added_columns
        columns = {
            "input": (trace_format.input_column, *added[0]),
            "output": (trace_format.output_column, *added[1]),
        }
        others = {
            "arrival": trace_format.arrival_column,
            "cached": roles.cached,
            "count": roles.requests if rules is not None and rules.has_counts else None,
            "id": roles.id,
            "model": roles.model,
        }
        columns |= {name: (column,) for name, column in others.items() if column is not None}
        if rules is None:
            told = ", ".join(f'"{column}"' for column in trace_format.unregarded)
            remark = f"not regarded, since each row is taken for a request: {told}"
            remarks = (remark,) if told else ()
            return cls(trace_format.name, columns, requests, requests, remarks=remarks)
        return cls(
            trace_format.name,
            columns,
            rules.rows,
            requests,
            rules.left_out if rules.total is None else {**rules.left_out, "totals": 1},
            rules.models,
            rules.remarks,
            roles.where_text or None,
        )

    def with_total(self, total: "TotalRow | None") -> "TraceReading":
        """The same, of a log with a row that has the sums of all others."""
        if total is None:
            return self
        if total.is_left_out:
            left_out: dict[Reason, int] = {**self.left_out, "totals": 1}
            return replace(self, rows=max(self.rows, self.requests + 1), left_out=left_out)
        remark = (
            f"row {total.number:,} has as many tokens as all others together; if it is their sum, "
            f"leave it out with --where '{self.columns['input'][0]} != {total.input_tokens}'"
        )
        return replace(self, remarks=(*self.remarks, remark))

    @property
    def text(self) -> str:
        """The format and the columns in a line."""
        shown = [
            f"{name} " + " + ".join(f'"{column}"' for column in columns)
            for name, columns in self.columns.items()
            if name not in ("id", "model")
        ]
        return f"{self.format}: {', '.join(shown)}; {_rows_text(self.rows)}"

    @property
    def notes(self) -> list[str]:
        """Rows that are no requests, and remarks, a line each."""
        left_out = [
            f"{_rows_text(rows)} left out: {REASONS[reason]}"
            for reason, rows in self.left_out.items()
            if reason != "repeated"  # of which there is a remark with the column
        ]
        return [*left_out, *self.remarks]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "format": self.format,
            "columns": {name: list(columns) for name, columns in self.columns.items()},
            "rows": self.rows,
            "requests": self.requests,
            "left_out": dict(self.left_out),
            "models": dict(self.models),
            "remarks": list(self.remarks),
            **({} if self.where is None else {"where": self.where}),
        }


def _rows_text(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"
