"""What each group of a trace's requests takes of the energy of all: a model's, a user's, an hour's.

Where a law tells what tokens take, a group has the sum of its requests' parts (docs/rate-card.md):
sums of lengths are enough for that. Of the paper's method, which knows no tokens, a group has the
share of a cell's energy that it has of its tokens.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from joulecast.estimator.attribution.attribution import Attribution
from joulecast.estimator.attribution.division import sums_as_steps
from joulecast.estimator.attribution.served import divider_of
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
    groups: Mapping[str, Workload],
    workload: Workload,
    cells_j: Mapping[tuple[int, int], float],
    attribution: Attribution | None,
) -> tuple[GroupShare, ...]:
    """The parts of groups, the largest first.

    Args:
        groups: Name -> workload; their sum is the whole.
        workload: The whole.
        cells_j: (row, column) -> what the requests of that cell take together [J].
        attribution: What tokens take of it; None if that is not known.
    """
    if attribution is None:
        shares_j = _by_tokens(groups, workload, cells_j)
    else:
        shares_j = _by_requests(
            groups, {at for at, energy_j in cells_j.items() if energy_j}, attribution
        )
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


def _by_requests(
    groups: Mapping[str, Workload], estimated: Collection[tuple[int, int]], attribution: Attribution
) -> dict[str, float]:
    """The sum of the parts of each group's requests [J]."""
    steps = {}
    for name, group in groups.items():
        cells = [at for at in group.cells if at in estimated]
        cached = group.cached if attribution.is_continuous and group.cached else {}
        steps[name] = sums_as_steps(
            [group.cells[at] for at in cells], [cached.get(at, 0) for at in cells]
        )
    parts_of = divider_of(steps.values(), attribution)
    return {name: float(parts_of(each).energy_j.sum()) for name, each in steps.items()}


def _by_tokens(
    groups: Mapping[str, Workload],
    workload: Workload,
    cells_j: Mapping[tuple[int, int], float],
) -> dict[str, float]:
    """Each group's part of each cell, by its share of the tokens there [J]."""
    joules_per_token = {
        place: cells_j.get(place, 0.0) / (sums.input_tokens + sums.output_tokens)
        for place, sums in workload.cells.items()
    }
    return {
        name: sum(
            joules_per_token[place] * (sums.input_tokens + sums.output_tokens)
            for place, sums in group.cells.items()
        )
        for name, group in groups.items()
    }
