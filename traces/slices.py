"""How many requests of each cell come in each slice of time, so that sums can be served in time."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joulecast.traces.errors import InputError

Cell = tuple[int, int]

MOST_SLICES = 4096
"""With a request in them: pauses cost nothing, and bursts within a second decide how long requests
wait. Of `MANY` requests and more, slices are counted from the first to the last, empty or not, so
that reading a log of any size takes little memory."""

MANY = 200_000

_LEAST_EXPONENT, _MOST_EXPONENT = -6, 64
_FARTHEST = 2**60
_LONGEST_GAP_S = 20 * 365.25 * 86_400
"""Two logs may lie years apart, but 1970 and any log lie further apart than this."""


@dataclass(frozen=True)
class Slices:
    """Requests per slice of time and cell.

    Slice k begins at k times the width on the trace's own clock: seconds since 1970 (UTC), or since
    whenever the trace counts. A width is a power of two, so that slices of different widths merge
    by addition: the coarser width wins.

    Attributes:
        exponent: Slices are 2^exponent seconds wide.
        counts: Slice -> cell (row, column) -> requests, 1 or more; empty slices are left out.
    """

    exponent: int
    counts: Mapping[int, Mapping[Cell, int]]

    @property
    def width_s(self) -> float:
        """How long a slice is [s]."""
        return 2.0**self.exponent

    @property
    def requests(self) -> int:
        """Requests in all slices."""
        return sum(sum(cells.values()) for cells in self.counts.values())

    @property
    def begin_s(self) -> float:
        """When the first slice with a request begins, on the trace's own clock [s]."""
        return min(self.counts) * self.width_s

    @property
    def span_s(self) -> float:
        """From the beginning of the first slice with a request to the end of the last [s]."""
        return (max(self.counts) - min(self.counts) + 1) * self.width_s

    def per_cell(self) -> dict[Cell, int]:
        """Requests of each cell that have a time."""
        totals: dict[Cell, int] = {}
        for cells in self.counts.values():
            _add(totals, cells)
        return totals

    def at_exponent(self, exponent: int) -> "Slices":
        """The same in slices as wide or wider."""
        shift = exponent - self.exponent
        if shift == 0:
            return self
        merged: dict[int, dict[Cell, int]] = {}
        for index, cells in sorted(self.counts.items()):
            _add(merged.setdefault(index >> shift, {}), cells)
        return Slices(exponent, merged)

    def within_bounds(self) -> "Slices":
        """The same in slices as wide as it takes to have at most `MOST_SLICES` of them."""
        if not self.counts:
            return self
        first, last = min(self.counts), max(self.counts)
        is_large = self.requests >= MANY

        def are_few(shift: int) -> bool:
            if is_large:
                return (last >> shift) - (first >> shift) < MOST_SLICES
            return len({index >> shift for index in self.counts}) <= MOST_SLICES

        return self.at_exponent(self.exponent + bisect_left(range(128), True, key=are_few))

    def __add__(self, other: "Slices") -> "Slices":
        """The requests of both.

        Raises:
            InputError: They are not on one clock: one counts from 1970, the other from its start.
        """
        exponent = max(self.exponent, other.exponent)
        counts = {index: dict(cells) for index, cells in self.at_exponent(exponent).counts.items()}
        for index, cells in other.at_exponent(exponent).counts.items():
            _add(counts.setdefault(index, {}), cells)
        both = Slices(exponent, dict(sorted(counts.items())))
        if both.counts and both.span_s > max(_span_s(self), _span_s(other)) + _LONGEST_GAP_S:
            raise InputError(
                "the workloads' arrival times lie decades apart: one counts from 1970 and the "
                "other from its start; take without_arrivals() of one, or bin it without its times"
            )
        return both.within_bounds()

    def with_cells(self, target: Mapping[Cell, Cell]) -> "Slices":
        """The same requests in other cells.

        Args:
            target: Cell here -> cell there.
        """
        moved: dict[int, dict[Cell, int]] = {}
        for index, cells in self.counts.items():
            into = moved.setdefault(index, {})
            for cell, count in cells.items():
                into[target[cell]] = into.get(target[cell], 0) + count
        return Slices(self.exponent, moved)

    def busiest(self, most_s: float = 64.0) -> tuple[float, float]:
        """The highest rate over a while: about a minute, less where all of it is not much longer.

        Returns:
            Requests a second in the busiest stretch [1/s], and how long such a stretch is [s].
        """
        exponent = self.exponent
        while 2.0 ** (exponent + 1) <= min(most_s, self.span_s / 4):
            exponent += 1
        coarse = self.at_exponent(exponent)
        most = max(sum(cells.values()) for cells in coarse.counts.values())
        return most / coarse.width_s, coarse.width_s

    def to_dict(self, cells: Iterable[Cell]) -> dict[str, Any]:
        """As plain JSON values.

        Args:
            cells: Those of the workload, in the order in which it lists them.

        Returns:
            The width, the number of the first slice, and per slice its number from there, then the
            place of a cell in that list and how many requests of it come, in turns.
        """
        place = {cell: k for k, cell in enumerate(cells)}
        first = min(self.counts)
        width_s = self.width_s
        return {
            "slice_s": int(width_s) if width_s >= 1 else width_s,
            "first_slice": first,
            "slices": [
                [index - first, *(x for cell in sorted(held) for x in (place[cell], held[cell]))]
                for index, held in sorted(self.counts.items())
            ],
        }

    @classmethod
    def from_dict(cls, document: Any, cells: Mapping[Cell, int]) -> "Slices":
        """The slices that `to_dict` wrote.

        Args:
            document: What it gave.
            cells: Those of the workload, in its order -> how many requests each has.

        Raises:
            ValueError: They cannot be those of these cells.
        """
        exponent = _exponent_of(document["slice_s"])
        first, order = document["first_slice"], list(cells)
        if type(first) is not int or abs(first) > _FARTHEST:
            raise ValueError("first_slice is a whole number")
        counts: dict[int, dict[Cell, int]] = {}
        for number, row in enumerate(document["slices"], start=1):
            index, held = _slice_of(row, number, order)
            if first + index <= next(reversed(counts), first - 1):
                raise ValueError(f"slice {number} does not come after the one before it")
            counts[first + index] = held
        slices = cls(exponent, counts)
        if not counts or slices.within_bounds() is not slices:
            raise ValueError(f"arrivals need 1 to {MOST_SLICES:,} slices")
        if any(count > cells[cell] for cell, count in slices.per_cell().items()):
            raise ValueError("a cell has more requests in slices of time than in all")
        return slices


