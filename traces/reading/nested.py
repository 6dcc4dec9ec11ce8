"""Columns within the objects of JSON rows, named by their keys with dots between."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union

from joulecast.traces.errors import InputError

KeyPath = tuple[str, ...]
"""Keys from the row down to a value; one for a column of the row itself."""

Tree = Mapping[str, Union["Tree", None]]
"""Wanted keys -> the wanted keys below; None where the value itself is wanted."""

_LEVELS = 8


def key_paths(record: Mapping[str, Any], levels: int = _LEVELS) -> Iterator[KeyPath]:
    """Paths to the values within the objects of a row, in their order.

    Values of the row itself are left out, as are lists and what lies more than `levels` deep.
    """
    for key, value in record.items():
        if isinstance(value, Mapping) and levels > 1:
            for inner, deeper in value.items():
                if not isinstance(deeper, Mapping):
                    yield key, inner
            yield from ((key, *path) for path in key_paths(value, levels - 1))


def key_tree(name: str, paths: Iterable[KeyPath]) -> Tree:
    """The wanted values of a row, as they lie within each other.

    Args:
        name: What to call the file in messages.
        paths: Where they lie.

    Raises:
        InputError: One lies within another, which is then an object and no length.
    """
    tree: dict[str, Any] = {}
    for path in sorted(dict.fromkeys(paths), key=len, reverse=True):
        *outer, last = path
        branch = tree
        for key in outer:
            branch = branch.setdefault(key, {})
        if last in branch:
            column = ".".join(path)
            raise InputError(f'{name}: column "{column}" holds objects; lengths are whole numbers')
        branch[last] = None
    return tree
