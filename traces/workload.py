"""A trace reduced to what the estimates need: six sums per cell of the grid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joulecast.traces.errors import InputError
from joulecast.traces.files import read_json, write_text
from joulecast.traces.frame import frame_of
from joulecast.traces.grid import Grid
from joulecast.traces.printable import printable_json
from joulecast.traces.slices import Slices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_MARK = "joulecast workload"
_VERSION = 1
_TOO_MANY = 2**126
_LONGEST = 2**31
_SHORT = 2**20
"""So many squares of lengths below this stay below 2^63."""


class CellSums(NamedTuple):
    """Sums over the requests of one cell, exact at any size.

    Attributes:
        requests: n.
        input_tokens: sum i [tokens].
        input_tokens_squared: sum i^2 [tokens^2].
        output_tokens: sum o [tokens].
        output_tokens_squared: sum o^2 [tokens^2].
        input_times_output: sum i*o [tokens^2].
    """

    requests: int
    input_tokens: int
    input_tokens_squared: int
    output_tokens: int
    output_tokens_squared: int
    input_times_output: int

    @classmethod
    def of_lengths(cls, lengths: "npt.NDArray[np.int64]") -> "CellSums":
        """The sums over requests (i, o) [tokens], shape (n, 2)."""
        # Python's integers hold any sum, but take longer.
        is_short = lengths.max(initial=0) < _SHORT and len(lengths) < _SHORT
        i, o = (lengths if is_short else lengths.astype(object)).T
        return cls(*map(int, (len(i), i.sum(), i @ i, o.sum(), o @ o, i @ o)))

    def merged(self, other: "CellSums") -> "CellSums":
        """The sums over both sets of requests."""
        return CellSums(*(a + b for a, b in zip(self, other, strict=True)))


NO_REQUESTS = CellSums(0, 0, 0, 0, 0, 0)


class Failed(NamedTuple):
    """Requests that produced nothing (o = 0), which no estimate covers.

    Attributes:
        requests: How many.
        input_tokens: Their input lengths together [tokens].
    """

    requests: int
    input_tokens: int


NOTHING_FAILED = Failed(0, 0)


@dataclass(frozen=True)
class Workload:
    """What was asked of a serving stack, as sums that merge by addition.

    Attributes:
        grid: The cells.
        cells: (row, column) -> sums, for the cells that have requests. The row after the last input
            edge and the column after the last output edge hold the requests beyond the grid.
        failed: Requests without output.
        invalid: Rows left out because a length was unusable: what was wrong -> how many.
        sources: Where the requests come from; not part of equality.
        arrivals: Requests per slice of time, where times are known.
    """

    grid: Grid
    cells: Mapping[tuple[int, int], CellSums]
    failed: Failed = NOTHING_FAILED
    invalid: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = field(default=(), compare=False)
    arrivals: Slices | None = None

    @classmethod
    def of_lengths(cls, grid: Grid, lengths: "npt.NDArray[np.int64]") -> "Workload":
        """Requests (i, o) with an output each [tokens], shape (n, 2)."""
        rows, columns = grid.assign(lengths[:, 0], lengths[:, 1])
        occupied = sorted(set(zip(rows.tolist(), columns.tolist(), strict=True)))
        return cls(
            grid,
            {
                (row, column): CellSums.of_lengths(lengths[(rows == row) & (columns == column)])
                for row, column in occupied
            },
        )

    def __add__(self, other: "Workload") -> "Workload":
        """Both workloads' requests together; the grids must be equal.

        Where only one knows arrival times, the other's requests are `untimed`.
        """
        if self.grid != other.grid:
            raise InputError("workloads on different grids do not add; use on_grid() first")
        sources = list(self.sources) + [s for s in other.sources if s not in self.sources]
        return Workload(
            self.grid,
            _added(self.cells, other.cells),
            Failed(*(a + b for a, b in zip(self.failed, other.failed, strict=True))),
            {
                problem: self.invalid.get(problem, 0) + other.invalid.get(problem, 0)
                for problem in sorted({*self.invalid, *other.invalid})
            },
            tuple(sources),
            _both(self.arrivals, other.arrivals),
        )

    @property
    def is_reconstructed(self) -> bool:
        """Whether any of its requests were made up to have published figures."""
        return any("reconstructed_from" in source for source in self.sources)

    @property
    def untimed(self) -> int:
        """How many requests are in no slice of time; all, where no times are known."""
        timed = 0 if self.arrivals is None else self.arrivals.requests
        return self.total.requests - timed

    def without_arrivals(self) -> "Workload":
        """The same requests, without when they come."""
        return replace(self, arrivals=None)

    @cached_property
    def requests(self) -> "npt.NDArray[np.float64]":
        """Requests per cell, shape (inputs + 1, outputs + 1), those beyond the grid last."""
        return self.array("requests")

    def array(self, name: str) -> "npt.NDArray[np.float64]":
        """One of the six sums for every cell, as floats.

        Args:
            name: A field of `CellSums`.

        Returns:
            Floats, shape (inputs + 1, outputs + 1); the last row and column hold the requests
            beyond the grid.
        """
        import numpy as np

        rows, columns = self.grid.shape
        values = np.zeros((rows + 1, columns + 1))
        for cell, sums in self.cells.items():
            values[cell] = float(getattr(sums, name))
        return values

    def is_beyond(self, cell: tuple[int, int]) -> bool:
        """Whether a cell (row, column) lies beyond the last edges."""
        rows, columns = self.grid.shape
        return cell[0] == rows or cell[1] == columns

    @property
    def inside(self) -> CellSums:
        """Sums over the requests that the grid holds."""
        return _total(sums for cell, sums in self.cells.items() if not self.is_beyond(cell))

    @property
    def beyond(self) -> CellSums:
        """Sums over the requests beyond the grid's last edges."""
        return _total(sums for cell, sums in self.cells.items() if self.is_beyond(cell))

    @property
    def total(self) -> CellSums:
        """Sums over all requests that did not fail."""
        return _total(self.cells.values())

    def on_grid(self, grid: Grid) -> "Workload":
        """The same requests on a coarser grid.

        Raises:
            InputError: Some edge of `grid` cuts through a cell here.
        """
        if grid == self.grid:
            return self
        # Of requests beyond the last edge only that is known, so the last edges must agree.
        if not self.grid.refines(grid) or (
            grid.input_edges[-1] != self.grid.input_edges[-1]
            or grid.output_edges[-1] != self.grid.output_edges[-1]
        ):
            raise InputError(
                f"the workload is binned on {_edges(self.grid)}, which does not merge into "
                f"{_edges(grid)}; give the trace itself instead of the workload"
            )
        row_of, _ = grid.assign(self.grid.input_edges, [0] * len(self.grid.input_edges))
        _, column_of = grid.assign([0] * len(self.grid.output_edges), self.grid.output_edges)
        rows = [*row_of.tolist(), grid.shape[0]]
        columns = [*column_of.tolist(), grid.shape[1]]
        target = {cell: (rows[cell[0]], columns[cell[1]]) for cell in self.cells}
        cells: dict[tuple[int, int], CellSums] = {}
        for cell, sums in self.cells.items():
            cells[target[cell]] = cells.get(target[cell], NO_REQUESTS).merged(sums)
        arrivals = None if self.arrivals is None else self.arrivals.with_cells(target)
        return Workload(grid, cells, self.failed, self.invalid, self.sources, arrivals)

    def with_provenance(self, **facts: str | None) -> "Workload":
        """The same workload with further facts (licence, citation) on every source."""
        stated = {key: value for key, value in facts.items() if value is not None}
        return replace(self, sources=tuple({**source, **stated} for source in self.sources))

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas, a row per cell: its edges (missing beyond the grid) and its sums."""
        names = "input_edge_tokens", "output_edge_tokens", *CellSums._fields
        cells = self.to_dict()["cells"]
        return frame_of([dict(zip(names, cell, strict=True)) for cell in cells], names)

    def to_dict(self) -> dict[str, Any]:
        """The workload as plain JSON values; an edge of null means beyond the grid."""
        inputs = [*self.grid.input_edges, None]
        outputs = [*self.grid.output_edges, None]
        order = sorted(self.cells)
        arrivals = {} if self.arrivals is None else {"arrivals": self.arrivals.to_dict(order)}
        return {
            "format": _MARK,
            "version": _VERSION,
            "grid": self.grid.to_dict(),
            "failed": self.failed._asdict(),
            "invalid": dict(sorted(self.invalid.items())),
            "sources": [dict(source) for source in self.sources],
            "columns": ["input_edge", "output_edge", *CellSums._fields],
            "cells": [
                [inputs[row], outputs[column], *self.cells[row, column]] for row, column in order
            ],
            **arrivals,
        }

    def to_json(self) -> str:
        """A small readable document: one line per key, per cell and per slice of time."""
        document = self.to_dict()
        cells = _lines(document.pop("cells"))
        arrivals = document.pop("arrivals", None)
        if arrivals is not None:
            slices = _lines(arrivals["slices"], (",", ":"))
            head_of_slices = json.dumps({**arrivals, "slices": []}).removesuffix("]}")
            cells += f'\n  ],\n  "arrivals": {head_of_slices}\n    {slices}\n  ]}}'
        else:
            cells += "\n  ]"
        head = "".join(
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n"
            for key, value in document.items()
        )
        return printable_json(f'{{\n{head}  "cells": [\n    {cells}\n}}\n')

    def _repr_html_(self) -> str:
        """What a notebook shows: requests per cell."""
        from joulecast.traces.html import html_table

        outputs = [*(f"output {edge:,}" for edge in self.grid.output_edges), "longer"]
        inputs = [*(f"input {edge:,}" for edge in self.grid.input_edges), "longer"]
        rows = [
            [name, *(f"{count:,.0f}" if count else "" for count in counts)]
            for name, counts in zip(inputs, self.requests.tolist(), strict=True)
        ]
        return html_table(["requests", *outputs], rows)

    def save(self, path: Path) -> None:
        """Write the workload to a file, whole or not at all."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "Workload":
        """Read a saved workload.

        Raises:
            InputError: Not a workload, or its sums cannot be those of any requests.
        """
        return cls.from_dict(read_json(path, "get the file again"), str(path))

    @classmethod
    def from_dict(cls, document: Any, name: str = "workload") -> "Workload":
        """The workload that `to_dict` wrote; `name` is used in errors."""
        try:
            if document["format"] != _MARK or document["version"] != _VERSION:
                raise ValueError(f"needs format {_MARK!r}, version {_VERSION}")
            if document["columns"] != ["input_edge", "output_edge", *CellSums._fields]:
                raise ValueError("its columns are not those of a workload")
            grid = Grid.from_dict(document["grid"])
            if not all(isinstance(document[key], dict) for key in ("failed", "invalid")):
                raise ValueError("failed and invalid are objects")
            failed = Failed(*(document["failed"][key] for key in Failed._fields))
            invalid = dict(document["invalid"])
            _require_counts([*failed, *invalid.values()], "failed and invalid")
            if failed.input_tokens > failed.requests * _LONGEST:
                raise ValueError("failed requests cannot have that many tokens")
            if not all(isinstance(source, dict) for source in document["sources"]):
                raise ValueError("sources are objects")
            cells = _cells_from_lists(grid, document["cells"])
            counts = {cell: sums.requests for cell, sums in cells.items()}
            arrivals = document.get("arrivals")  # files of before have none
            slices = None if arrivals is None else Slices.from_dict(arrivals, counts)
        except (KeyError, TypeError, ValueError) as error:
            fault = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{name}: is not a valid workload: {fault}") from error
        return cls(grid, cells, failed, invalid, tuple(document["sources"]), slices)


