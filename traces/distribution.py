"""How long the requests of a trace are: true lengths, and those that a grid makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from joulecast.traces.reading.lengths import succeeded
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    from joulecast.traces.binning.timing import TraceInTime


@dataclass(frozen=True)
class Distribution:
    """One kind of length over the requests that did not fail, as shares that are at most so long.

    Attributes:
        lengths: True lengths that occur, ascending [tokens]; empty if only sums are known.
        shares: Share of requests of at most that length, one for each of `lengths`.
        edges: Edges of the grid, ascending [tokens].
        binned_shares: Share of requests within each edge; what the last leaves to 1 lies beyond.
    """

    lengths: tuple[int, ...]
    shares: tuple[float, ...]
    edges: tuple[int, ...]
    binned_shares: tuple[float, ...]


def length_counts(trace: "TraceInTime") -> tuple[dict[int, int], dict[int, int]]:
    """Input and output lengths of the requests that did not fail -> how many have them."""
    requests = succeeded(trace.stored)
    inputs, outputs = (
        trace.select(f"SELECT {side} AS length, COUNT(*) AS requests FROM ({requests}) GROUP BY 1")
        for side in ("input_tokens", "output_tokens")
    )
    return (
        {row["length"]: row["requests"] for row in inputs},
        {row["length"]: row["requests"] for row in outputs},
    )


def distributions(
    workload: Workload, counts: tuple[Mapping[int, int], Mapping[int, int]] | None
) -> tuple[Distribution, Distribution]:
    """Of the input lengths and of the output lengths.

    Args:
        workload: The requests on a grid.
        counts: What `length_counts` gives; None if only the workload is known.
    """
    true_counts = counts or ({}, {})
    edges = workload.grid.input_edges, workload.grid.output_edges
    first, second = (
        _distribution(true_counts[axis], edges[axis], workload.requests.sum(axis=1 - axis).tolist())
        for axis in (0, 1)
    )
    return first, second


def _distribution(
    counts: Mapping[int, int], edges: tuple[int, ...], bins: list[float]
) -> Distribution:
    lengths = tuple(sorted(counts))
    total, binned_total = sum(counts.values()), sum(bins)
    return Distribution(
        lengths,
        tuple(reached / total for reached in accumulate(counts[length] for length in lengths)),
        edges,
        tuple(reached / binned_total for reached in accumulate(bins[:-1])) if binned_total else (),
    )
