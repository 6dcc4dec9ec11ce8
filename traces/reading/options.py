"""How a trace is read: what every function that reads one takes, described once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypedDict

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import ARRIVAL_UNITS, ArrivalUnit
from joulecast.traces.reading.meaning.where import Condition, parse_where

OnInvalid = Literal["error", "skip"]

GROUPS_IN_TIME = "month", "week", "day", "hour"
"""What requests are grouped by that no column has: when they came."""

NO_COLUMN = "none"
"""In the place of a column: what it says is not to be regarded."""

OnProgress = Callable[[float], None]
"""Told now and then what share of a long read is done, 0 to 1."""


class ReadingKeywords(TypedDict, total=False):
    """The attributes of `ReadingOptions` as keyword arguments."""

    input_column: str | None
    output_column: str | None
    arrival_column: str | None
    arrival_unit: ArrivalUnit | None
    cached_column: str | None
    count_column: str | None
    id_column: str | None
    where: str | None
    group_by: str | None
    prefix_cache: int | None
    on_invalid: OnInvalid
    memory_limit: str | None
    watch: OnProgress | None


@dataclass(frozen=True)
class ReadingOptions:
    """How to read a trace. Functions that read one take these attributes as keyword arguments.

    Attributes:
        input_column: Column of the input length [tokens], where the format is not a known one;
            dots lead into the objects of JSON rows.
        output_column: Column of the output length [tokens], likewise.
        arrival_column: Column of the arrival time, where the format has none or another one; dots
            lead likewise. "none" leaves arrival times unread, which is faster.
        arrival_unit: Unit of the numbers in it, where it is not what they look like.
        cached_column: Column of the input tokens that came from a cache of prefixes, where it is
            not called so; "none" takes all as computed.
        count_column: Column of how many requests a row sums, likewise; "none" takes each row for
            one request.
        id_column: Column of a name that rows of one request share, such as the chunks of a streamed
            answer, likewise; "none" takes each row for a request of its own.
        where: Which rows to read, such as 'model = "llama-3.1-8b" and status != failure'
            (`traces.reading.meaning.where`); all if not given.
        group_by: What to group requests by: "model" or "user", "month", "week", "day" or "hour"
            (UTC), or a column.
        prefix_cache: Size of a cache of prefixes [tokens] that prompts are held against, where the
            trace names their blocks (Mooncake, Qwen-Bailian); none if not given.
        on_invalid: "error" to end at the first invalid row, "skip" to leave such rows out and count
            them; requests whose arrival time cannot be read are then left out of what is served in
            time, and counted.
        memory_limit: Most memory that DuckDB may take, such as "500MB"; what exceeds it goes to
            disk. 100 MB a core if not given.
        watch: Told now and then what share of a long read is done, 0 to 1.
    """

    input_column: str | None = None
    output_column: str | None = None
    arrival_column: str | None = None
    arrival_unit: ArrivalUnit | None = None
    cached_column: str | None = None
    count_column: str | None = None
    id_column: str | None = None
    where: str | None = None
    group_by: str | None = None
    prefix_cache: int | None = None
    on_invalid: OnInvalid = "error"
    memory_limit: str | None = None
    watch: OnProgress | None = None

    def __post_init__(self) -> None:
        if self.on_invalid not in ("error", "skip"):
            raise InputError(f'on_invalid is "error" or "skip", not {self.on_invalid!r}')
        if self.prefix_cache is not None and self.prefix_cache < 1:
            raise InputError(f"prefix_cache is 1 token or more, not {self.prefix_cache}")
        if self.arrival_unit is not None and self.arrival_unit not in ARRIVAL_UNITS:
            raise InputError(
                f"arrival_unit is one of {', '.join(ARRIVAL_UNITS)}, not {self.arrival_unit!r}"
            )

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that a wanted row meets.

        Raises:
            InputError: `where` is not understood.
        """
        return () if self.where is None else parse_where(self.where)

    @property
    def named_roles(self) -> list[tuple[str, str]]:
        """The option of each further column that the user names, and that column."""
        stated = [
            ("--cached-column", self.cached_column),
            ("--count-column", self.count_column),
            ("--id-column", self.id_column),
            *(("--where", condition.column) for condition in self.conditions),
        ]
        return [(option, column) for option, column in stated if column not in (None, NO_COLUMN)]

    @property
    def group_column(self) -> str | None:
        """The column or kind of column that requests are grouped by; None if there is none."""
        return None if self.group_by in GROUPS_IN_TIME else self.group_by

    @property
    def names_columns(self) -> bool:
        """Whether a column is named, or the unit of one."""
        return (
            self.names_lengths
            or self.names_arrivals
            or bool(self.named_roles)
            or self.group_column is not None
        )

    @property
    def names_lengths(self) -> bool:
        """Whether the column of a length is named."""
        return (self.input_column, self.output_column) != (None, None)

    @property
    def names_arrivals(self) -> bool:
        """Whether the column of arrival times is named, or their unit."""
        return self.arrival_column not in (None, NO_COLUMN) or self.arrival_unit is not None

    def require_elsewhere(self) -> None:
        """Refuse what only a read on this machine can heed.

        Raises:
            InputError: A memory limit or a callback is given.
        """
        if self.memory_limit is not None or self.watch is not None:
            raise InputError(
                "memory_limit and watch are for reading with DuckDB; leave them out for Spark and "
                "databases"
            )

    def require_timeless(self) -> None:
        """Refuse what says where arrival times are.

        Raises:
            InputError: A column of them is named, or their unit.
        """
        if self.names_arrivals:
            raise InputError(
                "arrival times are read from files, and not from databases; leave out "
                "arrival_column and arrival_unit (--arrival-column, --arrival-unit)"
            )


DEFAULTS = ReadingOptions()
