"""Static batches, as the paper forms them for plain PyTorch: of one cell, in order, padded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from joulecast.estimator.steps.progress import Progress
from joulecast.estimator.steps.work import LengthArray, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.measurements.engines import MAX_BATCH_SIZE
from joulecast.measurements.table.interpolation import CellKey
from joulecast.traces.errors import InputError
from joulecast.traces.grid import Grid
from joulecast.traces.requests import TokenArray

_MOST_STEPS = 20_000_000


@dataclass(frozen=True)
class StaticBatching:
    """How requests are put into batches.

    Attributes:
        grid: Cells; a batch holds requests of one.
        largest: Cell -> B(I, O), the largest batch.
        longest_request: Input and output of the longest request that fits [tokens]; None if that is
            not known, and a batch of one is taken to fit.
    """

    has_prefix_cache: ClassVar[bool] = False
    reconstruction_sd: ClassVar[float] = 0.12
    """As found where the truth is known (docs/reconstruction.md): batches last as long as their
    longest request, which four figures tell badly."""

    grid: Grid
    largest: Mapping[CellKey, float]
    longest_request: int | None = None

    def batches(self, lengths: LengthArray) -> FloatArray:
        """The batches that requests are served in.

        Args:
            lengths: (i, o) per request [tokens], shape (n, 2).

        Returns:
            Per batch its requests, and the longest input and output among them, to which all others
            are padded; shape (batches, 3).
        """
        rows, columns = self.grid.assign(lengths[:, 0], lengths[:, 1])
        batches: list[tuple[int, int, int]] = []
        width = self.grid.shape[1] + 1
        cells = np.asarray(rows) * width + np.asarray(columns)
        for cell in np.unique(cells).tolist():
            members = lengths[cells == cell]
            row, column = divmod(cell, width)
            size = self._size(row, column, members)
            for first in range(0, len(members), size):
                batch = members[first : first + size]
                batches.append((len(batch), int(batch[:, 0].max()), int(batch[:, 1].max())))
        return np.array(batches, dtype=float).reshape(-1, 3)

    def fewest_steps(self, lengths: LengthArray) -> float:
        """A batch takes a step for each token of its longest output."""
        return float(self.batches(lengths)[:, 2].sum())

    def clip(self, lengths: LengthArray) -> LengthArray:
        """Requests that were drawn; inputs are shortened to what the memory holds."""
        if self.longest_request is None:
            return lengths
        outputs = np.minimum(lengths[:, 1], self.longest_request - 1)
        inputs = np.minimum(lengths[:, 0], self.longest_request - outputs)
        return np.stack([inputs, outputs], axis=1)

    def require_fits(self, lengths: LengthArray) -> None:
        """Refuse requests that do not fit even alone.

        Raises:
            InputError: There is one; its lengths are named.
        """
        if self.longest_request is None or not len(lengths):
            return
        longest = lengths[lengths.sum(axis=1).argmax()].tolist()
        if sum(longest) > self.longest_request:
            raise InputError(
                f"a request of {longest[0]} + {longest[1]} tokens does not fit into the GPU's "
                f"memory, which holds {self.longest_request} of one request"
            )

    def schedule(
        self,
        lengths: LengthArray,
        progress: Progress | None = None,  # noqa: ARG002 - all at once
        cached: TokenArray | None = None,  # noqa: ARG002 - plain PyTorch keeps no prefixes
    ) -> Steps:
        """What every step of the batches feeds; cached tokens are computed like all others."""
        return self._steps(self.batches(lengths), len(lengths))

    def schedule_batch(self, input_tokens: int, output_tokens: int, batch_size: int) -> Steps:
        """What every step of one batch of equal requests feeds."""
        return self._steps(np.array([[batch_size, input_tokens, output_tokens]]), batch_size)

    def _steps(self, batches: FloatArray, requests: int) -> Steps:
        """Per batch a prefill, and a decode step for each further token of its longest output."""
        sizes, inputs, outputs = batches.astype(float).T
        if outputs.sum() > _MOST_STEPS:
            raise InputError(
                f"the longest outputs of the batches add up to {outputs.sum():,.0f} steps, and no "
                f"more than {_MOST_STEPS:,} can be followed; use --method binned"
            )
        steps = outputs.astype(np.int64)
        first = np.repeat(np.cumsum(steps) - steps, steps)
        step = np.arange(steps.sum()) - first  # 0 is the prefill
        n, i = np.repeat(sizes, steps), np.repeat(inputs, steps)
        is_prefill = step == 0
        decoding = np.where(is_prefill, 0.0, n)
        return Steps(
            decoding=decoding,
            prompt_tokens=np.where(is_prefill, n * i, 0.0),
            context=decoding * (i + step),
            pairs=np.where(is_prefill, n * i * i / 2, 0.0),
            sampled=n,
            is_launched=np.zeros(len(n), dtype=bool),  # all are alike: the price of a step holds it
            requests=requests,
        )

    def _size(self, row: int, column: int, members: LengthArray) -> int:
        """B of a cell; beyond the grid as many as hold no more tokens than the last cell's."""
        inputs, outputs = self.grid.input_edges, self.grid.output_edges
        edges = inputs[min(row, len(inputs) - 1)], outputs[min(column, len(outputs) - 1)]
        size = self.largest[edges]
        longest = int(members[:, 0].max()), int(members[:, 1].max())
        if row == len(inputs) or column == len(outputs):
            size *= sum(edges) / max(sum(edges), sum(longest))
        return max(1, min(MAX_BATCH_SIZE, int(size)))
