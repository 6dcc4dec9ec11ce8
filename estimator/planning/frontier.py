"""Which options nothing beats in both energy and waiting."""

from collections.abc import Callable, Sequence

from joulecast.estimator.over_time.serving import Objective
from joulecast.estimator.planning.fleets import FleetOption


def frontier(
    options: Sequence[FleetOption], wait_s: Callable[[FleetOption], float]
) -> list[FleetOption]:
    """Options that no other beats in both energy and waiting, those that wait least first.

    Args:
        options: Any.
        wait_s: How long requests of an option wait [s].
    """
    best: list[FleetOption] = []
    for option in sorted(options, key=lambda each: (wait_s(each), each.energy_j, each.spec)):
        if not best or option.energy_j < best[-1].energy_j:
            best.append(option)
    return best


def wait_of(objective: Objective | None) -> Callable[[FleetOption], float]:
    """How long requests of an option wait by a bound, or how long a batch job takes [s].

    Args:
        objective: What is bounded; None for a batch job.
    """

    def wait_s(option: FleetOption) -> float:
        serving = option.estimate.serving
        if objective is None or serving is None:
            return option.span_s
        return objective.seconds * objective.share_of(serving.latencies)

    return wait_s
