"""The grid of length bins: requests are rounded up to the nearest measured lengths.

Source: Fernandez et al. 2025 (arXiv 2504.17674), section 4.1.
"""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LONGEST = 2**31
_MOST_EDGES = 64


@dataclass(frozen=True)
class Grid:
    """Ascending edges, in tokens, for input and output lengths.

    A request (i, o) belongs to the cell (I*, O*) of the smallest edges I* >= i and O* >= o.

    Attributes:
        input_edges: Upper edges of the input bins, ascending [tokens].
        output_edges: Upper edges of the output bins, ascending [tokens].
    """

    input_edges: tuple[int, ...]
    output_edges: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, edges in (("input", self.input_edges), ("output", self.output_edges)):
            if not edges or any(type(edge) is not int or edge < 1 for edge in edges):
                raise ValueError(f"{name} edges must be whole numbers of tokens, 1 or more")
            if edges[-1] > _LONGEST or len(edges) > _MOST_EDGES:
                raise ValueError(f"{name} edges: at most {_MOST_EDGES}, none over 2^31 tokens")
            if any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"{name} edges must ascend")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of input bins and of output bins."""
        return len(self.input_edges), len(self.output_edges)

    def cells(self) -> list[tuple[int, int]]:
        """All cells as (input edge, output edge), outputs changing fastest [tokens]."""
        return list(product(self.input_edges, self.output_edges))

    def assign(
        self, input_tokens: "npt.ArrayLike", output_tokens: "npt.ArrayLike"
    ) -> "tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]":
        """Row and column of each request's cell.

        Args:
            input_tokens: Input lengths [tokens], shape (n,).
            output_tokens: Output lengths [tokens], shape (n,).

        Returns:
            Indices into `input_edges` and `output_edges`, shape (n,) each. A length beyond the last
            edge gets the index one past it; such a request lies beyond the grid.
        """
        import numpy as np  # binning a trace takes less time than importing it

        rows = np.searchsorted(self.input_edges, np.asarray(input_tokens), side="left")
        columns = np.searchsorted(self.output_edges, np.asarray(output_tokens), side="left")
        return rows, columns

    def refines(self, coarser: "Grid") -> bool:
        """Whether every edge of `coarser` is an edge here, so that our cells merge into its."""
        return set(coarser.input_edges) <= set(self.input_edges) and set(
            coarser.output_edges
        ) <= set(self.output_edges)

    def to_dict(self) -> dict[str, list[int]]:
        """The edges as plain lists, for JSON [tokens]."""
        return {"input_edges": list(self.input_edges), "output_edges": list(self.output_edges)}

    @classmethod
    def from_dict(cls, document: Any) -> "Grid":
        """The grid that `to_dict` wrote.

        Raises:
            ValueError: Anything but two ascending lists of whole numbers.
        """
        if not isinstance(document, dict) or not all(
            isinstance(document.get(key), list) for key in ("input_edges", "output_edges")
        ):
            raise ValueError("a grid needs the lists input_edges and output_edges")
        return cls(tuple(document["input_edges"]), tuple(document["output_edges"]))


PAPER_GRID = Grid(
    input_edges=(32, 128, 256, 512, 1024, 2048, 4096, 8192),
    output_edges=(8, 16, 32, 64, 128, 256, 512),
)
"""The 56 cells that the paper lists."""

POWER_OF_TWO_GRID = Grid(
    input_edges=tuple(2**m for m in range(4, 14)),
    output_edges=PAPER_GRID.output_edges,
)
"""The 70 cells of the paper's formula {2^m, 4 <= m <= 13}; its list leaves out 16 and 64."""

GRIDS = {"paper": PAPER_GRID, "power-of-two": POWER_OF_TWO_GRID}
