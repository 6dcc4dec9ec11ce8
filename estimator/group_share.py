"""A group's part of an estimate."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GroupShare:
    """A group's part of an estimate.

    Attributes:
        name: Of the group.
        requests: Those that did not fail.
        failed: Those without output.
        input_tokens: Of its requests together [tokens].
        output_tokens: Likewise [tokens].
        energy_j: Its part of the energy [J].
        share: The same, of all.
    """

    name: str
    requests: int
    failed: int
    input_tokens: int
    output_tokens: int
    energy_j: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)
