"""A trace reduced to what the estimates need: six sums per cell of the grid."""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joulecast.traces.cell_sums import (
    LONGEST,
    NO_REQUESTS,
    CellSums,
    cached_from_list,
    cells_from_lists,
    require_counts,
    total_of,
)
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

    from joulecast.traces.requests import StoredLengths, StoredTokens

_MARK = "joulecast workload"
_VERSION = 1


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
        cached: (row, column) -> prompt tokens of the cell's requests that were in a cache of
            prefixes, none for cells that are not there; None where nothing is known of it.
    """

    grid: Grid
    cells: Mapping[tuple[int, int], CellSums]
    failed: Failed = NOTHING_FAILED
    invalid: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = field(default=(), compare=False)
    arrivals: Slices | None = None
    cached: Mapping[tuple[int, int], int] | None = None

    @classmethod
    def of_lengths(
        cls,
        grid: Grid,
        lengths: "StoredLengths",
        cached: "StoredTokens | None" = None,
    ) -> "Workload":
        """The workload of some requests.

        Args:
            grid: The cells.
            lengths: (i, o) of each, with an output each [tokens], shape (n, 2).
            cached: Tokens of each prompt that were in a cache of prefixes, shape (n,); None if that
                is not known.
        """
        rows, columns = grid.assign(lengths[:, 0], lengths[:, 1])
        occupied = sorted(set(zip(rows.tolist(), columns.tolist(), strict=True)))
        members = {cell: (rows == cell[0]) & (columns == cell[1]) for cell in occupied}
        return cls(
            grid,
            {cell: CellSums.of_lengths(lengths[inside]) for cell, inside in members.items()},
            cached=None
            if cached is None
            else {cell: int(cached[inside].sum()) for cell, inside in members.items()},
        )

    def with_lengths(self, lengths: "StoredLengths", cached: "StoredTokens | None") -> "Workload":
        """Other requests in place of its own, of which no times are known; the rest stays.

        Arguments are those of `of_lengths`; an output is 1 token at least.
        """
        made = Workload.of_lengths(self.grid, lengths.clip(1), cached)
        return replace(self, cells=made.cells, cached=made.cached, arrivals=None)

    def __add__(self, other: "Workload") -> "Workload":
        """Both workloads' requests together; the grids must be equal.

        Where only one knows arrival times, the other's requests are `untimed`; where only one knows
        of cached tokens, the other's requests have none.
        """
        if self.grid != other.grid:
            raise InputError("workloads on different grids do not add; use on_grid() first")
        sources = list(self.sources) + [s for s in other.sources if s not in self.sources]
        cells = _added(self.cells, other.cells)
        return Workload(
            self.grid,
            cells,
            Failed(*(a + b for a, b in zip(self.failed, other.failed, strict=True))),
            {
                problem: self.invalid.get(problem, 0) + other.invalid.get(problem, 0)
                for problem in sorted({*self.invalid, *other.invalid})
            },
            tuple(sources),
            _both(self.arrivals, other.arrivals),
            None
            if self.cached is None and other.cached is None
            else {cell: self.cached_in(cell) + other.cached_in(cell) for cell in cells},
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

    def without_cached(self) -> "Workload":
        """The same requests, as if nothing were known of a cache of prefixes."""
        return replace(self, cached=None)

    def of_cells(self, chosen: Container[tuple[int, int]]) -> "Workload":
        """Only the requests of some cells; when they come is left as it is."""
        cells = {cell: sums for cell, sums in self.cells.items() if cell in chosen}
        cached = None if self.cached is None else {cell: self.cached_in(cell) for cell in cells}
        return replace(self, cells=cells, cached=cached)

    def cached_in(self, cell: tuple[int, int]) -> int:
        """Prompt tokens of a cell that were in a cache of prefixes [tokens]."""
        return 0 if self.cached is None else self.cached.get(cell, 0)

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens that were in a cache of prefixes [tokens]; None where that is not known."""
        return None if self.cached is None else sum(map(self.cached_in, self.cells))

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
        return total_of(sums for cell, sums in self.cells.items() if not self.is_beyond(cell))

    @property
    def beyond(self) -> CellSums:
        """Sums over the requests beyond the grid's last edges."""
        return total_of(sums for cell, sums in self.cells.items() if self.is_beyond(cell))

    @property
    def total(self) -> CellSums:
        """Sums over all requests that did not fail."""
        return total_of(self.cells.values())

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
        cached = dict.fromkeys(cells, 0)
        for cell in self.cells:
            cached[target[cell]] += self.cached_in(cell)
        moved = Workload(grid, cells, self.failed, self.invalid, self.sources, arrivals, cached)
        return moved.without_cached() if self.cached is None else moved

    def with_provenance(self, **facts: str | None) -> "Workload":
        """The same workload with further facts (licence, citation) on every source."""
        stated = {key: value for key, value in facts.items() if value is not None}
        return replace(self, sources=tuple({**source, **stated} for source in self.sources))

    def to_frame(self) -> "pd.DataFrame":
        """A table of pandas, a row per cell: its edges (missing beyond the grid) and its sums."""
        names = ["input_edge_tokens", "output_edge_tokens", *CellSums._fields]
        document = self.to_dict()
        columns = [*zip(*document["cells"], strict=True)] or [()] * len(names)
        if self.cached is not None:
            names.append("cached_tokens")
            columns.append(document["cached"])
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return frame_of(rows, names)

    def to_dict(self) -> dict[str, Any]:
        """The workload as plain JSON values; an edge of null means beyond the grid.

        Where cached tokens are known, `cached` has those of each cell, in the order of `cells`.
        """
        inputs = [*self.grid.input_edges, None]
        outputs = [*self.grid.output_edges, None]
        order = sorted(self.cells)
        arrivals = {} if self.arrivals is None else {"arrivals": self.arrivals.to_dict(order)}
        cached = {"cached": [self.cached_in(cell) for cell in order]}
        return {
            "format": _MARK,
            "version": _VERSION,
            "grid": self.grid.to_dict(),
            "failed": self.failed._asdict(),
            "invalid": dict(sorted(self.invalid.items())),
            "sources": [dict(source) for source in self.sources],
            **({} if self.cached is None else cached),
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
            require_counts([*failed, *invalid.values()], "failed and invalid")
            if failed.input_tokens > failed.requests * LONGEST:
                raise ValueError("failed requests cannot have that many tokens")
            if not all(isinstance(source, dict) for source in document["sources"]):
                raise ValueError("sources are objects")
            cells = cells_from_lists(grid, document["cells"])
            counts = {cell: sums.requests for cell, sums in cells.items()}
            arrivals = document.get("arrivals")  # files of before have none
            slices = None if arrivals is None else Slices.from_dict(arrivals, counts)
            cached = cached_from_list(cells, document.get("cached"))
        except (KeyError, TypeError, ValueError) as error:
            fault = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{name}: is not a valid workload: {fault}") from error
        return cls(grid, cells, failed, invalid, tuple(document["sources"]), slices, cached)


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


def _edges(grid: Grid) -> str:
    rows, columns = grid.shape
    return f"a grid of {rows} x {columns} cells"
