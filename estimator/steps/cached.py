"""What an estimate says of prompt tokens that a cache of prefixes holds."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CachedPrompts:
    """Cached tokens of the estimated requests, and what it saves that they are not computed.

    Attributes:
        tokens: Prompt tokens that were in a cache, as the trace says.
        input_tokens: All prompt tokens.
        uncached_j: Energy of the same requests if nothing were cached [J].
        is_read: Whether what serves reads them; False where they are computed like all others.
    """

    tokens: int
    input_tokens: int
    uncached_j: float
    is_read: bool

    @property
    def share_of_input(self) -> float:
        """Their share of all prompt tokens."""
        return self.tokens / self.input_tokens if self.input_tokens else 0.0

    def saved_j(self, energy_j: float) -> float:
        """What is saved over computing them [J].

        Args:
            energy_j: Energy of the estimate [J].
        """
        return self.uncached_j - energy_j

    def to_dict(self, energy_j: float) -> dict[str, Any]:
        """As plain JSON values; `energy_j` as in `saved_j`."""
        return {
            "tokens": self.tokens,
            "share_of_input": self.share_of_input,
            "is_read": self.is_read,
            "uncached_j": self.uncached_j,
            "saved_j": self.saved_j(energy_j),
            "saved_percent": 100 * self.saved_j(energy_j) / self.uncached_j,
        }
