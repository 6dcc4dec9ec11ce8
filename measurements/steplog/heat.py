"""How long a card held its clock down for heat, by the readings once a second."""

from collections.abc import Iterable, Sequence

from joulecast.measurements.gpu.devices import THROTTLE_BITS
from joulecast.measurements.steplog.columns import STATE_COLUMNS

THERMAL_BITS = THROTTLE_BITS["thermal slowdown"] | THROTTLE_BITS["hardware thermal slowdown"]

HOT_SHARE = 0.1
"""Share of the readings above which it is told."""


def heat_note(states: Iterable[Sequence[str]], begin_s: float, end_s: float) -> str | None:
    """What to say of heat in a window; None if there was hardly any.

    A run's own gate looks at its end, where the clock may be up again.

    Args:
        states: Rows of `STATE_COLUMNS`, as texts.
        begin_s: When the window began [s, monotonic clock].
        end_s: When it ended [s, monotonic clock].
    """
    names = list(STATE_COLUMNS)
    gpu, at, bits = (names.index(name) for name in ("gpu", "at", "throttle_bits"))
    readings: dict[str, list[bool]] = {}
    for row in states:
        if begin_s <= float(row[at]) <= end_s and row[bits]:
            is_hot = bool(int(float(row[bits])) & THERMAL_BITS)
            readings.setdefault(row[gpu], []).append(is_hot)
    shares = {name: sum(hot) / len(hot) for name, hot in readings.items()}
    told = [f"GPU {name} in {share:.0%}" for name, share in shares.items() if share > HOT_SHARE]
    if not told:
        return None
    return (
        f"held back by heat: {', '.join(told)} of the readings once a second; the energy is that "
        "of a lower clock"
    )