def _lines(rows: list[list[Any]], separators: tuple[str, str] | None = None) -> str:
    return ",\n    ".join(json.dumps(row, separators=separators) for row in rows)


def _both(left: Slices | None, right: Slices | None) -> Slices | None:
    if left is None or right is None:
        return left or right
    return left + right


def _added(
    left: Mapping[tuple[int, int], CellSums], right: Mapping[tuple[int, int], CellSums]
) -> dict[tuple[int, int], CellSums]:
    return {
        cell: left.get(cell, NO_REQUESTS).merged(right.get(cell, NO_REQUESTS))
        for cell in sorted({*left, *right})
    }


def _total(cells: Any) -> CellSums:
    total = NO_REQUESTS
    for sums in cells:
        total = total.merged(sums)
    return total


def _edges(grid: Grid) -> str:
    rows, columns = grid.shape
    return f"a grid of {rows} x {columns} cells"


def _cells_from_lists(grid: Grid, rows: Any) -> dict[tuple[int, int], CellSums]:
    inputs: list[int | None] = [*grid.input_edges, None]
    outputs: list[int | None] = [*grid.output_edges, None]
    cells: dict[tuple[int, int], CellSums] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != 2 + len(CellSums._fields):
            raise ValueError(f"cell {number} does not have {2 + len(CellSums._fields)} values")
        input_edge, output_edge, *values = row
        if input_edge not in inputs or output_edge not in outputs:
            raise ValueError(f"cell {number} ({input_edge}, {output_edge}) is not in its grid")
        _require_counts(values, f"cell {number}")
        cell = inputs.index(input_edge), outputs.index(output_edge)
        if cell in cells:
            raise ValueError(f"cell {number} ({input_edge}, {output_edge}) is there twice")
        cells[cell] = sums = CellSums(*values)
        low, high = _bounds(grid.output_edges, cell[1])
        # Requests without output are not in cells.
        _check_sums(sums, _bounds(grid.input_edges, cell[0]), (max(1, low), high))
    return cells


