"""What the step model charges for: how much of each kind of work a serving engine does."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from joulecast.measurements.arrays import FloatArray
from joulecast.traces.cell_sums import CellSums

LengthArray = npt.NDArray[np.int64]
"""(i, o) per request [tokens], shape (n, 2)."""

TERMS = ("steps", "tokens", "context", "pairs", "outputs", "requests")
_values = attrgetter(*TERMS)


@dataclass(frozen=True)
class StepCounts:
    """Work of an engine, summed over a run.

    Attributes:
        steps: S, engine steps; each reads the weights and launches the kernels. Of a mixture of
            experts, a step counts as the share of all weights that it reads.
        tokens: T, tokens fed through the network, padding and recomputation included.
        context: K, cached tokens read: the context lengths over all decode steps.
        pairs: P, prompt query-key pairs, i^2 / 2 each.
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
    def of_sums(cls, sums: CellSums) -> "StepCounts":
        """What requests of these sums need, whoever schedules them: all but the steps.

        T = sum (i + o - 1), K = sum of i + k over the o - 1 decode steps k, P = sum i^2 / 2.
        """
        n, i, i2, o, o2, io = (float(value) for value in sums)
        return cls(0.0, i + o - n, io - i + (o2 - o) / 2, i2 / 2, o, n)

    @classmethod
    def of_lengths(cls, lengths: LengthArray) -> "StepCounts":
        """The same from (i, o) per request."""
        return cls.of_sums(CellSums.of_lengths(lengths))


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
    def counts(self) -> StepCounts:
        """Sums over the run."""
        return StepCounts(
            steps=self.total(self.weights_read),
            tokens=self.total(self.decoding + self.prompt_tokens),
            context=self.total(self.context),
            pairs=self.total(self.pairs),
            outputs=self.total(self.sampled),
            requests=float(self.requests),
        )
