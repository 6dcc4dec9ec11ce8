"""A share of a trace's requests: less traffic over the same time.

Each request is kept with one probability, whatever becomes of the others, at the time at which it
came (thinning of a point process: Lewis and Shedler 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from joulecast.traces.cell_sums import CellSums
from joulecast.traces.slices import Slices
from joulecast.traces.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SEED = 20_251_129
_MOST_DRAWN = 2**62


@dataclass(frozen=True)
class Thinning:
    """What was kept of a trace's requests, and what was not.

    Attributes:
        share: Probability with which each was kept, above 0 and below 1.
        left_out: How many were not.
        seed: Of the generator that chose.
    """

    share: float
    left_out: int
    seed: int = SEED

    @property
    def text(self) -> str:
        """What was done, in words."""
        return (
            f"a share of {self.share:g} of the requests: each kept or left out at random (seed "
            f"{self.seed}); the interval does not hold which"
        )

    def to_dict(self) -> dict[str, float]:
        """As plain JSON values."""
        return {"share": self.share, "left_out": self.left_out, "seed": self.seed}


def chosen(count: int, share: float) -> "npt.NDArray[np.bool_]":
    """Which of some requests are kept, shape (count,); with a smaller share, some of these."""
    import numpy as np

    return np.asarray(np.random.default_rng(SEED).random(count) < share)


def thinned_workload(workload: Workload, share: float) -> Workload:
    """A share of requests of which only sums are known.

    How many of each cell, and of each slice of time, is drawn; they have their cell's mean lengths.
    Failed requests and invalid rows stay, as what was read of a log.

    Args:
        workload: The requests.
        share: Probability with which each is kept, above 0 and below 1.
    """
    import numpy as np

    generator = np.random.default_rng(SEED)
    slices = workload.arrivals
    timed = {} if slices is None else slices.per_cell()
    order = sorted(workload.cells)
    untimed = [workload.cells[cell].requests - timed.get(cell, 0) for cell in order]
    kept = dict(zip(order, _drawn(untimed, share, generator), strict=True))
    arrivals = None if slices is None else _thinned_slices(slices, share, generator)
    for cell, count in ({} if arrivals is None else arrivals.per_cell()).items():
        kept[cell] += count
    cells = {cell: _part(workload.cells[cell], count) for cell, count in kept.items() if count}
    cached = {
        cell: workload.cached_in(cell) * sums.requests // workload.cells[cell].requests
        for cell, sums in cells.items()
    }
    return replace(
        workload,
        cells=cells,
        arrivals=arrivals if arrivals is not None and arrivals.counts else None,
        cached=None if workload.cached is None else cached,
    )


def _thinned_slices(slices: Slices, share: float, generator: "np.random.Generator") -> Slices:
    counts: dict[int, dict[tuple[int, int], int]] = {}
    places = [(index, cell) for index, held in sorted(slices.counts.items()) for cell in held]
    before = [slices.counts[index][cell] for index, cell in places]
    for (index, cell), count in zip(places, _drawn(before, share, generator), strict=True):
        if count:
            counts.setdefault(index, {})[cell] = count
    return Slices(slices.exponent, counts)


def _drawn(counts: Sequence[int], share: float, generator: "np.random.Generator") -> list[int]:
    """How many of each so many are kept."""
    if max(counts, default=0) >= _MOST_DRAWN:  # more than a generator counts, and than chance moves
        return [int(count * share) for count in counts]
    return [int(count) for count in generator.binomial(counts, share)]


def _part(sums: CellSums, requests: int) -> CellSums:
    """Sums of some of a cell's requests that have its means, to a token.

    Lengths are rounded down and their squares up, so that no variance comes out below 0.
    """
    n, i, i_squared, o, o_squared, i_times_o = sums
    return CellSums(
        requests,
        input_tokens=i * requests // n,
        input_tokens_squared=-(-i_squared * requests // n),
        output_tokens=o * requests // n,
        output_tokens_squared=-(-o_squared * requests // n),
        input_times_output=i_times_o * requests // n,
    )