def _bounds(edges: tuple[int, ...], index: int) -> tuple[int, int | None]:
    """Shortest and longest length in a bin [tokens]."""
    lowest = 0 if index == 0 else edges[index - 1] + 1
    return lowest, edges[index] if index < len(edges) else None


def _require_counts(values: list[Any], what: str) -> None:
    if any(type(value) is not int or not 0 <= value < _TOO_MANY for value in values):
        raise ValueError(f"{what}: counts are whole numbers from 0 to 2^126")


def _check_sums(
    sums: CellSums, inputs: tuple[int, int | None], outputs: tuple[int, int | None]
) -> None:
    """Whether any requests of that cell could have these sums."""
    n = sums.requests
    for name, first, second, (low, high) in (
        ("input", sums.input_tokens, sums.input_tokens_squared, inputs),
        ("output", sums.output_tokens, sums.output_tokens_squared, outputs),
    ):
        if not n * low <= first or (high is not None and first > n * high):
            raise ValueError(f"{n} requests of a cell cannot have {first} {name} tokens")
        if n * second < first * first or not first <= second <= first * (high or _LONGEST):
            raise ValueError(f"the squared {name} lengths of a cell do not fit its lengths")
    cross = sums.input_times_output
    least = max(outputs[0] * sums.input_tokens, inputs[0] * sums.output_tokens)
    if cross < least or n < 1 or cross**2 > sums.input_tokens_squared * sums.output_tokens_squared:
        raise ValueError("a cell's sums do not fit one another")
