"""Telling how far a long simulation is."""

from collections.abc import Callable

Progress = Callable[[float], None]
"""Told what share is done, 0 to 1."""


def part_of(progress: Progress | None, first: float, last: float) -> Progress | None:
    """What to tell of a part that begins and ends at these shares of the whole."""
    if progress is None:
        return None
    return lambda share: progress(first + (last - first) * share)
