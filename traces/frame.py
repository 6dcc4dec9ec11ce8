"""Results as tables of pandas, for who goes on with them there."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulecast.traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_MOST = 2**63


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> "pd.DataFrame":
    """A table of pandas with a row for each of these, of the same keys; None is a missing value.

    Args:
        rows: Column -> value, each.
        columns: Names of the columns, for where there are no rows.

    Raises:
        InputError: There is no pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InputError(
            "to_frame() makes tables of pandas, which is not there; install it with: pip install "
            "'joulecast[frames]'"
        ) from error
    names = list(rows[0]) if rows else list(columns)
    values: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
    for name, column in values.items():
        there = [value for value in column if value is not None]
        if not there:
            values[name] = [math.nan] * len(column)
        elif len(there) < len(column) and all(map(_is_whole, there)):
            values[name] = pd.array(column, dtype="Int64")  # or they would become floats
    return pd.DataFrame(values)


def _is_whole(value: object) -> bool:
    """Whether it is a whole number of 64 bits."""
    return type(value) is int and abs(value) < _MOST
