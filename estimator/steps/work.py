"""What the step model charges for: how much of each kind of work a serving engine does."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from joulecast.measurements.arrays import FloatArray
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.requests import StoredLengths, StoredTokens, TokenArray
from joulecast.traces.workload import Workload

LengthArray = npt.NDArray[np.int64]
"""(i, o) per request [tokens], shape (n, 2)."""

TERMS = ("steps", "tokens", "context", "pairs", "outputs", "requests")
_values = attrgetter(*TERMS)


class CachedSums(NamedTuple):
    """Sums over requests of which a cache of prefixes holds c tokens of the prompt each.

    All but the last token of a prompt, at most: an engine computes one to know what comes next.

    Attributes:
        tokens: sum c [tokens].
        squared: sum c^2 [tokens^2].
        times_input: sum i*c [tokens^2].
    """

    tokens: float
    squared: float
    times_input: float

    @classmethod
    def of_lengths(cls, lengths: StoredLengths, cached: StoredTokens | None) -> "CachedSums":
        """Of (i, o) per request and cached tokens of each prompt; None for none."""
        if cached is None:
            return NOTHING_CACHED
        i = lengths[:, 0].astype(float)
        c = np.clip(cached, 0, i - 1)
        return cls(float(c.sum()), float(c @ c), float(i @ c))

    @classmethod
    def of_cells(cls, workload: Workload) -> "CachedSums":
        """Of a workload: all prompts of a cell with the same share, as they are drawn from it."""
        shares = [
            (min(workload.cached_in(cell), sums.input_tokens - sums.requests), sums)
            for cell, sums in workload.cells.items()
            if sums.input_tokens > sums.requests
        ]
        parts = [(c, c / sums.input_tokens, sums.input_tokens_squared) for c, sums in shares]
        return cls(
            float(sum(c for c, _, _ in parts)),
            sum(share * share * squared for _, share, squared in parts),
            sum(share * squared for _, share, squared in parts),
        )


NOTHING_CACHED = CachedSums(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class StepCounts:
    """Work of an engine, summed over a run.

    Attributes:
        steps: S, engine steps; each reads the weights and launches the kernels. Of a mixture of
            experts, a step counts as the share of all weights that it reads.
        tokens: T, tokens fed through the network, padding and recomputation included.
        context: K, cached tokens read: the context lengths over all decode steps, and prefixes that
            a cache holds, in every step that feeds what is left of their prompt.
        pairs: P, prompt query-key pairs, i^2 / 2 each, less c^2 / 2 where c tokens are cached.
        outputs: Tokens sampled: the output head, and scheduling a request for a step.
        requests: Requests taken in.
    """

    steps: float
    tokens: float
    context: float
    pairs: float
    outputs: float
    requests: float

    def array(self) -> FloatArray:
        """In the order of `TERMS`, shape (6,)."""
        return np.array(_values(self), dtype=float)

    @classmethod
    def of_sums(cls, sums: CellSums, cached: CachedSums = NOTHING_CACHED) -> "StepCounts":
        """What requests of these sums need, whoever schedules them: all but the steps.

        T = sum (i - c + o - 1), K = sum of c, and of i + k over the o - 1 decode steps k,
        P = sum (i^2 - c^2) / 2, with c tokens of a prompt in a cache of prefixes.
        """
        n, i, i2, o, o2, io = (float(value) for value in sums)
        c, c2, _ = cached
        return cls(0.0, i - c + o - n, io - i + (o2 - o) / 2 + c, (i2 - c2) / 2, o, n)

    @classmethod
    def of_lengths(cls, lengths: LengthArray, cached: TokenArray | None = None) -> "StepCounts":
        """The same from (i, o) per request, and cached tokens of each prompt."""
        return cls.of_sums(CellSums.of_lengths(lengths), CachedSums.of_lengths(lengths, cached))


@dataclass(frozen=True)
class PrefixReads:
    """What steps read of prefixes that a cache holds; arrays of shape (steps,).

    Attributes:
        prompts: Prompts fed whose prefix is read.
        tokens: Tokens of these prefixes.
        pairs: Query-key pairs of tokens fed with those read, which `Steps.pairs` hold, too.
    """

    prompts: FloatArray
    tokens: FloatArray
    pairs: FloatArray

    @classmethod
    def of(cls, prompts: FloatArray, tokens: FloatArray, pairs: FloatArray) -> "PrefixReads | None":
        """None where nothing is read."""
        return cls(prompts, tokens, pairs) if tokens.any() else None

    def part(self, chosen: slice) -> "PrefixReads":
        """Of some of the steps."""
        return PrefixReads(self.prompts[chosen], self.tokens[chosen], self.pairs[chosen])

    def within(self, window: float | None) -> FloatArray:
        """Tokens that a layer reads, which sees so many of each request; None for all."""
        if window is None:
            return self.tokens
        return np.minimum(self.tokens, window * self.prompts)


@dataclass(frozen=True)
class Steps:
    """What each step of a run feeds; arrays of shape (steps,).

    Equal steps may share a row, which then has the mean of what they read.

    Attributes:
        decoding: Requests that decode.
        prompt_tokens: Prompt tokens fed.
        context: Cached tokens that the decoding requests read, the new one included.
        pairs: Prompt query-key pairs.
        sampled: Tokens that come out.
        is_launched: Whether the step is launched kernel by kernel, by an engine that runs others
            as CUDA graphs; such a step takes at least as long as the host needs for that.
        requests: Requests served, a number.
        share_read: Share of all weights that each reads; None where all are read, as of every dense
            model.
        repeats: How many equal steps each row stands for; None where each is one.
        seconds: How long each lasted, on average over equal ones [s]; None where nobody followed it
            in time.
        prefixes: What each reads of prefixes that a cache holds; None where none does.
        padding: Tokens that each computes for nothing, since a recorded graph has so many; None
            where none does. In no count.
    """

    decoding: FloatArray
    prompt_tokens: FloatArray
    context: FloatArray
    pairs: FloatArray
    sampled: FloatArray
    is_launched: npt.NDArray[np.bool_]
    requests: int
    share_read: FloatArray | None = None
    repeats: FloatArray | None = None
    seconds: FloatArray | None = None
    prefixes: PrefixReads | None = None
    padding: FloatArray | None = None

    def total(self, values: FloatArray) -> float:
        """The sum over all steps of a quantity that is the same in the equal ones.

        Args:
            values: Of each row, shape (steps,).
        """
        return float(values.sum() if self.repeats is None else values @ self.repeats)

    @property
    def weights_read(self) -> FloatArray:
        """How often each step reads all weights: once, or a part of them; shape (steps,)."""
        return np.ones(len(self.decoding)) if self.share_read is None else self.share_read

    @property
    def tokens_read(self) -> FloatArray:
        """Cached tokens that each step reads, for requests that decode and for prompts."""
        return self.context if self.prefixes is None else self.context + self.prefixes.tokens

    @property
    def is_pieced(self) -> npt.NDArray[np.bool_]:
        """Whether a recorded graph is launched in pieces, attention apart, since it feeds prompts.

        Shape (steps,). An engine that records none pads none.
        """
        if self.padding is None:
            return np.zeros(len(self.decoding), dtype=bool)
        return (self.prompt_tokens > 0) & ~self.is_launched

    @property
    def may_wait(self) -> npt.NDArray[np.bool_]:
        """Whether the GPU may wait for the host to launch a step, shape (steps,)."""
        return self.is_launched | self.is_pieced

    @property
    def padded(self) -> FloatArray:
        """Tokens that each step computes for nothing, shape (steps,)."""
        return np.zeros(len(self.decoding)) if self.padding is None else self.padding

    @property
    def tokens_computed(self) -> FloatArray:
        """Tokens that each step passes through the layers, padding among them, shape (steps,)."""
        return self.decoding + self.prompt_tokens + self.padded

    @property
    def counts(self) -> StepCounts:
        """Sums over the run."""
        return StepCounts(
            steps=self.total(self.weights_read),
            tokens=self.total(self.decoding + self.prompt_tokens),
            context=self.total(self.tokens_read),
            pairs=self.total(self.pairs),
            outputs=self.total(self.sampled),
            requests=float(self.requests),
        )


def joined(runs: Sequence[Steps], requests: int) -> Steps:
    """Steps of several runs, one after the other.

    Args:
        runs: They; what one of them leaves out, all do, but for prefixes.
        requests: Served by all.
    """

    def column(name: str) -> FloatArray:
        return np.concatenate([getattr(run, name) for run in runs])

    def column_if_any(name: str) -> FloatArray | None:
        return None if getattr(runs[0], name) is None else column(name)

    return Steps(
        decoding=column("decoding"),
        prompt_tokens=column("prompt_tokens"),
        context=column("context"),
        pairs=column("pairs"),
        sampled=column("sampled"),
        is_launched=np.concatenate([run.is_launched for run in runs]),
        requests=requests,
        share_read=column_if_any("share_read"),
        repeats=column_if_any("repeats"),
        seconds=column_if_any("seconds"),
        prefixes=_joined_prefixes(runs),
        padding=column_if_any("padding"),
    )


def _joined_prefixes(runs: Sequence[Steps]) -> PrefixReads | None:
    reads = []
    for run in runs:
        nothing = np.zeros(len(run.decoding))
        prefixes = run.prefixes or PrefixReads(nothing, nothing, nothing)
        reads.append((prefixes.prompts, prefixes.tokens, prefixes.pairs))
    prompts, tokens, pairs = (np.concatenate(columns) for columns in zip(*reads, strict=True))
    return PrefixReads.of(prompts, tokens, pairs)
