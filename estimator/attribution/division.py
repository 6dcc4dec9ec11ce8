"""How the energy of steps is divided among prompts, cached tokens and outputs.

Some of what a step takes is for single tokens: their products, the cache that they read, prompts'
attention, sampling. That is theirs. The rest is for all that it feeds together: weights read,
kernels launched, idle power as long as it lasts. That is divided equally among the tokens fed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecast.estimator.steps.work import PrefixReads, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.requests import StoredLengths, StoredTokens

PHASES = ("input", "cached", "output")
"""Prompt tokens that are computed, those in a cache of prefixes, and tokens that come out."""


@dataclass(frozen=True)
class Division:
    """What steps, or requests, take for each of `PHASES`.

    Attributes:
        input_j: For prompt tokens that are computed [J], shape (rows,).
        cached_j: For those that are read from a cache of prefixes [J], likewise.
        output_j: For tokens that come out [J], likewise.
    """

    input_j: FloatArray
    cached_j: FloatArray
    output_j: FloatArray

    def total(self, steps: Steps) -> FloatArray:
        """Sums over the steps, in the order of `PHASES` [J], shape (3,)."""
        parts_j = self.input_j, self.cached_j, self.output_j
        return np.array([steps.total(part_j) for part_j in parts_j])


def prompt_share(steps: Steps) -> FloatArray:
    """Share of the tokens that each step feeds which are of prompts, shape (steps,)."""
    return steps.prompt_tokens / np.maximum(1e-9, steps.decoding + steps.prompt_tokens)


def weighted(steps: Steps, weights: FloatArray) -> Steps:
    """The same, each counted so many times in whatever adds up over steps.

    Args:
        steps: What each feeds.
        weights: Shape (steps,).
    """
    return replace(steps, repeats=weights if steps.repeats is None else weights * steps.repeats)


def as_steps(lengths: StoredLengths, cached: StoredTokens | None = None) -> Steps:
    """What each request needs, whoever schedules it, in a row of its own.

    Args:
        lengths: (i, o) of each [tokens], shape (n, 2).
        cached: Tokens of each prompt that are read from a cache of prefixes, shape (n,).
    """
    i, o = np.maximum(lengths, 1).astype(float).T
    c = np.zeros(len(i)) if cached is None else cached_of(lengths, cached).astype(float)
    return Steps(
        decoding=o - 1,
        prompt_tokens=i - c,
        context=i * (o - 1) + o * (o - 1) / 2,
        pairs=(i * i - c * c) / 2,
        sampled=o,
        is_launched=np.zeros(len(i), dtype=bool),
        requests=len(i),
        prefixes=PrefixReads.of((c > 0).astype(float), c, c * (i - c)),
    )


def sums_as_steps(cells: Sequence[CellSums], cached: Sequence[int]) -> Steps:
    """What the requests of some cells need, those of each in a row.

    Args:
        cells: Sums over the requests of each.
        cached: Prompt tokens of each that are read from a cache of prefixes [tokens]; every prompt
            of a cell has the same share of them.
    """
    n, i, ii, o, oo, io = np.array(cells, dtype=float).reshape(-1, len(CellSums._fields)).T
    i, ii = np.maximum(i, n), np.maximum(ii, n)  # an empty prompt counts as one token
    c = np.clip(np.array(cached, dtype=float), 0, i - n)
    share = c / i
    return Steps(
        decoding=o - n,
        prompt_tokens=i - c,
        context=io - i + (oo - o) / 2,
        pairs=(1 - share**2) * ii / 2,
        sampled=o,
        is_launched=np.zeros(len(n), dtype=bool),
        requests=int(n.sum()),
        prefixes=PrefixReads.of(n * (c > 0), c, share * (1 - share) * ii),
    )


def cached_of(lengths: StoredLengths, cached: StoredTokens) -> StoredTokens:
    """Cached tokens of each prompt that are read: one at least is computed, shape (n,)."""
    return np.asarray(np.clip(cached, 0, np.maximum(lengths[:, 0], 1) - 1))
