"""The requests of an estimate one by one, and the part of it that each takes.

A request's part goes by its tokens alone: what they take by themselves, and what is divided among
all tokens of the kind in equal shares. So equal requests have equal parts, whoever else was served
beside them. Waiting is divided as the rest is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from joulecast.estimator.attribution.division import PHASES, Division, as_steps, cached_of
from joulecast.estimator.steps.work import LengthArray, Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.requests import TokenArray

if TYPE_CHECKING:
    from joulecast.estimator.attribution.attribution import Attribution

PIECE = 100_000
"""As many requests are divided at a time."""


@dataclass(frozen=True, eq=False)
class ServedRequests:
    """Requests that are estimated.

    Attributes:
        lengths: (i, o) of each, shape (n, 2) [tokens].
        cached: Tokens of each prompt that were in a cache of prefixes, shape (n,) [tokens]; None if
            nothing is known of it.
        rows: Which row of the trace each is, from 1, shape (n,); None if that is not known.
        arrival_s: When each came, from the first [s], shape (n,); None if all were there at once.
        first_s: When it had its first token [s], likewise.
        last_s: When it had its last [s], likewise.
    """

    lengths: LengthArray
    cached: TokenArray | None = None
    rows: TokenArray | None = None
    arrival_s: FloatArray | None = None
    first_s: FloatArray | None = None
    last_s: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def within(self, longest: int | None) -> "ServedRequests":
        """Those of at most so many tokens, input and output together; None for any."""
        if longest is None:
            return self
        fits = self.lengths.sum(axis=1) <= longest
        return self if fits.all() else self.part(fits)

    def part(self, chosen: "slice | np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "ServedRequests":
        """Some of them."""

        def of(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None") -> object:
            return None if values is None else values[chosen]

        names = "cached", "rows", "arrival_s", "first_s", "last_s"
        others = {name: of(getattr(self, name)) for name in names}
        return replace(self, lengths=self.lengths[chosen], **others)

    def pieces(self) -> Iterator["ServedRequests"]:
        """All of them, some at a time."""
        for first in range(0, len(self), PIECE):
            yield self.part(slice(first, first + PIECE))

    @property
    def cached_tokens(self) -> TokenArray:
        """Tokens of each prompt that are read from a cache, at most, shape (n,) [tokens]."""
        if self.cached is None:
            return np.zeros(len(self), dtype=np.int64)
        return cached_of(self.lengths, self.cached)


@dataclass(frozen=True)
class _Shares:
    """How what a kind of tokens takes is divided: so much of what each has by itself, and a rate.

    Attributes:
        of_own: Share of the energy that requests take by themselves; 1 where tokens share more.
        rate_j: Beside that, for each token [J].
    """

    of_own: float
    rate_j: float

    @classmethod
    def of(cls, energy_j: float, own_j: float, tokens: float) -> "_Shares":
        """From all of the energy, what requests take by themselves [J], and their tokens."""
        if energy_j >= own_j and tokens:
            return cls(1.0, (energy_j - own_j) / tokens)
        # Nothing is shared, or what is drawn in place of the requests takes less than these do.
        return cls(energy_j / own_j if own_j else 0.0, 0.0)


@dataclass(frozen=True)
class RequestParts:
    """What each of some requests takes; arrays of shape (n,).

    Attributes:
        input_j: For its prompt, as far as that is computed [J].
        cached_j: For what of it is read from a cache of prefixes [J].
        output_j: For its output [J].
        idle_j: Its part of waiting [J].
    """

    input_j: FloatArray
    cached_j: FloatArray
    output_j: FloatArray
    idle_j: FloatArray

    @property
    def energy_j(self) -> FloatArray:
        """All of it [J]."""
        return self.input_j + self.cached_j + self.output_j + self.idle_j


def divider(
    requests: ServedRequests, attribution: "Attribution"
) -> Callable[[ServedRequests], RequestParts]:
    """What divides an estimate among its requests.

    Args:
        requests: All of them.
        attribution: What they take together.

    Returns:
        The parts of some of them; those of all sum to the estimate.
    """
    own_j, tokens = np.zeros(len(PHASES)), np.zeros(len(PHASES))
    for piece in requests.pieces():
        steps = _steps_of(piece, attribution)
        own_j += attribution.own_j(steps).total(steps)
        tokens += [float(column.sum()) for column in _tokens(steps)]
    wholes_j = [attribution.shares[phase].energy_j for phase in PHASES]
    shares = [_Shares.of(*each) for each in zip(wholes_j, own_j, tokens, strict=True)]
    idle = attribution.idle_j / sum(wholes_j)

    def parts_of(piece: ServedRequests) -> RequestParts:
        steps = _steps_of(piece, attribution)
        own = _columns(attribution.own_j(steps))
        parts = [
            share.of_own * own_j + share.rate_j * fed
            for share, own_j, fed in zip(shares, own, _tokens(steps), strict=True)
        ]
        return RequestParts(*parts, idle_j=idle * sum(parts))

    return parts_of


def _steps_of(requests: ServedRequests, attribution: "Attribution") -> Steps:
    return as_steps(requests.lengths, requests.cached if attribution.reads_cache else None)


def _columns(division: Division) -> list[FloatArray]:
    return [division.input_j, division.cached_j, division.output_j]


def _tokens(steps: Steps) -> list[FloatArray]:
    """What each request feeds in which what is shared is divided, in the order of `PHASES`."""
    read = 0 * steps.context if steps.prefixes is None else steps.prefixes.tokens
    return [steps.prompt_tokens, read, steps.decoding]
