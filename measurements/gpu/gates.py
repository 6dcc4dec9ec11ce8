"""Validity gates: what a run must satisfy to count. Each has a name, a bound and a reason.

A run that fails is kept and marked, never deleted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

MIN_WINDOW_S = 5.0
MAX_TEMPERATURE_DRIFT_C = 15.0
MAX_POWER_OVER_LIMIT = 1.1
MAX_RELATIVE_SD = 0.05
HARMLESS_THROTTLING = frozenset({"power cap", "gpu idle", "application clocks"})


def unbelievable(reason: str | None, start_c: float | None, end_c: float | None) -> str | None:
    """Why a run that says it is valid cannot be, by what it says of itself; None if it can.

    Args:
        reason: The gates that it says it failed.
        start_c: Temperature before [deg C]; None if not recorded.
        end_c: After.
    """
    if reason is not None:
        return f"is valid, and says why it is not: {reason}"
    if start_c is None or end_c is None or _is_steady(start_c, end_c):
        return None
    return (
        f"is valid, and drifted by {abs(end_c - start_c):g} K; a valid one drifts by "
        f"{MAX_TEMPERATURE_DRIFT_C:g} K at most"
    )


def _is_steady(start_c: float, end_c: float) -> bool:
    return abs(end_c - start_c) <= MAX_TEMPERATURE_DRIFT_C


@dataclass(frozen=True)
class Observation:
    """What was seen around one run.

    Attributes:
        seconds: Length of the window [s].
        min_window_s: Least length asked for [s].
        power_w: Mean power [W].
        idle_power_w: Power with the model loaded and nothing to do [W].
        power_limit_w: Enforced limit [W].
        temperature_start_c: Before [deg C].
        temperature_end_c: After [deg C].
        throttling: Reasons seen at the end of the work.
        foreign_processes: Others on the GPU.
        tokens_asked: Output tokens asked for.
        tokens_produced: Output tokens that came.
        compiled_kernels: Names of those that were compiled within the window.
    """

    seconds: float
    min_window_s: float
    power_w: float
    idle_power_w: float
    power_limit_w: float
    temperature_start_c: float
    temperature_end_c: float
    throttling: frozenset[str]
    foreign_processes: tuple[int, ...]
    tokens_asked: int
    tokens_produced: int
    compiled_kernels: Sequence[str] = ()


_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class Gate(Generic[_Seen]):
    """One gate, on observations of some kind.

    Attributes:
        name: Short name, as it appears in `reason`.
        bound: What it asks.
        why: What goes wrong otherwise.
        passes: Whether an observation satisfies it.
        observed: What was seen of it, for `reason`.
    """

    name: str
    bound: str
    why: str
    passes: Callable[[_Seen], bool]
    observed: Callable[[_Seen], str]


GATES = (
    Gate[Observation](
        "window",
        f"{MIN_WINDOW_S:g} s or more",
        "the counter ticks every 0.1 s; its cut tick is up to 2 % of a shorter window",
        lambda seen: seen.seconds >= seen.min_window_s,
        lambda seen: f"{seen.seconds:.2f} s",
    ),
    Gate[Observation](
        "power",
        f"above idle, at most {MAX_POWER_OVER_LIMIT:g} x the power limit",
        "outside, the counter jumped, froze in part, or belongs to another card",
        lambda seen: seen.idle_power_w < seen.power_w <= MAX_POWER_OVER_LIMIT * seen.power_limit_w,
        lambda seen: f"{seen.power_w:.0f} W",
    ),
    Gate[Observation](
        "temperature drift",
        f"at most {MAX_TEMPERATURE_DRIFT_C:g} K from start to end",
        "leakage grows with temperature; a run in a warming card is not repeatable",
        lambda seen: _is_steady(seen.temperature_start_c, seen.temperature_end_c),
        lambda seen: f"{seen.temperature_start_c:.0f} to {seen.temperature_end_c:.0f} deg C",
    ),
    Gate[Observation](
        "throttling",
        "none but the power cap",
        "a card that is too hot or short of power runs at another efficiency",
        lambda seen: seen.throttling <= HARMLESS_THROTTLING,
        lambda seen: ", ".join(sorted(seen.throttling - HARMLESS_THROTTLING)),
    ),
    Gate[Observation](
        "foreign processes",
        "none on the GPU",
        "the counter counts the whole card",
        lambda seen: not seen.foreign_processes,
        lambda seen: f"pid {', '.join(map(str, seen.foreign_processes))}",
    ),
    Gate[Observation](
        "tokens produced",
        "exactly as many as asked for",
        "an engine that stopped early spent less than the cell costs",
        lambda seen: seen.tokens_produced == seen.tokens_asked,
        lambda seen: f"{seen.tokens_produced} of {seen.tokens_asked}",
    ),
    Gate[Observation](
        "kernels",
        "none compiled by Triton within the window",
        "the card waits up to seconds for a kernel that is new to the engine",
        lambda seen: not seen.compiled_kernels,
        lambda seen: f"compiled {', '.join(dict.fromkeys(seen.compiled_kernels))}",
    ),
)
SPREAD_GATE = (
    "spread",
    f"relative sd over the runs of a cell at most {100 * MAX_RELATIVE_SD:g} %",
    "runs that disagree by more have something between them that the mean hides",
)
"""Name, bound and reason of the gate on a cell's runs together; `table check` holds it."""


def failed_gates(seen: Observation) -> list[str]:
    """The gates that an observation fails, each with what was seen."""
    return failed(GATES, seen)


def failed(gates: Sequence[Gate[_Seen]], seen: _Seen) -> list[str]:
    """Those of some gates that an observation fails, each with what was seen."""
    return [f"{gate.name}: {gate.observed(seen)}" for gate in gates if not gate.passes(seen)]
