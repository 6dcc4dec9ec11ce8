"""How a trace is read: what every function that reads one takes, described once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict

from joulecast.traces.errors import InputError
from joulecast.traces.reading.arrivals import ARRIVAL_UNITS, ArrivalUnit

OnInvalid = Literal["error", "skip"]

NO_ARRIVALS = "none"
"""In the place of the column of arrival times: they are not to be read."""

OnProgress = Callable[[float], None]
"""Told now and then what share of a long read is done, 0 to 1."""


class ReadingKeywords(TypedDict, total=False):
    """The attributes of `ReadingOptions` as keyword arguments."""

    input_column: str | None
    output_column: str | None
    arrival_column: str | None
    arrival_unit: ArrivalUnit | None
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
    on_invalid: OnInvalid = "error"
    memory_limit: str | None = None
    watch: OnProgress | None = None

    def __post_init__(self) -> None:
        if self.on_invalid not in ("error", "skip"):
            raise InputError(f'on_invalid is "error" or "skip", not {self.on_invalid!r}')
        if self.arrival_unit is not None and self.arrival_unit not in ARRIVAL_UNITS:
            raise InputError(
                f"arrival_unit is one of {', '.join(ARRIVAL_UNITS)}, not {self.arrival_unit!r}"
            )

    @property
    def names_columns(self) -> bool:
        """Whether a column is named, or the unit of one."""
        return self.names_lengths or self.names_arrivals

    @property
    def names_lengths(self) -> bool:
        """Whether the column of a length is named."""
        return (self.input_column, self.output_column) != (None, None)

    @property
    def names_arrivals(self) -> bool:
        """Whether the column of arrival times is named, or their unit."""
        return self.arrival_column not in (None, NO_ARRIVALS) or self.arrival_unit is not None

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
