"""The requests of an estimate one by one, and the part of it that each takes.

A request's part goes by its tokens alone: what they take by themselves, and what is divided among
all tokens of the kind in equal shares. So equal requests have equal parts, whoever else was served
beside them. Waiting is divided as the rest is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from joulecast.estimator.attribution.division import PHASES, Division, as_steps, cached_of
from joulecast.estimator.steps.work import Steps
from joulecast.measurements.arrays import FloatArray
from joulecast.traces.requests import StoredLengths, StoredTokens, TokenArray

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

    lengths: StoredLengths
    cached: StoredTokens | None = None
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

    def part(self, chosen: slice | npt.NDArray[np.bool_]) -> "ServedRequests":
        """Some of them."""
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        columns_there = {name: values for name, values in columns.items() if values is not None}
        return ServedRequests(**{name: values[chosen] for name, values in columns_there.items()})

    def pieces(self) -> Iterator["ServedRequests"]:
        """All of them, some at a time."""
        for first in range(0, len(self), PIECE):
            yield self.part(slice(first, first + PIECE))

    @property
    def cached_tokens(self) -> StoredTokens:
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
    parts_of = divider_of(
        (_steps_of(piece, attribution) for piece in requests.pieces()), attribution
    )
    return lambda piece: parts_of(_steps_of(piece, attribution))


def divider_of(
    pieces: Iterable[Steps], attribution: "Attribution"
) -> Callable[[Steps], RequestParts]:
    """The same, of what requests need: a row of `Steps` each, or for several together.

    Args:
        pieces: What all need, some at a time.
        attribution: What they take together.

    Returns:
        The parts of some rows; those of all sum to the estimate.
    """
    own_j, tokens = np.zeros(len(PHASES)), np.zeros(len(PHASES))
    for steps in pieces:
        own_j += attribution.own_j(steps).total(steps)
        tokens += [float(column.sum()) for column in _tokens(steps)]
    wholes_j = [attribution.shares[phase].energy_j for phase in PHASES]
    shares = [_Shares.of(*each) for each in zip(wholes_j, own_j, tokens, strict=True)]
    idle = attribution.idle_j / sum(wholes_j)

    def parts_of(steps: Steps) -> RequestParts:
        own = _columns(attribution.own_j(steps))
        input_j, cached_j, output_j = (
            share.of_own * own_j + share.rate_j * fed
            for share, own_j, fed in zip(shares, own, _tokens(steps), strict=True)
        )
        return RequestParts(input_j, cached_j, output_j, idle * (input_j + cached_j + output_j))

    return parts_of


def _steps_of(requests: ServedRequests, attribution: "Attribution") -> Steps:
    return as_steps(requests.lengths, requests.cached if attribution.is_continuous else None)


def _columns(division: Division) -> list[FloatArray]:
    return [division.input_j, division.cached_j, division.output_j]


def _tokens(steps: Steps) -> list[FloatArray]:
    """What each request feeds in which what is shared is divided, in the order of `PHASES`."""
    read = 0 * steps.context if steps.prefixes is None else steps.prefixes.tokens
    return [steps.prompt_tokens, read, steps.decoding]


SCOPE = "GPU energy"
"""What joules of requests and tokens are of, as far as nothing else is said."""


def columns_of(
    requests: ServedRequests,
    attribution: "Attribution",
    energy_j: float,
    interval_j: tuple[float, float] | None,
    basis: str | None,
) -> Iterator[dict[str, list[Any]]]:
    """Column -> its values, of some requests after others: what each takes, and how long it waits.

    Args:
        requests: All of an estimate.
        attribution: What they take together.
        energy_j: All of it [J].
        interval_j: 95 % interval of that [J], of which each has its part; None for none.
        basis: What the estimate stands on.
    """
    parts_of = divider(requests, attribution)
    low, high = (None, None) if interval_j is None else (end / energy_j for end in interval_j)
    begin = 1
    for piece in requests.pieces():
        parts = parts_of(piece)
        count, each_j = len(piece), parts.energy_j
        numbers = np.arange(begin, begin + count)
        begin += count
        columns: dict[str, Any] = {
            **({"request": numbers} if piece.rows is None else {"row": piece.rows}),
            "arrival_s": piece.arrival_s,
            "input_tokens": piece.lengths[:, 0],
            "cached_tokens": piece.cached,
            "output_tokens": piece.lengths[:, 1],
            "energy_j": each_j,
            "interval_low_j": None if low is None else low * each_j,
            "interval_high_j": None if high is None else high * each_j,
            "input_j": parts.input_j,
            "cached_j": parts.cached_j,
            "output_j": parts.output_j,
            "idle_j": parts.idle_j,
            "ttft_s": _waited(piece, piece.first_s),
            "e2e_s": _waited(piece, piece.last_s),
        }
        told = {name: values.tolist() for name, values in columns.items() if values is not None}
        yield {**told, "basis": [basis] * count, "scope": [SCOPE] * count}


def rows_of(pieces: Iterator[dict[str, list[Any]]]) -> list[dict[str, Any]]:
    """A row a request, from the columns of some after others."""
    return [
        dict(zip(columns, row, strict=True))
        for columns in pieces
        for row in zip(*columns.values(), strict=True)
    ]


def _waited(requests: ServedRequests, until_s: FloatArray | None) -> FloatArray | None:
    """Time from when each came [s]; None where that is not known."""
    if until_s is None or requests.arrival_s is None:
        return None
    return until_s - requests.arrival_s
