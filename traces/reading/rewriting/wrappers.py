"""JSON whose rows lie within an object, or which stand over several lines."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from joulecast.traces.reading.rewriting.events import Event, text_of
from joulecast.traces.reading.rewriting.samples import has_lengths

_USUAL_KEYS = {
    *("data", "requests", "results", "rows", "records", "items", "entries", "logs", "values"),
    *("observations", "generations", "traces", "spans", "value", "hits"),
}
_TELLS_LENGTHS = "token", "usage", "length"


def array_of_rows(record: Mapping[str, Any], wanted: Collection[str]) -> str | None:
    """The key of the one array that holds the rows; None if the object is a row itself.

    Args:
        record: The first object of a file.
        wanted: Columns that the user named.
    """
    arrays = {
        key: value[0]
        for key, value in record.items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and "." not in key
    }
    if not arrays or has_lengths(record, wanted):
        return None
    with_lengths = [key for key, first in arrays.items() if has_lengths(first, wanted)]
    if len(with_lengths) == 1:
        return with_lengths[0]
    usual = [key for key in arrays if key in _USUAL_KEYS]
    says_lengths = any(word in key.lower() for key in record for word in _TELLS_LENGTHS)
    return usual[0] if len(arrays) == len(usual) == 1 and not says_lengths else None


def values(events: Iterator[Event]) -> Iterator[str]:
    """Each value of a file as a row."""
    for _, event, value in events:
        yield text_of(events, event, value)
