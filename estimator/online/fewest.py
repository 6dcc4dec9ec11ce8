"""The fewest replicas with which requests wait no longer than they may."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from joulecast.estimator.online.fleet import Fleet, FleetRun
from joulecast.estimator.over_time.serving import Objective, Quantiles, latencies_of
from joulecast.estimator.steps.progress import Progress
from joulecast.traces.errors import InputError
from joulecast.traces.requests import TimedRequests

_MOST_REPLICAS = 100_000


class ObjectivesNotMetError(InputError):
    """No number of replicas that may be taken meets the objectives.

    Args:
        message: What, and what to do.
        reason: The same in few words.
        tried_replicas: So many were tried in vain; None where their number is not what it is about.
    """

    def __init__(self, message: str, reason: str, tried_replicas: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.tried_replicas = tried_replicas


def waits(requests: TimedRequests, run: FleetRun) -> dict[str, Quantiles | None]:
    """How long requests waited [s]."""
    return latencies_of(requests.arrival_s, run.first_s, run.last_s, requests.lengths[:, 1])


def fewest(
    fleet: Fleet,
    requests: TimedRequests,
    objectives: Sequence[Objective],
    most_replicas: int | None = None,
    progress: Progress | None = None,
) -> tuple[Fleet, FleetRun]:
    """The fewest replicas that meet objectives: doubled until they do, then halved in.

    Args:
        fleet: Any number of the replicas.
        requests: What they are to serve.
        objectives: Bounds on how long these wait.
        most_replicas: So many at most; None for one a request.
        progress: Told what share is done, 0 to 1.

    Raises:
        ObjectivesNotMetError: Not even a replica a request does, since who waits for no other is as
            fast as can be; or no number that may be taken.
    """

    def serve(replicas: int) -> tuple[Fleet, FleetRun, bool]:
        asked = replace(fleet, replicas=replicas)
        run = asked.serve(requests)
        return asked, run, _is_met(objectives, waits(requests, run))

    most = min(most_replicas or _MOST_REPLICAS, len(requests))
    low, high = 0, 1
    best = serve(high)
    if not best[2]:
        _require_meets_alone(fleet, requests, objectives, best[1])
    while not best[2]:
        if high >= most:
            raise ObjectivesNotMetError(
                f"{_replicas(most)} do{'es' * (most == 1)} not meet {_texts(objectives)}; allow "
                "more, or ask for less",
                f"takes more than {_replicas(most)}",
                most,
            )
        low, high = high, min(2 * high, most)
        best = serve(high)
        if progress is not None:
            progress(min(0.5, high / most))
    while high - low > 1:
        middle = (low + high) // 2
        tried = serve(middle)
        if tried[2]:
            high, best = middle, tried
        else:
            low = middle
    return best[0], best[1]


def _require_meets_alone(
    fleet: Fleet, requests: TimedRequests, objectives: Sequence[Objective], run: FleetRun
) -> None:
    """Refuse objectives that requests miss even with a replica each, before many are tried.

    A replica a request is one replica, to which they come so slowly that none meets another.
    """
    pause_s = 2 * float((run.last_s - requests.arrival_s).max()) + 1
    apart = replace(requests, arrival_s=pause_s * np.arange(len(requests), dtype=float))
    alone = replace(fleet, replicas=1, router="round-robin", slice_s=pause_s * len(requests))
    latencies = waits(apart, alone.serve(apart))
    missed = [each.missed_text(latencies) for each in objectives if not each.is_met(latencies)]
    if missed:
        raise ObjectivesNotMetError(
            f"no number of replicas meets {_texts(objectives)}: requests that share a server with "
            "no other take longer; ask for less, or take a faster GPU or several (--gpus)",
            f"even for a request alone: {', '.join(missed)}",
        )


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count:,} replicas"


def _is_met(objectives: Sequence[Objective], latencies: dict[str, Quantiles | None]) -> bool:
    return all(objective.is_met(latencies) for objective in objectives)


def _texts(objectives: Sequence[Objective]) -> str:
    return ", ".join(objective.text for objective in objectives)
