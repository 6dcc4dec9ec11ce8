"""How requests that are all there are handed to an engine: so many in flight, or in batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LengthPair = tuple[int, int]
"""Input and output of a request [tokens]."""

StaticBatch = tuple[int, int, int]
"""Requests, and the input and output length of the longest of them [tokens]."""


@dataclass(frozen=True)
class Batching:
    """How requests that are all there from the start are handed to an engine.

    Attributes:
        in_flight: So many run at once at most, and a new one enters when one ends; None for as many
            as the engine takes.
        static: In their order, in batches of so many, each of which begins when the last request of
            the one before has ended; None for no batches.
        is_padded: Whether every request of a static batch has the longest input and the longest
            output of the batch, or its own.
    """

    in_flight: int | None = None
    static: int | None = None
    is_padded: bool = False

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Batching":
        """What a replay says of itself; those from before say nothing, and had no such limit."""
        return cls(facts.get("in_flight"), facts.get("static"), facts.get("padded", False))

    @property
    def is_limited(self) -> bool:
        """Whether it is anything but the engine's own way."""
        return self.in_flight is not None or self.static is not None

    def facts(self) -> dict[str, Any]:
        """What a replay says of it."""
        if self.static is not None:
            return {"static": self.static, "padded": self.is_padded}
        return {} if self.in_flight is None else {"in_flight": self.in_flight}

    def parts(self, lengths: Sequence[LengthPair]) -> list[list[LengthPair]]:
        """The requests that are handed over together, each as long as the engine serves it."""
        if self.static is None:
            return [list(lengths)]
        size = self.static
        parts = [list(lengths[k : k + size]) for k in range(0, len(lengths), size)]
        if self.is_padded:
            return [[longest(part)] * len(part) for part in parts]
        return parts

    def batches(self, lengths: Sequence[LengthPair]) -> list[StaticBatch] | None:
        """The static batches, as a replay keeps them; None if there are none."""
        if self.static is None:
            return None
        return [(len(part), *longest(part)) for part in self.parts(lengths)]


def longest(lengths: Sequence[LengthPair]) -> LengthPair:
    """The longest input and the longest output, which may be of two requests [tokens]."""
    return max(i for i, _ in lengths), max(o for _, o in lengths)
