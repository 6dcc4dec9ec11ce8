"""How a trace is read: what every function that reads one takes, described once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict

from joulecast.traces.errors import InputError

OnInvalid = Literal["error", "skip"]

OnProgress = Callable[[float], None]
"""Told now and then what share of a long read is done, 0 to 1."""


class ReadingKeywords(TypedDict, total=False):
    """The attributes of `ReadingOptions` as keyword arguments."""

    input_column: str | None
    output_column: str | None
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
        on_invalid: "error" to end at the first invalid row, "skip" to leave such rows out and count
            them.
        memory_limit: Most memory that DuckDB may take, such as "500MB"; what exceeds it goes to
            disk. 100 MB a core if not given.
        watch: Told now and then what share of a long read is done, 0 to 1.
    """

    input_column: str | None = None
    output_column: str | None = None
    on_invalid: OnInvalid = "error"
    memory_limit: str | None = None
    watch: OnProgress | None = None

    def __post_init__(self) -> None:
        if self.on_invalid not in ("error", "skip"):
            raise InputError(f'on_invalid is "error" or "skip", not {self.on_invalid!r}')

    @property
    def names_columns(self) -> bool:
        """Whether a column is named."""
        return (self.input_column, self.output_column) != (None, None)

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


DEFAULTS = ReadingOptions()
