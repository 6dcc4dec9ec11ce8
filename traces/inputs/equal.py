"""Requests that are all alike, in place of a trace."""

from joulecast.traces.cell_sums import LONGEST, CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.grid import POWER_OF_TWO_GRID
from joulecast.traces.workload import Workload


def equal_requests(
    requests: int, input_tokens: int, output_tokens: int, cached_tokens: int | None = None
) -> Workload:
    """A workload of so many requests that are all alike, to be given wherever a trace is.

    Args:
        requests: How many, 1 or more.
        input_tokens: Prompt of each, 1 or more [tokens].
        output_tokens: Output of each, 1 or more [tokens].
        cached_tokens: What of each prompt is in a cache of prefixes [tokens]; None if nothing is to
            be said of one.

    Returns:
        Their sums, without times; they are estimated all at once, or at a `rate`.

    Raises:
        InputError: A count or a length is none.
    """
    n, i, o = requests, input_tokens, output_tokens
    for name, value in (("requests", n), ("input", i), ("output", o)):
        if type(value) is not int or not 1 <= value < LONGEST:
            raise InputError(f"{name} is {value!r}; give a whole number of 1 or more, below 2^31")
    if cached_tokens is not None and not (type(cached_tokens) is int and 0 <= cached_tokens <= i):
        raise InputError(
            f"cached is {cached_tokens!r}; give a whole number from 0 to the {i:,} of the input"
        )
    (row,), (column,) = POWER_OF_TWO_GRID.assign([i], [o])
    cell = int(row), int(column)
    told = "" if cached_tokens is None else f" ({cached_tokens:,} cached)"
    return Workload(
        POWER_OF_TWO_GRID,
        {cell: CellSums(n, n * i, n * i * i, n * o, n * o * o, n * i * o)},
        sources=({"name": f"{count_text(n)} of {i:,}{told} + {o:,} tokens", "kind": "made up"},),
        cached=None if cached_tokens is None else {cell: n * cached_tokens},
    )


def count_text(requests: int) -> str:
    """How many requests, as the name of such a workload begins."""
    return "1 request" if requests == 1 else f"{requests:,} requests"


def equal_lengths(workload: Workload) -> tuple[int, int, int | None] | None:
    """Input, output and cached tokens of each request of a workload, if all are alike [tokens].

    None if they are not; None for cached tokens of which nothing is known.
    """
    n, i, i2, o, o2, _ = workload.total
    if not n or n * i2 != i * i or n * o2 != o * o:
        return None
    cached = workload.cached_tokens
    if cached is not None and cached % n:
        return None
    return i // n, o // n, None if cached is None else cached // n
