"""What each group of a trace's requests takes of the energy of all: a model's, a user's, an hour's.

A cell of the grid holds requests of like lengths; each group has the share of a cell's energy that
it has of its tokens. What all share, the steps and the waiting of a server, is shared so, too.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from joulecast.traces.workload import Workload


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


def shares_of(
    groups: Mapping[str, Workload], workload: Workload, cells_j: Mapping[tuple[int, int], float]
) -> tuple[GroupShare, ...]:
    """The parts of groups, the largest first.

    Args:
        groups: Name -> workload; their sum is the whole.
        workload: The whole.
        cells_j: (row, column) -> what the requests of that cell take together [J].
    """
    joules_per_token = {
        place: cells_j.get(place, 0.0) / (sums.input_tokens + sums.output_tokens)
        for place, sums in workload.cells.items()
    }
    shares_j = {
        name: sum(
            joules_per_token[place] * (sums.input_tokens + sums.output_tokens)
            for place, sums in group.cells.items()
        )
        for name, group in groups.items()
    }
    whole_j = sum(shares_j.values())
    shares = [
        GroupShare(
            name,
            group.total.requests,
            group.failed.requests,
            group.total.input_tokens,
            group.total.output_tokens,
            shares_j[name],
            shares_j[name] / whole_j if whole_j else 0.0,
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(shares, key=lambda share: (-share.energy_j, share.name)))
