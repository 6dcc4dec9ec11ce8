"""What each group of a trace's requests takes of the energy of all: a model's, a user's, an hour's.

A cell of the grid holds requests of like lengths; each group has the share of a cell's energy that
it has of its tokens. What all share, the steps and the waiting of a server, is shared so, too.
"""

from collections.abc import Mapping
from dataclasses import replace

from joulecast.estimator.estimate import Estimate, cell_edges
from joulecast.estimator.group_share import GroupShare
from joulecast.traces.load import LoadedTrace
from joulecast.traces.workload import Workload


def with_groups(estimate: Estimate, loaded: LoadedTrace) -> Estimate:
    """The same estimate, with the parts of the groups of a trace."""
    if not loaded.groups:
        return estimate
    edges_j = {(cell.input_tokens, cell.output_tokens): cell.energy_j for cell in estimate.cells}
    whole = loaded.workload
    cells_j = {place: edges_j.get(cell_edges(whole.grid, place)) or 0.0 for place in whole.cells}
    return replace(estimate, groups=shares_of(loaded.groups, whole, cells_j))


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
