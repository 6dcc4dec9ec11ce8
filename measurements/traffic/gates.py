"""Validity gates of a window of traffic, beside those that every window has to pass."""

from dataclasses import dataclass

from joulecast.measurements.gpu.gates import Gate, failed
from joulecast.measurements.table.traffic_window import MOST_TICKS_OFF


@dataclass(frozen=True)
class TrafficObservation:
    """What was seen of a window of traffic.

    Attributes:
        step_problem: Why the log of its steps is not complete; None if it is.
        tick_problem: Why the ticks are not; None if they are.
        metered_j: Energy as the meter read it at the window's ends [J].
        ticks_j: As the ticks that another process read say [J]; None if they do not cover it.
        requests_cut: Requests that were cut off, since time was over.
    """

    step_problem: str | None
    tick_problem: str | None
    metered_j: float
    ticks_j: float | None
    requests_cut: int


TRAFFIC_GATES = (
    Gate[TrafficObservation](
        "step log",
        "complete: steps and tokens as the engine's own scheduler counts them",
        "work that the log lacks would be priced as idle time",
        lambda seen: seen.step_problem is None,
        lambda seen: str(seen.step_problem),
    ),
    Gate[TrafficObservation](
        "ticks",
        "cover the window, of every GPU, and never stand still",
        "pieces whose energy is not known tell no prices",
        lambda seen: seen.tick_problem is None,
        lambda seen: str(seen.tick_problem),
    ),
    Gate[TrafficObservation](
        "ticks and meter",
        f"differ by {100 * MOST_TICKS_OFF:g} % at most",
        "two readers of one counter that disagree have lost some of it",
        lambda seen: (
            seen.ticks_j is None or abs(seen.ticks_j / seen.metered_j - 1) <= MOST_TICKS_OFF
        ),
        lambda seen: f"{seen.ticks_j or 0:.0f} against {seen.metered_j:.0f} J",
    ),
    Gate[TrafficObservation](
        "requests",
        "all served to their end",
        "what is cut off has been fed, but gave less than was asked for",
        lambda seen: seen.requests_cut == 0,
        lambda seen: f"{seen.requests_cut} cut off when time was over",
    ),
)


def failed_traffic_gates(seen: TrafficObservation) -> list[str]:
    """The gates that an observation fails, each with what was seen."""
    return failed(TRAFFIC_GATES, seen)
