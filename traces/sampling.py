"""Requests with the lengths of a workload, of which only sums are known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from joulecast.traces.cell_sums import CellSums
from joulecast.traces.errors import InputError
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from joulecast.traces.requests import TimedRequests

Tail = Literal["gamma", "uniform"]

_ALL_AT_THE_ENDS = 1e-6


def sample_lengths(
    workload: Workload,
    count: int,
    generator: "np.random.Generator",
    tail: Tail = "gamma",
) -> "npt.NDArray[np.int64]":
    """Draw requests, in random order, whose lengths are distributed as a workload's.

    Each cell gives its share of the requests; within it, input and output lengths are drawn
    independently from beta distributions over its bin with the mean and variance that its sums
    tell. Beyond the last edge sums tell no longest length: gamma distributions have rare lengths
    far above the mean, uniform ones end soon after it.

    Args:
        workload: Its failed and invalid requests are left out.
        count: How many. As many as the workload has: every cell gives exactly its own.
        generator: Source of randomness.
        tail: How lengths beyond the last edge are distributed.

    Returns:
        (i, o) per request [tokens], 1 or more each, shape (count, 2).
    """
    import numpy as np

    cells = list(workload.cells.items())
    counts = [sums.requests for _, sums in cells]
    if count != sum(counts):
        counts = generator.multinomial(count, np.array(counts, dtype=float) / sum(counts)).tolist()
    drawn = [
        np.stack(
            [
                _draw(_moments(sums, "input"), workload.grid.input_edges, row, k, generator, tail),
                _draw(
                    _moments(sums, "output"),
                    workload.grid.output_edges,
                    column,
                    k,
                    generator,
                    tail,
                ),
            ],
            axis=1,
        )
        for ((row, column), sums), k in zip(cells, counts, strict=True)
        if k
    ]
    lengths = np.concatenate(drawn) if drawn else np.zeros((0, 2))
    return generator.permutation(np.maximum(1, np.rint(lengths)).astype(np.int64))


def sample_with_cached(
    workload: Workload,
    count: int,
    generator: "np.random.Generator",
    tail: Tail = "gamma",
) -> "tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]":
    """Draw requests as `sample_lengths` does, with what of their prompts is in a cache.

    Returns:
        (i, o) per request [tokens], shape (count, 2), and `cached_by_share` of them; None where the
        workload knows nothing of a cache.
    """
    lengths = sample_lengths(workload, count, generator, tail)
    return lengths, None if workload.cached is None else cached_by_share(workload, lengths)


def cached_by_share(
    workload: Workload, lengths: "npt.NDArray[np.int64]"
) -> "npt.NDArray[np.int64]":
    """How many tokens of each prompt are in a cache of prefixes.

    The same share of each prompt of a cell, up to a token, as of all input tokens of that cell
    together: how it differs from prompt to prompt, sums do not tell.

    Args:
        workload: One that knows of cached tokens.
        lengths: (i, o) of requests like its own [tokens], shape (n, 2).

    Returns:
        Tokens, shape (n,).
    """
    import numpy as np

    rows, columns = workload.grid.assign(lengths[:, 0], lengths[:, 1])
    shares = np.zeros(workload.requests.shape)
    for cell, sums in workload.cells.items():
        shares[cell] = workload.cached_in(cell) / max(1, sums.input_tokens)
    order = np.lexsort((columns, rows))
    cached = np.zeros(len(lengths), dtype=np.int64)
    cached[order] = _parts(lengths[order, 0], shares[rows, columns][order])
    return cached


def sample_requests(
    workload: Workload, generator: "np.random.Generator", tail: Tail = "gamma"
) -> "TimedRequests":
    """Draw a workload's requests with lengths and times, and cached tokens where it knows these.

    Every slice of time gives exactly its own requests of each cell, at moments spread evenly over
    it; their lengths are drawn as in `sample_lengths`, apart from the times. Requests without a
    time (`Workload.untimed`) are left out.

    Args:
        workload: One that knows when its requests come.
        generator: Source of randomness.
        tail: How lengths beyond the last edge are distributed.

    Returns:
        The requests in the order in which they come, counted from the first.

    Raises:
        InputError: The workload knows no arrival times.
    """
    import numpy as np

    from joulecast.traces.requests import TimedRequests

    slices = workload.arrivals
    if slices is None:
        raise InputError("the workload knows no arrival times; bin a trace that has them")
    begins: dict[tuple[int, int], list[int]] = {}
    counts: dict[tuple[int, int], list[int]] = {}
    first = min(slices.counts)
    for index, held in slices.counts.items():
        for cell, count in held.items():
            begins.setdefault(cell, []).append(index - first)
            counts.setdefault(cell, []).append(count)
    moments, drawn = [], []
    for cell in sorted(counts):
        index_of = np.repeat(np.array(begins[cell], dtype=float), counts[cell])
        moments.append((index_of + generator.random(len(index_of))) * slices.width_s)
        alone = workload.of_cells({cell})
        drawn.append(sample_with_cached(alone, len(index_of), generator, tail))
    lengths, cached = zip(*drawn, strict=True)
    return TimedRequests.in_order(
        np.concatenate(moments),
        np.concatenate(lengths),
        None if workload.cached is None else np.concatenate(cached),
    )


def _parts(
    tokens: "npt.NDArray[np.int64]", shares: "npt.NDArray[np.float64]"
) -> "npt.NDArray[np.int64]":
    """Whole numbers of tokens that are given shares of some, and so of their sum up to one."""
    import numpy as np

    ends = np.floor(np.cumsum(tokens * shares) + 1 / 2)
    return np.clip(np.diff(ends, prepend=0.0), 0, tokens).astype(np.int64)


def _moments(sums: CellSums, side: str) -> tuple[float, float]:
    """Mean [tokens] and variance [tokens^2] of one kind of length in a cell."""
    n = sums.requests
    first, second = getattr(sums, f"{side}_tokens"), getattr(sums, f"{side}_tokens_squared")
    return first / n, (n * second - first * first) / (n * n)


def _draw(
    moments: tuple[float, float],
    edges: Sequence[int],
    index: int,
    count: int,
    generator: "np.random.Generator",
    tail: Tail,
) -> "npt.NDArray[np.float64]":
    import numpy as np

    mean, variance = moments
    low = 0 if index == 0 else edges[index - 1] + 1
    if variance == 0 or mean <= low:
        return np.full(count, mean)
    if index == len(edges):
        above = mean - low
        if tail == "uniform":
            half = min(above, (3 * variance) ** 0.5)
            return generator.uniform(mean - half, mean + half, count)
        return low + generator.gamma(above * above / variance, variance / above, count)
    width = edges[index] - low
    share = (mean - low) / width
    concentration = share * (1 - share) * width * width / variance - 1
    if concentration < _ALL_AT_THE_ENDS:
        return np.where(generator.random(count) < share, float(edges[index]), float(low))
    a, b = share * concentration, (1 - share) * concentration
    return low + width * generator.beta(a, b, count)
