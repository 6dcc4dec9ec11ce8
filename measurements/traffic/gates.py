"""Validity gates of a window of traffic, beside those that every window has to pass."""

from dataclasses import dataclass

from joulecast.measurements.gpu.gates import Gate, failed
from joulecast.measurements.gpu.meter import FREEZE_SECONDS

MOST_TICKS_OFF = 0.01


@dataclass(frozen=True)
class TrafficObservation:
    """What was seen of a window of traffic.

    Attributes:
        metered_j: Energy as the meter read it at the window's ends [J].
        ticks_j: As the ticks that another process read say [J]; None if they do not cover it.
        longest_gap_s: Longest time between two ticks [s]; None if there were none.
        steps_counted: Steps, tokens and preemptions that the engine's own scheduler counted.
        steps_logged: The same as the log has them.
        requests_cut: Requests that were cut off, since time was over.
    """

    metered_j: float
    ticks_j: float | None
    longest_gap_s: float | None
    steps_counted: tuple[int, int, int]
    steps_logged: tuple[int, int, int]
    requests_cut: int


TRAFFIC_GATES = (
    Gate[TrafficObservation](
        "ticks",
        f"cover the window, none longer than {FREEZE_SECONDS:g} s after the one before",
        "pieces whose energy is not known tell no prices; a counter that stands is frozen",
        lambda seen: (
            seen.ticks_j is not None
            and seen.longest_gap_s is not None
            and seen.longest_gap_s <= FREEZE_SECONDS
        ),
        lambda seen: (
            "they do not cover the window"
            if seen.ticks_j is None or seen.longest_gap_s is None
            else f"none for {seen.longest_gap_s:.1f} s"
        ),
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
        "steps",
        "logged as the engine's scheduler counts them",
        "work that the log lacks would be priced as idle time",
        lambda seen: seen.steps_logged == seen.steps_counted,
        lambda seen: (
            f"steps, tokens, preemptions {seen.steps_logged} logged, {seen.steps_counted} counted"
        ),
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