def exponent_for(first_s: float, last_s: float, requests: int) -> int:
    """The exponent at which to count requests, before `Slices.within_bounds`.

    Args:
        first_s: The first arrival [s].
        last_s: The last [s].
        requests: How many come.
    """
    exponent = _LEAST_EXPONENT
    while max(abs(first_s), abs(last_s)) / 2.0**exponent >= _FARTHEST:
        exponent += 1
    if requests >= MANY:
        while last_s // 2.0**exponent - first_s // 2.0**exponent >= MOST_SLICES:
            exponent += 1
    return exponent


def _span_s(slices: Slices) -> float:
    return slices.span_s if slices.counts else 0.0


def _add(totals: dict[Cell, int], cells: Mapping[Cell, int]) -> None:
    for cell, count in cells.items():
        totals[cell] = totals.get(cell, 0) + count


def _exponent_of(width_s: Any) -> int:
    for exponent in range(_LEAST_EXPONENT, _MOST_EXPONENT):
        if type(width_s) in (int, float) and width_s == 2.0**exponent:
            return exponent
    raise ValueError("slice_s is a power of two, 1/64 s or more")


def _slice_of(row: Any, number: int, order: list[Cell]) -> tuple[int, dict[Cell, int]]:
    """The number of a slice and what comes in it."""
    if not isinstance(row, list) or len(row) < 3 or len(row) % 2 == 0:
        raise ValueError(f"slice {number} is its number, then a cell and its requests in turns")
    if any(type(value) is not int for value in row) or abs(row[0]) > _FARTHEST:
        raise ValueError(f"slice {number} has something else than whole numbers")
    index, places, counts = row[0], row[1::2], row[2::2]
    if not all(0 <= place < len(order) for place in places) or len(set(places)) < len(places):
        raise ValueError(f"slice {number} names cells that are not there, or one twice")
    if min(counts) < 1:
        raise ValueError(f"slice {number} has fewer than 1 request of a cell")
    return index, {order[place]: count for place, count in zip(places, counts, strict=True)}
