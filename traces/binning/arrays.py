"""Arrays of NumPy and lists of pairs, as columns that DuckDB reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from joulecast.traces.errors import InputError

_SIDES = ("input_tokens", "output_tokens")
_UNITS = ("s", "ms", "us", "ns")


def columns_of_array(array: Any) -> Mapping[str, Any]:
    """Columns of an array: input and output length of shape (n, 2), or those that have names.

    Raises:
        InputError: It has another shape.
    """
    if array.dtype.names is not None:
        columns = {name: array[name] for name in array.dtype.names}
        if array.ndim == 1 and all(column.ndim == 1 for column in columns.values()):
            return {name: _readable(column) for name, column in columns.items()}
    elif array.ndim == 2 and array.shape[1] == 2:
        return {side: _readable(array[:, k]) for k, side in enumerate(_SIDES)}
    raise InputError(
        f"NumPy array: has shape {array.shape}; give (n, 2), input and output length of each "
        "request [tokens], or a structured array of shape (n,) with a named field for each column"
    )


def columns_of_pairs(pairs: Sequence[Any]) -> Mapping[str, Any]:
    """Columns of a list of pairs (input, output).

    Raises:
        InputError: A row is no pair.
    """
    for position, pair in enumerate(pairs):
        is_row = isinstance(pair, (list, tuple)) or (
            isinstance(pair, np.ndarray) and pair.ndim == 1
        )
        if not is_row or len(pair) != 2:
            kind = type(pair).__name__
            what = f"holds {len(pair)} values" if is_row else f"is of type {kind}"
            raise InputError(
                f"list of pairs: the row at position {position} (counted from 0) {what}; give "
                "pairs (input, output), or a table with named columns"
            )
    return {side: _column([pair[k] for pair in pairs]) for k, side in enumerate(_SIDES)}


def _column(values: list[Any]) -> Any:
    """Numbers where all are such that no number loses or changes what it is; else objects."""
    types = set(map(type, values))
    try:
        if types <= {int}:
            return np.array(values, dtype=np.int64)
        if types <= {int, float}:
            return np.array(values, dtype=np.float64)
    except OverflowError:
        pass
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _readable(column: Any) -> Any:
    """A column of an array in a form that DuckDB knows; in place where that can be."""
    if isinstance(column, np.ma.MaskedArray):
        objects = column.data.astype(object)
        objects[np.ma.getmaskarray(column)] = None
        return objects
    kind = column.dtype.kind
    if kind in "US":  # which become dictionaries
        return column.astype(str).astype(object)
    if kind in "mM" and np.datetime_data(column.dtype)[0] not in _UNITS:
        column = column.astype(f"{kind}8[s]")
    if not column.dtype.isnative:
        column = column.astype(column.dtype.newbyteorder("="))
    return column if min(column.strides, default=0) >= 0 else np.ascontiguousarray(column)
